"""The audit: one classifier in four guises has the same numbers, a killed audit goes on, each flaw is named."""

import json
import multiprocessing
import re
import signal
import sys
import time
import warnings

import pytest
import torch
from test_checks import FLAWS, trained
from torch import nn

import surefooted as sf
from surefooted import cli
from surefooted.auditing import Estimate, audited, estimate
from surefooted.cell import Attacked, Predicted, Weights, attacked, attacking, known_data
from surefooted.commands.auditing import _slug
from surefooted.console import spoken
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.execute import execute, plan
from surefooted.foreign import Live
from surefooted.machine import Machine
from surefooted.spec import build
from surefooted.store import Store
from surefooted.studies.audit import audit_of
from surefooted.studies.audit.cells import BUDGETS
from surefooted.temperature import fit_temperature

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
    return sf.audit(run[0].net, "digits", store=store, **SMOKE), store


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
    ours = Weights(run[0].cell.path(run[1]) / "weights.safetensors")
    numbers = found[0].numbers | {"classifier": ""}
    for guise in (str(tmp_path / "net.pt2"), str(tmp_path / "net.onnx"), ours):
        options = {"temperature": "halves"} if guise is ours else {}
        its = sf.audit(guise, "digits", store=Store(tmp_path / "store"), **SMOKE, **options)
        assert close(its.numbers | {"classifier": ""}, numbers)
    assert found[0].numbers["n"] == 64 and found[0].flags == []


def test_a_network_of_ours_brings_its_data_and_validation_images(run):
    trained_net, store = run
    its = sf.audit(trained_net.cell, store=store, **SMOKE)
    held = Predicted(trained_net.cell, "validation").result(store)
    assert its.numbers["temperature"].startswith(f"T = {fit_temperature(held):.3f}, fitted on {len(held.y)} validation")


def test_what_is_reported_is_what_the_parts_say(run, found):
    (net, _), (its, store) = run, found
    points = digits().test.points(slice(0, 64))
    numbers = its.numbers
    p = sf.predict(net.net, points)
    assert numbers["calibration"]["clean"]["ece"]["value"] == pytest.approx(sf.metrics.ece(p))
    again = sf.attack("autoattack", net.net, points, eps=0.15, **BUDGETS["smoke"].strongest)
    (strongest,) = (one for one in numbers["attacks"] if one["name"] == "AutoAttack")
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
        "none of 9 checks",
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


@pytest.mark.parametrize("name", FLAWS)
def test_each_flaw_is_named_in_an_audit(name, tmp_path):
    points = digits().test.points(slice(0, 64))
    its = sf.audit(FLAWS[name](trained(), points.x), "digits", store=Store(tmp_path / "store"), **SMOKE)
    assert name in {flag.name for flag in its.flags} == {flag["name"] for flag in its.numbers["flags"]}
    assert its.page.findings[0].verdict != "holds"
    assert its.page.items[0].rows[0]["cure"]


def test_draws_are_averaged_where_asked_for(tmp_path):
    points = digits().test.points(slice(0, 64))
    random = FLAWS["randomised"](trained(), points.x)
    its = sf.audit(random, "digits", eot=3, limit=16, store=Store(tmp_path / "store"), **SMOKE)
    assert "randomised" not in {flag.name for flag in its.flags}
    (strongest,) = (one for one in its.numbers["attacks"] if one["name"] == "AutoAttack")
    assert strongest["attack"]["autoattack"]["version"] == "rand" and strongest["attack"]["autoattack"]["eot"] == 3


def test_the_other_norm(tmp_path):
    its = sf.audit(trained(), "digits", norm="l2", store=Store(tmp_path / "store"), **{**SMOKE, "eps": 0.5})
    robust = [one["robust_accuracy"]["value"] for one in its.numbers["attacks"]]
    assert robust[:4] == sorted(robust[:4], reverse=True) and "L2" in its.page.subtitle
    assert its.numbers["attacks"][-2]["eps"] == 8 and its.flags == []


@pytest.mark.parametrize("budget", BUDGETS)
def test_all_attacks_of_a_budget_can_be_built(budget):
    made = audit_of(model=Live(trained(), (1, 8, 8)), data=known_data("digits"), eps=0.1, norm="linf", budget=budget)
    for one in made.cells:
        if isinstance(one, Attacked):
            assert build("surefooted.attacks", one.attack).passes > 0


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
    victim = Live(Slow(net, seconds), (1, 8, 8))
    return audit_of(model=victim, data=known_data("digits"), eps=0.15, norm="linf", budget="smoke", limit=96)


def audit_slowly(net, root, seconds):
    made, store = slow_audit(net, seconds), Store(root)
    execute(made.cells, store, machine=Machine("cpu"), quiet=True)
    return audited(made, store).numbers


def files(root):
    return len([*root.glob("artefacts/*/*/spec.json"), *root.glob("work/*/rows_*.safetensors")])


BLOCKS = {"cpu": 32, "cuda": 32}


def audit_to_be_killed(net, root):
    """What a process does that a test ends."""
    torch.set_num_threads(1)
    attacked.BLOCK_LEAST, attacked.BLOCK_WORK = BLOCKS, 1
    audit_slowly(net, root, 0.002)


def test_killed_three_times_it_finishes_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(attacked, "BLOCK_LEAST", BLOCKS)
    monkeypatch.setattr(attacked, "BLOCK_WORK", 1)
    net, root = trained(), tmp_path / "killed"
    # Forked from a process without threads, of which earlier tests leave some behind here.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["surefooted.auditing", "surefooted.nets"])
    for enough in (3, 6, 9):
        child = context.Process(target=audit_to_be_killed, args=(net, root))
        child.start()
        ends = time.monotonic() + 300
        while files(root) < enough and time.monotonic() < ends:
            time.sleep(0.01)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL and enough <= files(root)
    assert plan(slow_audit(net, 0).cells, Store(root))
    assert audit_slowly(net, root, 0) == audit_slowly(net, tmp_path / "whole", 0)


def test_an_attack_goes_on_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(attacked, "BLOCK_LEAST", {"cpu": 16, "cuda": 16})
    monkeypatch.setattr(attacked, "BLOCK_WORK", 1)
    victim = Live(trained(), (1, 8, 8))
    attack = {"pgd": {"eps": 0.1, "steps": 3, "keep": "worst"}}

    def made(limit=80):
        return attacking(victim, attack, data=known_data("digits"), limit=limit)

    store, asked = Store(tmp_path / "store"), []

    def stop_after(n):
        def tick(rows):
            asked.append(rows)
            if len(asked) == n:
                raise KeyboardInterrupt

        return tick

    with pytest.raises(KeyboardInterrupt):
        made().run(store, Machine("cpu"), stop_after(10))  # in the third block of four passes each
    assert len(list(store.root.glob("work/*/rows_*.safetensors"))) == 2
    asked.clear()
    made().run(store, Machine("cpu"), stop_after(-1))
    assert asked[:2] == [64, 64] and sum(asked) == made().work() == 80 * 4
    assert not list(store.root.glob("work/*"))
    monkeypatch.setattr(attacked, "BLOCK_WORK", 2**18)
    whole = Store(tmp_path / "whole")
    made().run(whole, Machine("cpu"))
    blocks, once = made().result(store), made().result(whole)
    assert blocks.keys() == once.keys() == {"rows", "y", "found", "size", "queries", "x"}
    assert all(torch.equal(blocks[name], once[name]) for name in once)


# --- before it begins


def test_the_estimate_counts_the_passes_that_are_left(tmp_path):
    victim, store = Live(trained(), (1, 8, 8)), Store(tmp_path)
    made = audit_of(model=victim, data=known_data("digits"), eps=0.15, norm="linf", budget="smoke")
    x = digits().test.points(slice(0, 64)).x
    net = victim.load(store)
    before = estimate(made, store, net, x)
    assert before.passes == sum(c.work() for c in made.cells if isinstance(c, Attacked))
    assert before.seconds > 0
    execute([made.huge], store, quiet=True)
    assert estimate(made, store, net, x).passes == before.passes - made.huge.work()
    assert "at most about a second or two for 10 image-passes" in str(Estimate(0.5, 10))
    assert [spoken(s) for s in (0.1, 90, 600, 7200 * 3, 86400 * 3)] == [
        "a second or two",
        "90 seconds",
        "10 minutes",
        "6 hours",
        "3 days",
    ]


def test_what_cannot_be_audited_is_refused_before_any_work(tmp_path):
    store = Store(tmp_path / "store")
    seven = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(InputError, match="tells 7 classes apart and the data have 10"):
        sf.audit(seven, "digits", store=store, **SMOKE)
    with pytest.raises(InputError, match="name a data set"):
        sf.audit(seven, store=store, **SMOKE)
    with pytest.raises(InputError, match="names no classifier"):
        sf.audit("lenet", "digits", store=store, **SMOKE)
    with pytest.raises(InputError, match="budget = 'quck'"):
        sf.audit(seven, "digits", store=store, budget="quck")
    with pytest.raises(InputError, match="for other classifiers than ours"):
        sf.audit(Weights(tmp_path / "none.safetensors"), "digits", store=store, outputs="probabilities", **SMOKE)
    with pytest.raises(InputError, match="not there; expected a weights"):
        sf.audit(Weights(tmp_path / "none.safetensors"), "digits", store=store, **SMOKE)
    assert not list(store.root.glob("artefacts/*"))


# --- the command

STRANGER = """
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from torch import nn

X, Y = load_digits(return_X_y=True)
fitted = MLPClassifier((32,), max_iter=30, random_state=0, tol=0).fit(X[:1200], Y[:1200])

def mlp():
    '''scikit-learn's own perceptron, trained on its own digits from 0 to 16.'''
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    for layer, w, b in zip((net[1], net[3]), fitted.coefs_, fitted.intercepts_):
        layer.weight.data, layer.bias.data = torch.tensor(w.T).float(), torch.tensor(b).float()
    return net

class Sixteenths(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        return self.net(16 * x)

class Soft(Sixteenths):
    def forward(self, x):
        return super().forward(x).softmax(-1)

class Two(Sixteenths):
    def forward(self, x):
        return super().forward(x), None
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stranger.py").write_text(STRANGER)
    return folder


@pytest.fixture
def command(stranger, monkeypatch, capsys):
    def call(*words):
        monkeypatch.chdir(stranger)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "argv", ["surefooted", *map(str, words)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of stopping early
            with pytest.raises(SystemExit) as left:
                cli.main()
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return call


AUDIT = ("audit", "--data", "digits", "--eps", "15/100", "--budget", "smoke", "--limit", "32")


def test_a_perceptron_of_scikit_learn_is_audited(command, stranger):
    sixteenth = ("--mean", "0", "--std", "1/16")
    code, out, err = command(*AUDIT, "--model", "stranger:mlp", *sixteenth, "--json")
    numbers = json.loads(out)
    assert code == 0 and numbers["n"] == 32 and numbers["classifier"] == "stranger:mlp"
    assert numbers["calibration"]["clean"]["accuracy"]["value"] > 0.8
    assert "at most about" in err
    assert (stranger / "reports" / "audit_stranger_mlp" / "index.html").read_text().count("stranger:mlp")
    code, out, err = command(*AUDIT, "--model", "stranger:mlp", *sixteenth, "-q", "--report", stranger / "again")
    assert code == 0 and not err
    assert out.startswith("audit of stranger:mlp on Digits (") and "below" not in out
    assert "as it is" in out and "AutoAttack" in out and "report:" in out
    found = sf.audit("stranger:Sixteenths", "digits", limit=32, store=Store(stranger / "store"), **SMOKE)
    assert close(found.numbers["attacks"], numbers["attacks"])


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("mymods:good", "mymods_good"),
        ("../nets/my net.pt2", "nets_my_net.pt2"),
        ("timm:resnet50.a1_in1k", "timm_resnet50.a1_in1k"),
        (f"store/{'0af' * 20}/weights.safetensors", r"\w+_weights.safetensors_[0-9a-f]{8}"),
        ("..", "model"),
    ],
)
def test_a_report_has_a_directory_by_its_model(model, slug):
    assert re.fullmatch(slug, _slug(model)) and len(_slug(model)) <= 40


def test_probabilities_are_flagged_and_mended(command, stranger):
    code, out, _ = command(*AUDIT, "--model", "stranger:Soft", "--outputs", "probabilities", "-q", "--json")
    assert code == 0 and "softmax_twice" not in {flag["name"] for flag in json.loads(out)["flags"]}
    found = sf.audit("stranger:Soft", "digits", limit=32, store=Store(stranger / "store"), **SMOKE)
    assert "softmax_twice" in {flag.name for flag in found.flags}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*AUDIT, "--model", "stranger:Two"), "returns a tuple"),
        ((*AUDIT, "--model", "stranger:mlp", "--mean", "0,0,0", "--std", "1,1,1"), "cannot run on 64 images of"),
        ((*AUDIT, "--model", "stranger:mlp", "--mean", "grey", "--std", "1"), "--mean is 'grey'"),
        ((*AUDIT, "--model", "stranger:mlp", "--outputs", "labels"), "expected logits or probabilities"),
        ((*AUDIT, "--model", "stranger:Sixteenths", "--outputs", "probabilities"), "of 64 images 64 have outputs"),
        ((*AUDIT, "--model", "stranger:Two", "--outputs", "probabilities"), "returns a tuple"),
        ((*AUDIT, "--model", "stranger:mlp", "--norm", "l1"), "norm = 'l1'"),
        ((*AUDIT, "--model", "none.onnx"), "is not there"),
        ((*AUDIT, "--model", "stranger:mlp", "--levels", "33"), "--levels is 33, and there are 32 images"),
        ((*AUDIT, "--model", "stranger:mlp", "--eps", "8"), "eps = 8 in L∞ .* Did you mean 8/255?"),
        (AUDIT, "which classifier?"),
        (("audit", "--model", "stranger:mlp"), "which data?"),
        (("study", "run", "audit"), "audit needs the argument 'model'"),
    ],
)
def test_bad_input_is_one_message_and_code_2(command, words, said, stranger):
    before = sorted(stranger.glob("reports/*"))
    code, _, err = command(*words)
    assert code == 2 and re.search(said, err) and "Traceback" not in err
    assert sorted(stranger.glob("reports/*")) == before


def test_flags_go_with_every_robust_accuracy(command, run):
    weights = run[0].cell.path(run[1]) / "weights.safetensors"
    words = ("attack", "fgsm", "--model", weights, "--data", "digits", "--limit", "16", "--attack.eps", "0.1")
    code, out, _ = command(*words, "--json")
    assert code == 0 and json.loads(out)["flags"] == []
