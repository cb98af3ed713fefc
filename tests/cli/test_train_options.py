"""``train`` with one's own code, a line per epoch and a logger; ``export``."""

import pytest
import torch

from surefooted.models.external.program import read_program
from surefooted.pipeline.store import Store

SMALL = ["--data.train_limit", 64, "--data.test_limit", 40, "--recipe.epochs", 2, "--recipe.batch", 24]

MODULE = """
import torch
from torch import nn
print("imported")

class Net(nn.Module):
    def __init__(self, num_classes, width=4):
        super().__init__()
        print("built")
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, x):
        return self.layers(x)

def loss(logits, target):
    return torch.nn.functional.cross_entropy(logits, target, reduction="none")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUREFOOTED_STORE", str(tmp_path / "store"))
    (tmp_path / "ownnet.py").write_text(MODULE)
    return tmp_path


def test_own_network_and_loss_train_and_are_attacked_by_key(run, document, here):
    words = ["train", "custom", "--net", "ownnet:Net", "--net.width", 6, "--method.loss", "ownnet:loss", *SMALL]
    trained = document(*words, "--log", "csv", "--log.path", here / "log.csv")
    assert next(iter(trained["net"])).startswith("ownnet:Net@") and next(iter(trained["net"].values())) == {"width": 6}
    assert (here / "log.csv").read_text().count("\n") == 3
    code, out, error = run(*words)
    assert code == 0 and "Next: surefooted attack pgd --model" in out and "epoch" not in error  # found, not trained
    attacked = document("attack", "fgsm", "--model", trained["key"][:12], "--limit", 10)
    assert attacked["n"] == 10


def test_a_line_per_epoch_where_there_is_no_terminal(run, here):
    words = ["train", "vanilla", "--net", "mlp", "--net.width", 4, *SMALL, "--data.validation", 0.2]
    words += ["--record", "robust_accuracy", "--record.eps", 0.1, "--record.steps", 2]
    _, _, error = run(*words)
    first, second = error.splitlines()
    assert first.startswith("epoch 1/2: loss ") and second.startswith("epoch 2/2: loss ")
    assert "robust accuracy 0" in first and first.endswith(" steps/s")
    assert run(*words, "--seed", 1, "--quiet")[2] == ""


def test_a_formula_is_a_loss(document, refused, here):
    trained = document("train", "custom", "--method.loss", "cross_entropy() + 0.1 * entropy()", "--net", "mlp", *SMALL)
    assert list(trained["method"]["custom"]["loss"]) == ["cross_entropy() + 0.1 * entropy()@1.2"]
    assert "is not a weighted sum" in refused("train", "custom", "--method.loss", "cross_entropy() * 2 * entropy()",
                                              "--net", "mlp")  # fmt: skip


def test_export_writes_a_file_and_says_how_close_it_is(run, document, refused, here):
    key = document("train", "vanilla", "--net", "mlp", *SMALL)["key"]
    code, out, _ = run("export", key[:8], "--to", "pt2")
    assert code == 0 and f"{key[:8]}.pt2 answers as the network does: logits differ by " in out
    assert f"Next: surefooted audit --model {key[:8]}.pt2 --data digits --eps 8/255 --budget quick" in out
    written = document("export", key[:8], "--out", here / "sub" / "net.safetensors")
    assert written["format"] == "safetensors" and written["largest_difference"] < 1e-6
    assert read_program(here / f"{key[:8]}.pt2")(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert document("attack", "fgsm", "--model", here / "sub" / "net.safetensors", "--limit", 5)["n"] == 5
    assert "Which format? Give --to" in refused("export", key)
    assert "--to is 'keras'; expected onnx" in refused("export", key, "--to", "keras")
    assert "Which network?" in refused("export", "--to", "pt2")
    assert Store().has("train", key)


def test_export_overwrites_only_what_is_named_and_never_the_network(document, refused, here):
    key = document("train", "vanilla", "--net", "mlp", *SMALL)["key"]
    net = here / "net.safetensors"
    document("export", key, "--out", net)
    trained = next((here / "store").glob(f"artefacts/train/{key[:8]}*/weights.safetensors"))
    before = trained.read_bytes(), net.read_bytes()
    for words in ([key, "--out", trained], [net, "--out", net], ["net.safetensors", "--to", "safetensors"]):
        assert "is the network that is to be exported" in refused("export", *words)
    assert (trained.read_bytes(), net.read_bytes()) == before
    other = here / f"{key}.safetensors"
    other.write_text("mine")
    message = f"{other.name} exists already. To overwrite it, name it: --out {other.name}."
    assert message in refused("export", key, "--to", "safetensors")
    assert other.read_text() == "mine"
    document("export", key, "--out", other.name)
    assert other.read_bytes() == before[1]
