"""An exported file answers as the network does, or there is no file."""

import pytest
import torch
from torch import nn

import surefooted as sf
from surefooted.components.component import Spec
from surefooted.errors import ArgumentError, InputError, ModelError
from surefooted.models import export as exporting
from surefooted.models.external.onnx import read_onnx
from surefooted.models.external.program import read_program
from surefooted.models.weights import load_model

SHAPE = (1, 8, 8)


class Mine(nn.Module):
    """Normalises, flattens by view and returns a dictionary, as the models of others do."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(108, 4)

    def forward(self, x):
        return {"logits": self.head(self.norm(self.conv((x - 0.5) / 0.25)).relu().view(x.shape[0], -1))}


def normalised():
    net = sf.network("small_convnet", sf.digits(), width=2, normalise="channel")
    net.normalise.fit(sf.digits().train.points(slice(0, 50)).x)
    return net.eval()


READERS = {"pt2": read_program, "torchscript": torch.jit.load, "onnx": read_onnx, "safetensors": load_model}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("to", READERS)
def test_a_file_answers_as_the_network_with_its_normalisation(tmp_path, to):
    if to == "onnx":
        pytest.importorskip("onnxscript")
    net, file = normalised(), tmp_path / "deep" / f"net.{'ts' if to == 'torchscript' else to}"
    check = sf.export(net, file, shape=SHAPE)
    assert (
        check.format == to and check.file == file and check.difference < 1e-5 and len(list(file.parent.iterdir())) == 1
    )
    x = torch.rand(7, *SHAPE)
    with torch.no_grad():
        assert torch.allclose(READERS[to](file)(x), net(x), atol=1e-5)


def test_networks_of_others_and_ensembles_are_exported_too(tmp_path):
    net = Mine()
    before, net.training = {name: value.clone() for name, value in net.state_dict().items()}, True
    sf.export(net, tmp_path / "mine.pt2", shape=SHAPE)
    assert net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    ensemble = sf.ensembles.Ensemble([normalised(), sf.network("mlp", SHAPE, 10)]).eval()
    sf.export(ensemble, tmp_path / "two.pt2", shape=SHAPE)
    x = torch.rand(3, *SHAPE)
    with torch.no_grad():
        mean = ensemble(x).softmax(-1).mean(0)
        assert torch.allclose(read_program(tmp_path / "two.pt2")(x).softmax(-1), mean, atol=1e-5)
    assert sf.export(net, tmp_path / "mine.safetensors", shape=SHAPE).difference == 0


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "read_program", lambda file: sf.network("mlp", SHAPE, 10, seed=1))
    with pytest.raises(ModelError, match=r"answers otherwise: its logits differ by up to [\d.]+\. It was not kept"):
        sf.export(sf.network("mlp", SHAPE, 10), tmp_path / "net.pt2", shape=SHAPE)
    assert not list(tmp_path.iterdir())


class Branches(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, : 3 if float(x.sum()) > 0 else 4]


def test_what_cannot_be_exported_is_refused(tmp_path):
    net = sf.network("mlp", SHAPE, 10, dropout=0.5)
    masks = sf.ensembles.MonteCarloDropout(net, samples=2).eval()
    for bad, file, message in (
        (masks, "a.pt2", "draws at random"),
        (Branches(), "a.pt2", r"cannot be exported to pt2 \(.*Try another format: onnx, torchscript, safetensors"),
        (net, "a.keras", r"a\.keras ends in '\.keras'; expected \.onnx, \.pt2"),
    ):
        with pytest.raises(InputError, match=message):
            sf.export(bad, tmp_path / file, shape=SHAPE)
    with pytest.raises(ArgumentError, match="`shape` is missing"):
        sf.export(net, tmp_path / "a.pt2")
    with pytest.raises(ArgumentError, match=r"`to` is 'tflite'\. Available: onnx"):
        sf.export(net, tmp_path / "a.pt2", shape=SHAPE, to="tflite")
    assert not list(tmp_path.iterdir())


def test_a_network_by_name_is_that_of_nets():
    net = sf.network("lenet", (1, 28, 28), 10)
    assert net.spec == Spec("lenet", {"normalise": "none"}) and [*dict(net.named_children())][1] == "conv1"
    assert sf.network("mlp", sf.digits().train, width=8).fc2.out_features == 10
    same, other = (sf.network("mlp", SHAPE, 10, seed=seed).fc1.linear.weight for seed in (0, 1))
    assert torch.equal(same, sf.network("mlp", SHAPE, 10).fc1.linear.weight) and not torch.equal(same, other)
    for wrong, message in (("lennet", "Did you mean 'lenet'"), ("mlp", "`classes` is missing")):
        with pytest.raises(ArgumentError, match=message):
            sf.network(wrong, SHAPE, *([10] if wrong != "mlp" else []))
