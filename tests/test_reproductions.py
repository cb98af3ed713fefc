"""The studies of EntM and UTA run whole in their smallest size; tables say what cells hold; plans come first."""

import json
from math import hypot, nan, pi, sqrt, tan
from pathlib import Path
from statistics import fmean

import pytest
import torch

from surefooted import studies
from surefooted.cli import study as study_command
from surefooted.cli.session import Session
from surefooted.errors import InputError
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.forecast import _Stopwatch, forecast
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, MCDropout, MemberOf, PredictTask, TrainTask, train_task
from surefooted.report import write_page
from surefooted.studies.claims import claim_all, claim_gain, discount_by_seed_spread, over_seeds
from surefooted.studies.entm import grids as entm_grids
from surefooted.studies.entm import study as entm_study
from surefooted.studies.entm.design import RANDOM_SEARCH_METHODS
from surefooted.studies.grid import SINGLE_TRAINING_NOTE, Grid, score_interval
from surefooted.studies.intervals import simultaneous
from surefooted.studies.paper_comparison import CellComparison, claim_reproduced, comparison_table
from surefooted.studies.paper_numbers import printed_numbers
from surefooted.studies.uta import design as uta_cells
from surefooted.studies.uta import figures as uta_figures
from surefooted.studies.uta import grids as uta_grids
from surefooted.studies.uta import study as uta_study
from surefooted.studies.uta.overfitting_findings import overfitting_findings

CPU = Runtime("cpu", threads=1)
MAKE_CHAPTERS = {"entm": entm_study.entm_chapters, "uta": uta_study.uta_chapters}
SEEDS = over_seeds(3)
PAGES = {
    "entm": {
        *(
            "robustness-mnist",
            "printed-mnist",
            "printed-mnist-unclipped",
            "obfuscation",
            "random-search",
            "stronger",
            "accuracy-radius",
            "accuracy-steps",
        ),
        *("lambda", "analysis", "margin-distortion", "surfaces"),
        *("accuracy-radius-digits", "accuracy-steps-digits", "lambda-digits"),
    },
    "uta": {
        *("scores-mnist", "printed-mnist", "clean-accuracy-mnist", "robust-accuracy-mnist"),
        *(
            "scores-latent",
            "printed-latent",
            "latent-alone",
            "scores-latent-before-relu-normalised",
            "latent-before-relu-normalised-alone",
            "printed-mnist-normalised",
            "scores-several-mnist",
            "scores-longer-mnist-normalised",
        ),
        *("overfitting-fashion_mnist", "toy-attacks", "toy-trained", "toy-flips", "toy-due", "looks"),
    },
}


@pytest.fixture(scope="module", params=PAGES)
def ran(request, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    study = getattr(studies, request.param)(size="smoke")
    execute(study.tasks(), store, runtime=CPU, quiet=True)
    return request.param, store, study


def test_the_report_is_whole(ran, tmp_path):
    name, store, study = ran
    assert plan(study.tasks(), store) == []
    page = study.page(store)
    assert {item.name for item in page.items} >= PAGES[name]
    assert write_page(page, tmp_path).stat().st_size > 50_000
    texts = json.dumps([vars(finding) for finding in page.findings])
    assert "We reproduce" in texts and all(finding.see for finding in page.findings)
    assert (page.subtitle + texts).count(SINGLE_TRAINING_NOTE) == 1


def test_each_chapter_stands_alone(ran, tmp_path, monkeypatch):
    name, store, study = ran
    make, run = MAKE_CHAPTERS[name], getattr(studies, name)
    names = [one.name for one in make("smoke")]
    pages = [run(size="smoke", only=(one,)).page(store) for one in names]
    whole = study.page(store)
    assert [item.name for page in pages for item in page.items] == [item.name for item in whole.items]
    assert [finding for page in pages for finding in page.findings] == list(whole.findings)
    first, last = names[0], names[-1]
    two = run(size="smoke", only=(last, first))
    both = {task.key for one in make("smoke") if one.name in (first, last) for task in one.tasks()}
    assert {task.key for task in two.tasks()} == both
    monkeypatch.chdir(tmp_path)
    request = study_command.StudyRequest(name, {"size": "smoke", "only": [first, last]})
    study_command.write_report(request, Session(store, CPU, as_json=True), None)
    assert Path(f"reports/{name}_smoke_{first}_{last}/index.html").exists()


@pytest.mark.parametrize("name", ["entm", "uta"])
def test_a_study_in_another_scope_has_as_many_trainings_epochs_and_images_as_asked_for(name):
    first = MAKE_CHAPTERS[name]("smoke")[0].name
    tasks = getattr(studies, name)(size="smoke", only=(first,), seeds=2, epochs=1, limit=7).tasks()
    attacks = [task for task in tasks if isinstance(task, AttackTask)]
    victims = {task.victim.key: task.victim for task in attacks}.values()
    assert {task.limit for task in attacks} == {7} and {next(iter(v.recipe.values()))["epochs"] for v in victims} == {1}
    assert {0, 1} <= {victim.seed for victim in victims}


def test_chapters_of_each_size_have_names_of_their_own():
    for size, few in {"smoke": 9, "cpu": 13, "paper": 16, "everything": 17}.items():
        with pytest.raises(InputError, match="Did you mean 'latent'") as refused:
            studies.uta(size=size, only=("latnt",))
        names = str(refused.value).partition("Available: ")[2].rstrip(".").split(", ")
        assert len(set(names)) == len(names) == few


def test_numbers_are_those_of_the_cells(ran):
    name, store, _ = ran
    if name == "entm":
        analysis = next(one.analysis for one in entm_study.entm_chapters("smoke") if one.name == "masking")
        grid = analysis.grid
    else:
        grid = uta_study.uta_chapters("smoke")[0].grid
    method, attack = next(iter(grid.attacked))
    found = grid.attacked[method, attack][0][0].result(store)["found"]
    robust = 1 - found.double().mean().item()
    assert grid.accuracy_interval(store, method, attack).value == pytest.approx(robust)
    clean = grid.accuracy_interval(store, method).value
    score = grid.score_interval(store, method, attack)
    assert score.value == pytest.approx((clean + robust) / 2) and score.low <= score.value <= score.high
    gain = grid.accuracy_gain(store, (method, ""), (method, attack))
    p = grid.clean[method][0].result(store)
    right = p.log_p.argmax(-1)[: len(found)] == p.y[: len(found)]
    assert gain.value == pytest.approx((right.double() - (~found).double()).mean().item())
    if name == "entm":
        for method in RANDOM_SEARCH_METHODS:  # random search goes on where PGD ended
            first, both = (task.result(store)["found"] for task in analysis.random_search_attacks[method])
            assert bool((both | ~first).all())


def test_what_is_claimed_of_cifar10_is_in_its_grid():
    grid = entm_grids.resnet18_grid("cifar10")
    strong = entm_grids.strongest_pgd(grid)
    assert strong == "PGD40-16" and strong.replace("PGD", "CW") in grid.white_box
    assert {"PAT", "PAT-EntM", "TRADES", "TRADES-EntM"} <= grid.methods.keys()


def test_cells_that_two_grids_share_are_computed_once():
    one, other = (entm_grids.mnist_grid(limit=limit, data="digits", net="small_convnet") for limit in (10, 20))
    assert [task.key for task in one.trained["PAT"]] == [task.key for task in other.trained["PAT"]]
    black = [tasks for (_, attack), (tasks,) in one.attacked.items() if attack.startswith("black")]
    assert {len(tasks) for tasks in black} == {5} and len({task.key for tasks in black for task in tasks}) == 5 * 36
    proxies = {task.source_attack.victim.key for tasks in black for task in tasks}
    assert len(proxies) == 2  # Normal and PAT, trained apart from those that are attacked
    assert not proxies & {task.key for (task,) in one.trained.values()}


def test_a_printed_cell_is_reproduced_within_two_points_or_inside_the_interval():
    near, inside, off = (
        CellComparison({"Method": "PAT"}, 0.5, Interval(*ours, 100))
        for ours in ((0.52, nan, nan), (0.6, 0.45, 0.7), (0.6, 0.55, 0.65))
    )
    assert [task.is_reproduced for task in (near, inside, off)] == [True, True, False]
    assert off.difference == pytest.approx(0.1)
    assert "2 of 3" in comparison_table("t", "T", (near, inside, off), "").caption
    ends = [CellComparison({"Method": "PAT"}, 0.5, Interval(ours, nan, nan, 100)) for ours in (0.4799, 0.48, 0.5201)]
    assert [task.is_reproduced for task in ends] == [False, True, False]
    assert (
        claim_reproduced("All.", [near] * 9 + [off], SEEDS, "t").verdict == "holds"
        and claim_reproduced("All.", [off], SEEDS, "t").verdict != "holds"
    )
    ends = ((0.1, 1), (-1, 1), (-1, -0.1))
    three = ["holds", "unclear", "does not hold"]
    assert [claim_gain("x", Interval(0, *end, 9), "", SEEDS).verdict for end in ends] == three
    assert [
        claim_gain("x", Interval(0, low + 5, high + 5, 9), "", SEEDS, margin=5).verdict for low, high in ends
    ] == three


def test_a_reproduced_cell_that_says_little_is_counted_in_the_caption():
    """An interval wider than ten points is uninformative; a number that another method has too is ambiguous."""

    def caption(*cells):
        return comparison_table("t", "T", [CellComparison({"Method": m}, p, Interval(*i, 9)) for m, p, i in cells], "")

    narrow, wide = ("PAT", 0.5, (0.54, 0.491, 0.589)), ("PAT", 0.5, (0.54, 0.489, 0.591))
    assert "uninformative" not in caption(narrow).caption
    assert "In 1 of these, the interval is wider than 10 points" in caption(wide).caption
    one, other, far = (("A", 0.50, (0.51, nan, nan)), ("B", 0.52, (0.53, nan, nan)), ("B", 0.60, (0.60, nan, nan)))
    assert "In 1 of these, our value also agrees with another method's number." in caption(one, other).caption
    assert "another method" not in caption(one, far).caption


def test_a_claim_on_every_case_needs_every_case_to_be_better():
    better, unclear, worse = (Interval(mid, mid - 0.4, mid + 0.4, 10_000) for mid in (1, 0, -1))
    for gains, verdict in (
        ((better, better), "holds"),
        ((better, unclear), "unclear"),
        ((unclear, unclear), "unclear"),
        ((better, worse), "does not hold"),
        ((), "unclear"),
    ):
        finding = claim_all("x", dict(zip("ab", gains)), "", SEEDS)
        assert finding.verdict == verdict
    counts = claim_all("x", {"a": better, "b": unclear, "c": worse}, "", SEEDS).evidence
    assert "significantly better in 1 of 3 cases, worse in 1 (corrected for 3 comparisons)" in counts
    assert claim_all("x", {"a": unclear, "b": better}, "", SEEDS, margin=-0.5).verdict == "holds"


def test_the_worst_of_many_cases_is_corrected_for_their_number():
    # Quantiles of a normal distribution: 1.95996 for one case of 95 %, 2.80703 for each of ten together.
    for high, verdict in ((-0.5, "does not hold"), (-0.4, "unclear")):
        half = high + 1.5  # value -1.5, so the corrected upper bound is -1.5 + 1.43220 half: -0.068 and +0.075
        gains = {"worst": Interval(-1.5, -1.5 - half, high, 10**7)} | {f"{k}": Interval(0, -1, 1, 99) for k in range(9)}
        assert claim_all("x", gains, "", SEEDS).verdict == verdict
    assert claim_all("x", {"worst": Interval(-1.5, -2.6, -0.4, 10**7)}, "", SEEDS).verdict == "does not hold"
    # With one degree of freedom the quantile at p is tan(π (p - 1/2)).
    factor = tan(0.4875 * pi) / tan(0.475 * pi)
    assert simultaneous(Interval(5, 4, 6, 2), 2) == pytest.approx((5, 5 - factor, 5 + factor, 2))
    assert simultaneous(Interval(5, 4, 6, 2), 1) == (5, 4, 6, 2)


def test_a_gain_is_unclear_if_two_seeds_differ_by_a_third_of_it():
    sure = claim_gain("x", Interval(0.03, 0.02, 0.04, 9), "", SEEDS)
    assert discount_by_seed_spread(sure, 0.03, 0.009, "PAT").verdict == "holds"
    assert discount_by_seed_spread(sure, 0.03, 0.011, "PAT").verdict == "unclear"
    assert "two seeds of PAT differ by 1.10 points" in discount_by_seed_spread(sure, 0.03, 0.011, "PAT").evidence


def test_the_interval_of_a_score_is_that_of_the_mean_over_images(monkeypatch, tmp_path):
    wrong = {"": torch.tensor([0, 0, 1, 0]).bool(), "FGSM": torch.tensor([0, 1, 1, 0]).bool()}
    monkeypatch.setattr(Grid, "misclassified", lambda self, store, name, attack="": wrong[attack])
    grid = uta_grids.pixel_grid("digits", "mlp", epochs=1, limit=0)
    # Scores of the images 1, 1/2, 0, 1: mean 5/8, variance (9 + 1 + 25 + 9) / 64 / 3; t of three degrees of freedom.
    half = 3.182446 * sqrt(44 / 64 / 3 / 4)
    expected = (0.625, 0.625 - half, 0.625 + half, 4)
    assert grid.score_interval(Store(tmp_path), "PGD-AT 0.1", "FGSM") == pytest.approx(expected)


def test_the_interval_of_a_score_counts_images_that_were_not_attacked_as_another_group():
    right, robust = torch.tensor([1, 1, 0, 1, 0, 1]).bool(), torch.tensor([1, 0]).bool()
    # Clean accuracy 4/6, robust 1/2. Attacked images give (2/6 · 1 + 1) / 2 and (2/6 · 1 + 0) / 2, the others
    # 4/6 · right / 2 of right = 0, 1, 0, 1: variances 1/8 and 1/27; t of one and of three degrees of freedom.
    half = hypot(12.706205 * sqrt(1 / 8 / 2), 3.182446 * sqrt(1 / 27 / 4))
    assert score_interval(right, robust) == pytest.approx((7 / 12, 7 / 12 - half, 7 / 12 + half, 6))


@pytest.mark.parametrize("attacked", [200, 100])
def test_the_interval_of_a_score_covers_the_true_score_in_95_of_100_cases(attacked):
    draw, hits = torch.Generator().manual_seed(0), 0
    for _ in range(1000):
        right = torch.rand(200, generator=draw) < 0.8
        robust = right[:attacked] & (torch.rand(attacked, generator=draw) < 0.75 / 0.8)
        interval = score_interval(right, robust)
        hits += interval.low <= (0.8 + 0.75) / 2 <= interval.high
    assert 0.93 <= hits / 1000 <= 0.97  # 95 % ± 3 standard errors


def test_the_best_of_many_is_not_judged_by_what_it_was_chosen_by(monkeypatch, tmp_path):
    grid, store = uta_grids.pixel_grid("digits", "mlp", epochs=1, limit=1), Store(tmp_path)
    draw = torch.Generator().manual_seed(0)

    def gains(edge: float) -> tuple[list[float], list[float]]:
        """How much the best of eight coin flips is above one more, with and without the choice apart."""
        apart, naive = [], []
        for _ in range(200):
            lost = {f"{k}": torch.rand(100, generator=draw).lt(0.5 - edge * (k == 3)).double() for k in range(9)}
            monkeypatch.setattr(Grid, "_image_scores", lambda self, store, name, attack, lost=lost: 1 - lost[name])
            apart.append(grid.best_score_gain(store, [f"{k}" for k in range(8)], ["8"], "").value)
            naive.append(float(lost["8"].mean() - min(lost[f"{k}"].mean() for k in range(8))))
        return apart, naive

    apart, naive = gains(0.0)
    assert abs(fmean(apart)) < 0.02 and fmean(naive) > 0.05
    assert fmean(gains(0.3)[0]) == pytest.approx(0.3, abs=0.02)


def test_of_several_networks_the_others_choose_the_best(monkeypatch, tmp_path):
    scores = {"a": [0.9, 0.1, 0.1], "b": [0.2, 0.3, 0.4], "c": [0.0, 0.0, 0.0]}
    monkeypatch.setattr(Grid, "_network_scores", lambda self, store, name, attack: scores[name])
    grid, store = uta_grids.pixel_grid("digits", "mlp", epochs=1, limit=1, seeds=3), Store(tmp_path)
    # Without its first network a is worse than b, with it better.
    assert grid.best_score_gain(store, ["a", "b"], ["c"], "").value == pytest.approx((0.2 + 0.1 + 0.1) / 3)


def test_a_rise_is_by_network_or_by_image_and_above_0_where_the_later_grid_is_better(monkeypatch, tmp_path):
    store = Store(tmp_path)
    few, more = (uta_grids.pixel_grid("digits", "mlp", epochs=epochs, limit=1, seeds=3) for epochs in (1, 2))
    assert (few.epochs, more.epochs) == (1, 2)
    scores = {1: [0.1, 0.5, 0.3], 2: [0.3, 0.6, 0.6]}
    monkeypatch.setattr(Grid, "_network_scores", lambda self, store, name, attack: scores[self.epochs])
    seen = more.score_gain(store, few, "PGD-AT 0.1", "")
    assert seen.value == pytest.approx(0.2) and seen.n == 3 and seen.low == pytest.approx(0.2 - 4.302653 * 0.1 / 3**0.5)
    few, more = (uta_grids.pixel_grid("digits", "mlp", epochs=epochs, limit=4) for epochs in (1, 2))
    lost = {1: torch.tensor([1.0, 0.5, 0.5, 0.0]), 2: torch.tensor([0.5, 0.0, 0.5, 0.0])}
    monkeypatch.setattr(Grid, "_image_scores", lambda self, store, name, attack: 1 - lost[self.epochs])
    seen = more.score_gain(store, few, "PGD-AT 0.1", "")
    assert seen.value == pytest.approx(0.25) and seen.n == 4


def test_overfitting_is_catastrophic_where_what_was_learnt_is_gone(monkeypatch, tmp_path):
    def verdict(fgsm: list[float], uta: list[float]) -> str:
        looks = iter([fgsm, fgsm, uta, uta])
        seen = {one.key: next(looks) for nets in runs.trained.values() for one in nets}
        monkeypatch.setattr(
            TrainTask, "recorded", lambda one, _: {key: torch.tensor(seen[one.key]) for key in ("clean", "fgsm", "pgd")}
        )
        return overfitting_findings("MNIST", runs, Store(tmp_path), "seen")[0].verdict

    runs = uta_cells.fashion_mnist_overfitting(epochs=1, seeds=2, data={"digits": {}}, net="mlp", images=300)
    gone, kept, never = [0.6, 0.6, 0.0, 0.0, 0.0], [0.6, 0.5, 0.4, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1, 0.1]
    assert verdict(gone, kept) == "holds" and verdict(kept, kept) == "does not hold"
    assert verdict(gone, gone) == "does not hold" and verdict(gone, never) == "unclear"


def test_every_printed_cell_has_its_place():
    grid = entm_grids.mnist_grid(data="digits", net="small_convnet")
    here = [row for row in printed_numbers("entm") if row["table"] == "9"]
    assert len(here) == 72 and {row["method"] for row in here} <= set(grid.methods)
    named = {row["attack"] if row["setting"] == "white-box" else f"black-box {row['attack']}" for row in here}
    assert named - {"Clean"} == {*grid.white_box, *grid.black_box}
    for data, (tables, _, _) in entm_grids.RESNET18_DATA.items():
        rows = [row for row in printed_numbers("entm") if row["dataset"] == data and row["table"] in tables]
        assert rows and {row["method"] for row in rows} <= set(entm_grids.paper_methods({"eps": 0.1}))
    grids = {data: uta_grids.pixel_grid("digits", "mlp", epochs=1, limit=1) for data in ("mnist", "fashion_mnist")}
    for data, grid in {**grids, "svhn": uta_grids.svhn_grid()}.items():
        rows = [row for row in printed_numbers("uta") if (row["table"], row["dataset"]) == ("1", data)]
        tasks = {(f"{row['method']} {row['eps_train']}", f"AutoAttack {row['eps_test']}") for row in rows}
        suites = [uta_grids.autoattack_key(eps) for eps in uta_grids.autoattack_radii(grid)]
        assert tasks and tasks == {
            (one, suite) for one in grid.methods if one != uta_grids.STANDARD for suite in suites
        }
        pgd_radii = uta_grids.pgd_radii(grid)
        assert len(grid.white_box) == len(suites) + len(pgd_radii) and uta_grids.OVERLAP_RADIUS in pgd_radii
    assert uta_figures.CURVE_LABELS.keys() == {"clean", "fgsm", "pgd"}


def test_a_forecast_counts_passes_and_leaves_threads_as_they_were():
    task = train_task(
        {"pat": {"eps": 0.1, "steps": 5}}, "small_convnet", "digits", {"recipe": {"epochs": 3, "batch": 64}}
    )
    threads = torch.get_num_threads()
    alone, two = forecast([task], CPU), forecast([task, task], CPU)
    assert (
        isinstance(task, TrainTask) and alone.passes == task.total_ticks() * 64 * 6 and two.passes == 2 * alone.passes
    )
    assert alone.seconds > 0 and torch.get_num_threads() == threads


def test_a_forecast_counts_what_is_asked():
    """Of a limit no more than it, of dropout masks each, of a member one."""
    net = train_task("vanilla", {"mlp": {"dropout": 0.2}}, "digits", {"recipe": {"epochs": 1}})
    assert forecast([PredictTask(net, limit=10)], CPU).passes == 10
    pace = _Stopwatch(torch.device("cpu"))
    once = pace._pass(net, gradient=False)
    assert pace._pass(MCDropout(net, 50), gradient=False) == 50 * once
    together = train_task({"ensemble": {"members": 3}}, "mlp", "digits", {"recipe": {"epochs": 1}})
    a_third = pytest.approx(pace._pass(together, gradient=True) / 3)  # 1/3 of a time and the time / 3: an ulp apart
    assert pace._pass(MemberOf(together, 0), gradient=True) == a_third


def test_the_command_says_its_plan_before_it_begins(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("surefooted.pipeline.execute.execute", lambda *given, **options: 0)
    monkeypatch.setattr(study_command, "write_report", lambda *given, **options: None)
    request = study_command.StudyRequest("uta", {"size": "smoke"})
    study_command.run_study(request, Session(Store(tmp_path), CPU), 1, tmp_path / "report")
    said = capsys.readouterr().err
    assert " train" in said and "forward passes × images, about" in said
