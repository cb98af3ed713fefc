"""The audit: one classifier in four guises has the same numbers, a killed audit goes on, each flaw is named."""

import multiprocessing
import re
import signal
import time
import warnings

import pytest
import torch
from test_checks import FLAWS, trained
from torch import nn

import surefooted as sf
from surefooted.auditing import AuditOptions, audit_options
from surefooted.auditing.design import BUDGETS
from surefooted.auditing.findings import AuditFindings
from surefooted.auditing.run import describe_limit, design_audit, read_result
from surefooted.auditing.suites import attacks_run, suite_name
from surefooted.components.spec import base_name, build, complete, parse_spec
from surefooted.data import digits
from surefooted.errors import ArgumentError, InputError
from surefooted.evaluation.temperature import fit_temperature
from surefooted.models.external import InMemoryModel
from surefooted.pipeline import forecast as forecast_module
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.forecast import Forecast, forecast
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, PredictTask, WeightsFile, attack_task, resolve_data
from surefooted.pipeline.tasks import attack as attack_module
from surefooted.report.terminal import human_duration

SMOKE = {"eps": 0.15, "budget": "smoke", "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A checkpoint of ours."""
    store = Store(tmp_path_factory.mktemp("trained"))
    return sf.train("vanilla", "small_convnet", digits(), sf.recipe(epochs=4), store=store), store


@pytest.fixture(scope="module")
def found(run, tmp_path_factory):
    """Its audit as a foreign module."""
    store = Store(tmp_path_factory.mktemp("audited"))
    return sf.audit(run[0].net, "digits", store=store, **SMOKE), store, run[0].net


def close(a, b, tolerance=1e-5):
    """The same keys, words and numbers throughout."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k], tolerance) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b))
    return a == pytest.approx(b, abs=tolerance, nan_ok=True) if isinstance(a, float) else a == b


def test_one_classifier_in_four_guises_has_the_same_numbers(run, found, tmp_path):
    net, batch = run[0].net, ({0: torch.export.Dim("batch")},)
    x = digits().test.points(slice(0, 2)).x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, (x,), dynamic_shapes=batch), tmp_path / "net.pt2")
        torch.onnx.export(
            net, (x,), tmp_path / "net.onnx", dynamo=True, dynamic_shapes=batch, external_data=False, verbose=False
        )
    ours = WeightsFile(run[0].task.path(run[1]) / "weights.safetensors")
    numbers = found[0].numbers | {"classifier": ""}
    for guise in (str(tmp_path / "net.pt2"), str(tmp_path / "net.onnx"), ours):
        options = {"temperature": "halves"} if guise is ours else {}
        its = sf.audit(guise, "digits", store=Store(tmp_path / "store"), **SMOKE, **options)
        assert close(its.numbers | {"classifier": ""}, numbers)
    assert found[0].numbers["n"] == 64 and found[0].flags == []


def test_a_network_of_ours_brings_its_data_and_validation_images(run):
    trained_net, store = run
    its = sf.audit(trained_net.task, store=store, **SMOKE)
    held = PredictTask(trained_net.task, "validation").result(store)
    assert its.numbers["temperature"].startswith(f"T = {fit_temperature(held):.3f}, fitted on {len(held.y)} validation")


def test_a_temperature_is_not_fitted_elsewhere_than_was_asked(run):
    for options in ({"data": {"digits": {"validation": 0.0}}}, {"split": "validation"}):
        asked = {"data": "digits", "store": run[1]} | SMOKE | options
        with pytest.raises(InputError, match="cannot be fitted on validation images"):
            sf.audit(run[0].net, temperature="validation", **asked)


def test_what_is_reported_is_what_the_parts_say(run, found):
    (net, _), (its, store, _) = run, found
    points = digits().test.points(slice(0, 64))
    numbers = its.numbers
    p = sf.predict(net.net, points)
    assert numbers["calibration"]["clean"]["ece"]["value"] == pytest.approx(sf.metrics.ece(p))
    again = sf.attack("autoattack", net.net, points, eps=0.15, **BUDGETS["smoke"].autoattack)
    (strongest,) = (one for one in numbers["attacks"] if one["name"].startswith("AutoAttack"))
    assert strongest["robust_accuracy"]["value"] == pytest.approx(1 - float(again.found.float().mean()))
    worst = numbers["attacks"][-1]
    assert "worst" in worst["name"]
    within = [one for one in numbers["attacks"] if one["eps"] <= 0.15]
    assert worst["robust_accuracy"]["value"] <= min(one["robust_accuracy"]["value"] for one in within)
    assert len(numbers["by_level"]["accuracy"]) == 10
    assert sf.audit(net.net, "digits", store=store, **SMOKE).numbers == numbers


def test_the_report_is_whole(found, tmp_path):
    index = found[0].write(tmp_path)
    text = index.read_text()
    for part in (
        "Audit of Sequential",
        "none of 11 checks",
        "temperature scaling",
        "AutoAttack",
        "64 test images",
        "L∞",
    ):
        assert part in text
    assert {p.stem for p in (tmp_path / "tables").glob("*.csv")} == {"flags", "calibration", "robust-accuracy"}
    assert len(list((tmp_path / "figures").glob("*.svg"))) == 4
    assert len(list((tmp_path / "figures").glob("*.csv"))) == 3
    assert len(found[0].page.findings) == 3


@pytest.mark.filterwarnings("ignore:.*NaN or")
@pytest.mark.filterwarnings("ignore::surefooted.errors.ModelNotice")
@pytest.mark.parametrize("name", FLAWS)
def test_each_flaw_is_named_in_an_audit(name, tmp_path):
    points = digits().test.points(slice(0, 64))
    its = sf.audit(FLAWS[name](trained(), points.x), "digits", store=Store(tmp_path / "store"), **SMOKE)
    assert name in {flag.name for flag in its.flags} == {flag["name"] for flag in its.numbers["flags"]}
    assert (its.page.findings[0].verdict == "holds") == (name == "train_mode")  # a mode set right is no doubt
    assert its.page.items[0].rows[0]["cure"]


def test_draws_are_averaged_where_asked_for(tmp_path):
    points = digits().test.points(slice(0, 64))
    random = FLAWS["randomised"](trained(), points.x)
    its = sf.audit(random, "digits", eot=3, limit=16, store=Store(tmp_path / "store"), **SMOKE)
    assert "randomised" not in {flag.name for flag in its.flags}
    (strongest,) = (one for one in its.numbers["attacks"] if one["name"] == "AutoAttack (rand, eot=3)")
    assert strongest["attack"]["autoattack"]["version"] == "rand" and strongest["attack"]["autoattack"]["eot"] == 3


def test_the_other_norm(tmp_path):
    its = sf.audit(trained(), "digits", norm="l2", store=Store(tmp_path / "store"), **{**SMOKE, "eps": 0.5})
    robust = [one["robust_accuracy"]["value"] for one in its.numbers["attacks"]]
    assert robust[:4] == sorted(robust[:4], reverse=True) and "L2" in its.page.subtitle
    assert its.numbers["attacks"][-2]["eps"] == 8 and its.flags == []


# --- the headline


def test_the_headline_is_the_worst_case_over_every_attack(tmp_path):
    """The suite of this budget takes five steps, and the classifier shows a tenth of the gradient at each."""
    store, points = Store(tmp_path / "store"), digits().test.points(slice(0, 64))
    its = sf.audit(FLAWS["not_converged"](trained(), points.x), "digits", store=store, **SMOKE)
    headline, attacks = its.numbers["headline"], its.numbers["attacks"]
    (suite,) = (one for one in attacks if one["name"] == headline["suite"])
    assert headline["suite_robust_accuracy"] == suite["robust_accuracy"]
    assert headline["robust_accuracy"] == attacks[-1]["robust_accuracy"]
    within = [one["robust_accuracy"]["value"] for one in attacks[:-1] if one["eps"] <= 0.15]
    assert headline["robust_accuracy"]["value"] <= min(within) < suite["robust_accuracy"]["value"]
    assert headline["missed_by_suite"] and "weak_suite" in {flag.name for flag in its.flags}
    assert "worst case per image over all attacks" in its.page.subtitle and headline["suite"] in its.page.subtitle
    assert its.page.subtitle in str(its).replace(" \n", " ")


def test_a_minimal_norm_attack_counts_in_the_headline(found):
    """A point at L2 distance at most ε is inside the L∞ ball of radius ε."""
    findings = AuditFindings(design_audit(found[2], "digits", AuditOptions(eps=0.15, budget="smoke")), found[1])
    before = findings.any_success_within(0.15)
    robust = int((~before).nonzero()[0])
    for distance, counts in ((0.15, True), (0.16, False)):
        findings.__dict__["distances"] = torch.full((64,), torch.inf).index_fill(0, torch.tensor([robust]), distance)
        after = findings.any_success_within(0.15)
        assert bool(after[robust]) == counts and int((after != before).sum()) == counts


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        ("quick", "AutoAttack (quick)"),
        ("standard", "AutoAttack (lean)"),
        ("full", "AutoAttack (full)"),
        ("smoke", "AutoAttack (reduced: steps=5, targets=2, queries=40)"),
    ],
)
def test_every_budget_names_its_suite(budget, name):
    design = design_audit(trained(), "digits", AuditOptions(eps=0.1, budget=budget))
    assert suite_name(design.autoattack.attack) == name


def test_the_suite_is_named_wherever_its_number_stands(found, tmp_path):
    name, result = "AutoAttack (reduced: steps=5, targets=2, queries=40)", found[0]
    result.write(tmp_path)
    assert result.numbers["headline"]["suite"] == name and name in result.page.subtitle
    for item in (*result.page.items[1:2], result.page.items[3]):
        assert name in item.caption and name in (tmp_path / "tables" / f"{item.name}.csv").read_text()
    for text in (str(result).replace("\n", ""), (tmp_path / "index.html").read_text()):
        assert re.search(r"AutoAttack(?! \(reduced)", text) is None


def test_the_attacks_of_a_page_are_those_that_ran():
    def ran(classes, **arguments):
        task = attack_task(InMemoryModel(trained(), (1, 8, 8)), {"autoattack": arguments}, data=resolve_data("digits"))
        return [
            (base_name(attack), {k: v for k, v in arguments.items() if k in ("steps", "targets", "queries")})
            for attack in attacks_run(task, classes)
            for _, arguments in [parse_spec(attack)]
        ]

    assert ran(10, budget="quick") == [
        ("apgd", {"steps": 100}),
        ("apgd_t", {"steps": 100, "targets": 2}),
        ("apgd_t", {"steps": 20, "targets": 9}),
        ("square", {"queries": 2000}),
    ]
    assert ran(5)[1:3] == [("apgd_t", {"steps": 100, "targets": 4}), ("fab", {"steps": 100, "targets": 4})]
    assert [name for name, _ in ran(3)] == ["apgd", "apgd", "fab", "square"]  # the margin instead of APGD-T


def test_the_suite_quick_contains_apgd_ce_and_has_a_key_of_its_own():
    net, points = trained(), digits().test.points(slice(0, 64))
    quick = build("attack", {"autoattack": {"eps": 0.1, "budget": "quick", "steps": 10, "queries": 20}})
    alone = build("attack", {"apgd": {"eps": 0.1, "steps": 10}})
    assert bool((quick(net, points).found >= alone(net, points).found).all())
    names = {budget: next(iter(complete("attack", {"autoattack": {"budget": budget}}))) for budget in ("quick", "lean")}
    assert names == {"quick": "autoattack@2", "lean": "autoattack"}  # keys of lean and full are as before


@pytest.mark.filterwarnings("ignore:.*NaN or")
def test_answers_that_are_not_finite_are_reported(tmp_path):
    points = digits().test.points(slice(0, 64))
    flawed = FLAWS["non_finite"](trained(), points.x)
    silent = sf.predict(flawed, points).log_p.isnan().any(1)
    its = sf.audit(flawed, "digits", store=Store(tmp_path / "store"), **SMOKE)
    assert its.numbers["non_finite"]["clean"] == {"count": 4, "rows": points.rows[silent].tolist()}
    (flag,) = (flag for flag in its.flags if flag.name == "non_finite")
    assert flag.severity == "serious" and "4 of 64 clean images" in flag.seen
    robust = [one["robust_accuracy"]["value"] for one in its.numbers["attacks"]]
    assert max(robust) <= 60 / 64  # no answer is no robust answer
    its.write(tmp_path / "page")
    assert "NaN or infinite at 4 of 64 clean images" in (tmp_path / "page" / "index.html").read_text()


@pytest.mark.parametrize("first", ["train", "eval"])
def test_the_mode_of_a_model_is_checked_anew(first, tmp_path):
    """One network in one store, handed over in both modes, in either order."""
    net, store, said = trained(layers=[nn.Dropout(0.5)]), Store(tmp_path / "store"), {}
    for mode in (first, "eval" if first == "train" else "train"):
        check = design_audit(net.train(mode == "train"), "digits", AuditOptions(eps=0.1, budget="smoke")).sanity_check
        execute([check], store, quiet=True)
        said[mode] = [(flag.name, flag.severity) for flag in check.flags(store)]
    assert said == {"train": [("train_mode", "note")], "eval": []}


@pytest.mark.parametrize("budget", BUDGETS)
def test_all_attacks_of_a_budget_can_be_built(budget):
    for one in design_audit(trained(), "digits", AuditOptions(eps=0.1, budget=budget)).tasks:
        if isinstance(one, AttackTask):
            assert build("attack", one.attack).passes > 0


# --- as a value


def test_a_result_prints_the_table_of_the_command(found):
    result = found[0]
    text = str(result)
    assert text == repr(result) == result.summary() and text.startswith("audit of Sequential on Digits (")
    accuracy = result.numbers["calibration"]["clean"]["accuracy"]
    assert f"{accuracy['value']:.4f} [{accuracy['low']:.4f}, {accuracy['high']:.4f}]" in text
    assert all(one["name"] in text for one in result.numbers["attacks"])
    assert "[bold]" not in text and result._repr_html_().startswith("<pre>")


def test_options_travel_as_one_value_or_by_name(run, tmp_path):
    store, options = Store(tmp_path / "store"), AuditOptions(eps=0.15, budget="smoke", limit=16, levels=2)
    by_value = sf.audit(run[0].net, "digits", options, store=store, quiet=True)
    by_name = sf.audit(run[0].net, "digits", eps=0.15, budget="smoke", limit=16, levels=2, store=store, quiet=True)
    assert by_value.numbers == by_name.numbers
    assert (
        sf.audit(run[0].net, "digits", options, levels=4, store=store, quiet=True).numbers["by_level"]
        != (by_value.numbers["by_level"])
    )


def test_options_are_checked_all_at_once():
    with pytest.raises(ArgumentError) as refused:
        audit_options(budget="quck", epss=1, limit=-1)
    assert all(word in str(refused.value) for word in ("budget", "epss", "Did you mean 'eps'?", "limit"))
    with pytest.raises(ArgumentError, match=r"`eps` is 8, .* Did you mean 8/255\?"):
        audit_options(eps=8)
    assert audit_options(eps=8, norm="l2").eps == 8  # a radius in L2 may be large


def test_before_run_is_called_once_the_classifier_is_accepted(tmp_path):
    store, called = Store(tmp_path / "store"), []

    def stop():
        called.append(True)
        raise KeyboardInterrupt

    seven = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(InputError):
        sf.audit(seven, "digits", store=store, before_run=stop, **SMOKE)
    assert not called
    with pytest.raises(KeyboardInterrupt):
        sf.audit(trained(), "digits", store=store, before_run=stop, **SMOKE)
    assert called and not list(store.root.glob("artefacts/*/*"))


# --- resuming


class Slow(nn.Module):
    """Slow enough to be killed on its way."""

    def __init__(self, net, seconds):
        super().__init__()
        self.net, self.seconds = net, seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return self.net(x)


def slow_audit(net, seconds):
    return design_audit(Slow(net, seconds), "digits", AuditOptions(eps=0.15, budget="smoke", limit=96))


def audit_slowly(net, root, seconds):
    design, store = slow_audit(net, seconds), Store(root)
    execute(design.tasks, store, runtime=Runtime("cpu"), quiet=True)
    return read_result(design, store).numbers


def stored(root):
    return len([*root.glob("artefacts/*/*/spec.json")])


BLOCKS = {"cpu": 32, "cuda": 32}


def audit_to_be_killed(net, root):
    """What a process does that a test ends."""
    torch.set_num_threads(1)
    attack_module.SMALLEST_CHUNK, attack_module.CHUNK_BATCH, attack_module.CHUNK_PASSES = BLOCKS, 32, 1
    audit_slowly(net, root, 0.002)


def test_killed_three_times_it_finishes_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(attack_module, "SMALLEST_CHUNK", BLOCKS)
    monkeypatch.setattr(attack_module, "CHUNK_BATCH", 32)
    monkeypatch.setattr(attack_module, "CHUNK_PASSES", 1)
    net, root = trained(), tmp_path / "killed"
    # Forked from a process without threads, of which earlier tests leave some behind here.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["surefooted.auditing.run", "surefooted.models.nets"])
    for enough in (2, 5, 8):
        child = context.Process(target=audit_to_be_killed, args=(net, root))
        child.start()
        ends = time.monotonic() + 300
        while stored(root) < enough and time.monotonic() < ends:
            time.sleep(0.01)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL and enough <= stored(root)
    assert plan(slow_audit(net, 0).tasks, Store(root))
    assert audit_slowly(net, root, 0) == audit_slowly(net, tmp_path / "whole", 0)


def test_an_attack_goes_on_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(attack_module, "SMALLEST_CHUNK", {"cpu": 16, "cuda": 16})
    monkeypatch.setattr(attack_module, "CHUNK_BATCH", 16)
    monkeypatch.setattr(attack_module, "CHUNK_PASSES", 1)
    victim = InMemoryModel(trained(), (1, 8, 8))
    attack = {"pgd": {"eps": 0.1, "steps": 3, "keep": "worst"}}

    def made(limit=80):
        return attack_task(victim, attack, data=resolve_data("digits"), limit=limit)

    store, asked = Store(tmp_path / "store"), []

    def stop_after(n):
        def tick(rows):
            asked.append(rows)
            if len(asked) == n:
                raise KeyboardInterrupt

        return tick

    with pytest.raises(KeyboardInterrupt):
        made().run(store, Runtime("cpu"), stop_after(10))  # in the third block of four passes each
    assert len(list(store.root.glob("work/*/rows_*.safetensors"))) == 2
    asked.clear()
    made().run(store, Runtime("cpu"), stop_after(-1))
    assert asked[:2] == [64, 64] and sum(asked) == made().total_ticks() == 80 * 4
    assert not list(store.root.glob("work/*"))
    monkeypatch.setattr(attack_module, "CHUNK_PASSES", 2**18)
    whole = Store(tmp_path / "whole")
    made().run(whole, Runtime("cpu"))
    blocks, once = made().result(store), made().result(whole)
    assert blocks.keys() == once.keys() == {"rows", "y", "found", "size", "queries", "x"}
    assert all(torch.equal(blocks[name], once[name]) for name in once)


# --- before it begins


def test_the_estimate_counts_the_passes_that_are_left(tmp_path):
    store = Store(tmp_path)
    design = design_audit(trained(), "digits", AuditOptions(eps=0.15, budget="smoke"))

    def left():
        return forecast(plan(design.tasks, store), Runtime("cpu"), at_most=True)

    before = left()
    attacks = sum(task.total_ticks() for task in design.tasks if isinstance(task, AttackTask))
    assert before.passes == attacks + 2 * 64  # the clean images, and those that AutoAttack moved
    execute([design.huge_ball], store, quiet=True)
    assert left().passes == before.passes - design.huge_ball.total_ticks()
    assert "up to a second or two (10 image passes)" in describe_limit(Forecast(10, 0.5))
    assert [human_duration(s) for s in (0.1, 90, 600, 7200 * 3, 86400 * 3)] == [
        "a second or two",
        "90 seconds",
        "10 minutes",
        "6 hours",
        "3 days",
    ]


def test_the_estimate_is_of_the_model_itself_and_an_upper_bound():
    """A model that sleeps 5 ms per forward pass of 64 rows takes at least 5/64 ms for each of its row passes."""
    design = slow_audit(trained(), 0.005)
    at_most, usual = (forecast(design.tasks, Runtime("cpu"), at_most=most) for most in (True, False))
    assert at_most.passes > usual.passes and at_most.seconds > usual.seconds
    assert at_most.seconds > at_most.passes * 0.005 / 64


def test_the_estimate_counts_the_work_of_the_attack_beside_the_model_s(monkeypatch):
    monkeypatch.setattr(forecast_module, "shortest_time", lambda run, **_: 1.0)
    design = design_audit(trained(), "digits", AuditOptions(eps=0.15, budget="smoke"))
    passes, seconds = forecast([design.double_steps], Runtime("cpu"), at_most=True)
    model, search = 1 / forecast_module.TIMED_IMAGES_EXTERNAL, 1 / (64 * (10 + 1))
    assert seconds == pytest.approx(passes * (model + search) + forecast_module.TASK_OVERHEAD)


def test_the_estimate_is_printed_for_every_classifier_and_only_while_work_is_left(run, tmp_path, capfd):
    trained_net, store = run[0], Store(tmp_path / "store")
    weights = WeightsFile(trained_net.task.path(run[1]) / "weights.safetensors")
    loud = {"eps": 0.15, "budget": "smoke", "limit": 16, "levels": 2, "store": store}
    for _ in range(2):
        sf.audit(weights, "digits", **loud)
    assert capfd.readouterr().err.count("image passes); images broken early") == 1


def test_what_cannot_be_audited_is_refused_before_any_work(tmp_path):
    store = Store(tmp_path / "store")
    seven = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(InputError, match="has 7 classes and the data have 10"):
        sf.audit(seven, "digits", store=store, **SMOKE)
    with pytest.raises(InputError, match="cannot be inferred for an external model"):
        sf.audit(seven, store=store, **SMOKE)
    with pytest.raises(
        InputError, match=r"'lenet' is no key of a stored network .* An external classifier is MODULE:FUNCTION"
    ):
        sf.audit("lenet", "digits", store=store, **SMOKE)
    with pytest.raises(InputError, match="`budget` is 'quck'"):
        sf.audit(seven, "digits", store=store, budget="quck")
    with pytest.raises(InputError, match="are for external models"):
        sf.audit(WeightsFile(tmp_path / "none.safetensors"), "digits", store=store, outputs="probabilities", **SMOKE)
    with pytest.raises(InputError, match="does not exist; expected a weights"):
        sf.audit(WeightsFile(tmp_path / "none.safetensors"), "digits", store=store, **SMOKE)
    assert not list(store.root.glob("artefacts/*"))


def test_the_numbers_go_into_robustbenchs_format(found):
    entry = sf.adapters.robustbench_record(found[0].numbers, "digits")
    assert entry["external"] == f"{100 * found[0].numbers['headline']['robust_accuracy']['value']:.2f}"
    assert entry["clean_acc"] == f"{100 * found[0].numbers['calibration']['clean']['accuracy']['value']:.2f}"
