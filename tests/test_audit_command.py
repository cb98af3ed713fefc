"""The audit at the command line, of a classifier that is not ours: scikit-learn's perceptron."""

import json
import re
import sys
import warnings

import pytest
from shell import own_streams
from test_audit import SMOKE, close

import surefooted as sf
from surefooted import cli
from surefooted.auditing import AuditOptions
from surefooted.cli.audit import report_name, short_name
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.pipeline.store import Store

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
def command(stranger, monkeypatch, capfd):
    def call(*words):
        monkeypatch.chdir(stranger)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "argv", ["surefooted", *map(str, words)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of stopping early
            with own_streams(), pytest.raises(SystemExit) as left:
                cli.main()
        out, err = capfd.readouterr()
        return left.value.code or 0, out, err

    return call


AUDIT = ("audit", "--data", "digits", "--eps", "15/100", "--budget", "smoke", "--limit", "32")


def test_every_option_arrives(command, monkeypatch):
    seen = {}

    def stop(model, data, options, **rest):
        seen.update(rest, model=model, data=data, options=options)
        raise InputError("far enough")

    monkeypatch.setattr("surefooted.auditing.audit", stop)
    words = ("--norm", "l2", "--eot", "3", "--levels", "4", "--temperature", "halves", "--split", "validation")
    code, _, err = command(*AUDIT, *words, "--seed", "5", "--model", "stranger:mlp", "--mean", "0", "--std", "1/16")
    assert code == 2 and "far enough" in err
    expected = {"eps": 0.15, "norm": "l2", "budget": "smoke", "eot": 3, "levels": 4, "temperature": "halves"}
    expected |= {"split": "validation", "limit": 32, "seed": 5}
    assert {name: getattr(seen["options"], name) for name in expected} == expected
    assert (seen["options"].mean, seen["options"].std) == ((0.0,), (1 / 16,)) and seen["data"].keys() == {"digits"}
    assert seen["model"] == "stranger:mlp" and not seen["quiet"]


def test_a_perceptron_of_scikit_learn_is_audited(command, stranger):
    sixteenth = ("--mean", "0", "--std", "1/16")
    code, out, err = command(*AUDIT, "--model", "stranger:mlp", *sixteenth, "--json")
    numbers = json.loads(out)
    assert code == 0 and numbers["n"] == 32 and numbers["classifier"] == "stranger:mlp"
    assert numbers["calibration"]["clean"]["accuracy"]["value"] > 0.8
    assert "image passes); images broken early" in err
    (report,) = stranger.glob("reports/audit_stranger_mlp_digits_linf-0.15_smoke_*")
    assert numbers["report"] == str(report.relative_to(stranger) / "index.html")
    assert (report / "index.html").read_text().count("stranger:mlp")
    code, out, err = command(*AUDIT, "--model", "stranger:mlp", *sixteenth, "-q", "--report", stranger / "again")
    assert code == 0 and not err
    assert out.startswith("audit of stranger:mlp on Digits (") and "below" not in out
    assert "clean" in out and "AutoAttack" in out and "report:" in out
    found = sf.audit("stranger:Sixteenths", "digits", limit=32, store=Store(stranger / "store"), **SMOKE)
    assert close(found.numbers["attacks"], numbers["attacks"])


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("mymods:good", "mymods_good"),
        ("../nets/my net.pt2", "nets_my_net.pt2"),
        ("timm:resnet50.a1_in1k", "timm_resnet50.a1_in1k"),
        (f"store/{'0af' * 20}/weights.safetensors", "af0af0af0af0af0af0af_weights.safetensors"),
        ("..", "model"),
        ("--help", "help"),
        ("Модель 🙂\n\x00.onnx", "onnx"),
    ],
)
def test_a_report_has_a_directory_by_its_model(model, name):
    assert short_name(model) == name and re.fullmatch(r"[A-Za-z0-9][\w.-]{0,39}", name, re.ASCII)


def test_two_audits_do_not_share_a_report():
    about = [
        (model, {"digits": {"validation": share}}, AuditOptions(eps=eps, **options))
        for model in ("a:b", "a_b")
        for share in (0.1, 0.2)
        for eps in (0.1, 0.10001)
        for options in ({}, {"budget": "quick"}, {"norm": "l2"}, {"limit": 10}, {"weights": "w.safetensors"})
    ]
    names = {report_name(*one) for one in about}
    assert len(names) == len(about) and all(re.fullmatch(r"[\w.-]{1,120}", name, re.ASCII) for name in names)
    here, there = ({"folder": {"path": place, "name": ""}} for place in ("/a", "/b"))
    assert report_name("m:f", here, AuditOptions(), "3f") == report_name("m:f", there, AuditOptions(), "3f")
    assert report_name("m:f", here, AuditOptions(), "3f") != report_name("m:f", here, AuditOptions(), "4f")


def test_an_audit_that_is_stopped_leaves_no_folder(command, stranger, monkeypatch):
    report, there = stranger / "new" / "report", []

    def stop(*_, **__):
        there.append(report.parent.exists())  # what a kill would leave behind
        raise InputError("stopped")

    monkeypatch.setattr("surefooted.auditing.run.execute", stop)
    code, _, err = command(*AUDIT, "--model", "stranger:Sixteenths", "--report", report, "-q")
    assert code == 2 and "stopped" in err and not report.parent.exists() and there == [False]


@pytest.mark.filterwarnings("ignore::surefooted.errors.ModelNotice")
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
        ((*AUDIT, "--model", "stranger:mlp", "--outputs", "words"), "expected logits, probabilities, "),
        (
            (*AUDIT, "--model", "stranger:Sixteenths", "--outputs", "probabilities"),
            "for 64 of 64 images are not probabilities",
        ),
        ((*AUDIT, "--model", "stranger:Two", "--outputs", "probabilities"), "returns a tuple"),
        ((*AUDIT, "--model", "stranger:mlp", "--norm", "l1"), "--norm is 'l1'"),
        ((*AUDIT, "--model", "none.onnx"), "does not exist"),
        ((*AUDIT, "--model", "stranger:mlp", "--levels", "33"), "--levels is 33, but there are only 32 images"),
        (
            (*(word if word != "15/100" else "8" for word in AUDIT), "--model", "stranger:mlp"),
            "--eps is 8, .* Did you mean 8/255?",
        ),
        (
            (*(word if word != "15/100" else "128" for word in AUDIT), "--norm", "l2", "--model", "stranger:mlp"),
            "--eps is 128, but a ball of radius 8 contains every image. .* 128/255?",
        ),
        (AUDIT, "Which classifier?"),
        (("audit", "--model", "stranger:mlp"), "Pass --data, for example --data digits"),
        (("study", "run", "audit"), "no 'audit' among the studies"),
    ],
)
def test_bad_input_is_one_message_and_code_2(command, words, said, stranger):
    before = sorted(stranger.glob("reports/*"))
    code, _, err = command(*words)
    assert code == 2 and re.search(said, err) and "Traceback" not in err
    assert sorted(stranger.glob("reports/*")) == before


def test_an_honest_network_raises_no_flag(command, tmp_path):
    store = Store(tmp_path)
    run = sf.train("vanilla", "mlp", digits(), sf.recipe(epochs=1), store=store)
    weights = run.task.path(store) / "weights.safetensors"
    words = ("attack", "fgsm", "--model", weights, "--data", "digits", "--limit", "16", "--attack.eps", "0.1")
    code, out, _ = command(*words, "--json")
    assert code == 0 and json.loads(out)["flags"] == []
