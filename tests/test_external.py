"""External classifiers from files, factories and hubs: the same answers and gradients, and no code of a file is run."""

import json
import sys
import types
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from surefooted.data import digits
from surefooted.errors import ArgumentError, DependencyError, ModelError
from surefooted.evaluation.checks import sanity_check, sanity_flags
from surefooted.models import nets
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.external.onnx import read_onnx
from surefooted.models.external.program import read_program
from surefooted.models.victims import NetworkVictim

SHAPE = (1, 8, 8)


class Varied(nn.Module):
    """A buffer, a constant, a list of results, sizes read off the input, batch norm and dropout."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.linear = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(36, 10)
        self.register_buffer("mean", torch.rand(1, 1, 1))
        self.scale = torch.tensor([1.0, 2.0])
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        one, two = self.norm(self.conv((x - self.mean) / 0.3)).chunk(2, 1)
        z = torch.cat([one.relu(), two.sigmoid() * self.scale.view(1, 2, 1, 1)], 1)
        z = nn.functional.max_pool2d(nn.functional.pad(z, (0, 1, 0, 1)), 2)[:, :, :3, :3].clamp(max=1.5)
        z = nn.functional.dropout(z.view(x.size(0), -1), training=self.training)
        return self.linear(z + torch.zeros(x.shape[0], 1))


def networks():
    torch.manual_seed(1)
    return {
        "varied": Varied().eval(),
        "small_convnet": nets.small_convnet(SHAPE, 10, normalise="channel").eval(),
        "wide_resnet": nets.wide_resnet(SHAPE, 10, depth=10, widen=1).eval(),
    }


def exported(net, path, beside=False):
    """As a user writes it, in either format."""
    batch = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".pt2":
            torch.export.save(torch.export.export(net, (torch.rand(2, *SHAPE),), dynamic_shapes=batch), path)
        else:
            torch.onnx.export(
                net,
                (torch.rand(2, *SHAPE),),
                path,
                dynamo=True,
                dynamic_shapes=batch,
                external_data=beside,
                verbose=False,
            )
    return path


def answers(net, n=5):
    x = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(n)).requires_grad_()
    out = net(x)
    (slope,) = torch.autograd.grad(out.square().sum(), x)
    return out.detach(), slope


@pytest.fixture(scope="module")
def pt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pt2")
    return {name: exported(net, folder / f"{name}.pt2") for name, net in networks().items()}


@pytest.mark.parametrize("name", networks())
def test_an_exported_program_gives_the_same_bits(name, pt2):
    for n in (1, 5):
        for expected, actual in zip(answers(networks()[name], n), answers(read_program(pt2[name]), n)):
            assert torch.equal(expected, actual)


def test_a_decomposed_program_gives_the_same_answers_and_gradients(tmp_path):
    net = Varied().eval()
    program = torch.export.export(net, (torch.rand(2, *SHAPE),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program.run_decompositions(), tmp_path / "core.pt2")
    for expected, actual in zip(answers(net), answers(read_program(tmp_path / "core.pt2"))):
        assert torch.allclose(expected, actual, atol=1e-6)


@pytest.mark.parametrize("name", ["varied", "small_convnet"])
def test_an_onnx_file_gives_the_same_answers_and_gradients(name, tmp_path):
    net = networks()[name]
    imported = read_onnx(exported(net, tmp_path / "net.onnx"))
    for n in (1, 5):
        for a, b in zip(answers(net, n), answers(imported, n)):
            assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(("layer", "flag"), [(nn.BatchNorm1d(64), "train_mode"), (nn.Dropout(0.5), "randomised")])
def test_a_program_exported_in_training_mode_is_flagged(layer, flag, tmp_path):
    torch.manual_seed(0)
    net, points = nn.Sequential(nn.Flatten(), layer, nn.Linear(64, 10)).train(), digits().test.points(slice(0, 32))
    shapes = ({0: torch.export.Dim("batch", min=2)},)
    torch.export.save(torch.export.export(net, (points.x[:4],), dynamic_shapes=shapes), tmp_path / "net.pt2")
    assert [one.name for one in sanity_flags(sanity_check(read_program(tmp_path / "net.pt2"), points))] == [flag]


def rewritten(path, target, change):
    """The archive with one member changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, change(name, source.read(name)))
    return target


def test_nothing_in_a_program_is_unpickled_or_evaluated(pt2, tmp_path):
    ran = tmp_path / "ran"
    evil = f"__import__('pathlib').Path({str(ran)!r}).touch()"

    def poisoned(name, content):
        if name.endswith("models/model.json"):
            program = json.loads(content)
            for symbol in program["graph_module"]["graph"]["sym_int_values"].values():
                symbol["as_expr"]["expr_str"] = evil
            program["guards_code"] = [evil]
            return json.dumps(program)
        if name.endswith("sample_inputs/model.pt"):
            return b"cos\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR."
        return content

    net = read_program(rewritten(pt2["varied"], tmp_path / "poisoned.pt2", poisoned))
    assert torch.equal(answers(net)[0], answers(Varied().eval())[0])
    assert not ran.exists()


def edited(key, value):
    def change(name, content):
        if name.endswith(key[0]):
            document = json.loads(content)
            place = document
            for part in key[1:-1]:
                place = place[part]
            place[key[-1]] = value
            return json.dumps(document)
        return content

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited(("weights_config.json", "config", "conv.weight", "use_pickle"), True), "'conv.weight' as a pickle"),
        (
            edited(("model.json", "graph_module", "graph", "nodes", 0, "target"), "torch.ops.aten.from_file.default"),
            "calls torch.ops.aten.from_file.default",
        ),
        (
            edited(("model.json", "graph_module", "graph", "nodes", 0, "target"), "torch.hub.load"),
            "calls torch.hub.load",
        ),
        *(
            (edited(("model.json", "graph_module", "graph", "nodes", 0, "target"), target), f"calls {target}")
            for target in ("torch.ops.aten.relu.__setattr__", "torch.ops.aten.relu._op", "add.Tensor")
        ),
        (edited(("model.json", "schema_version", "major"), 7), "format version 7; expected 8"),
        (edited(("model.json", "graph_module"), None), "not a program that torch.export wrote"),
        (lambda name, content: b"big" if name.endswith("byteorder") else content, "big-endian"),
        (lambda name, content: content[:10] if name.endswith("weight_0") else content, "not a program"),
    ],
)
def test_programs_that_cannot_be_trusted_or_read_are_refused(change, message, pt2, tmp_path):
    with pytest.raises(ModelError, match=message) as error:
        read_program(rewritten(pt2["varied"], tmp_path / "changed.pt2", change))
    assert "torch.export" in str(error.value) or "factory" in str(error.value)


def test_files_of_another_kind_are_refused(tmp_path):
    place = tmp_path / "model.pt2"
    place.write_bytes(b"no archive")
    with pytest.raises(ModelError, match=r"not a complete \.pt2 file"):
        read_program(place)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(ModelError, match=r"no program of the current format.*torch\.export\.save"):
        read_program(place)
    (tmp_path / "model.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        read_onnx(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        _ = ExternalModel(str(tmp_path / "none.onnx"), SHAPE).key


FACTORY = """
import torch
from torch import nn

def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def nothing():
    return None

def sized(classes, width=3):
    return linear()

def broken():
    raise KeyError("num_classes")

ready = linear()
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "mymodels.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "mymodels:linear"
    sys.modules.pop("mymodels", None)


def test_a_factory_with_its_weights(factory, tmp_path):
    weights = {"1.weight": torch.ones(10, 64), "1.bias": torch.arange(10.0)}
    save_file(weights, tmp_path / "weights.safetensors")
    net = ExternalModel(factory, SHAPE, tmp_path / "weights.safetensors").load()
    assert torch.equal(net(torch.zeros(2, *SHAPE)), torch.arange(10.0).expand(2, 10))
    plain, loaded = ExternalModel(factory, SHAPE), ExternalModel(factory, SHAPE, tmp_path / "weights.safetensors")
    assert plain.key == ExternalModel(factory, SHAPE).key != loaded.key
    save_file({"1.weight": torch.ones(10, 63)}, tmp_path / "wrong.safetensors")
    with pytest.raises(ModelError, match="does not fit the network"):
        ExternalModel(factory, SHAPE, tmp_path / "wrong.safetensors").load()
    with pytest.raises(ArgumentError, match="weights of its own"):
        ExternalModel("timm:resnet18", SHAPE, tmp_path / "weights.safetensors").load()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere:linear", "'nowhere' cannot be imported"),
        ("mymodels:quadratic", "no function 'quadratic'"),
        ("mymodels:nothing", "returned a NoneType"),
        ("mymodels:a b", "names no function"),
        (":linear", "names no function"),
        ("mymodels.:linear", "names no function"),
        ("mymodels:sized", r"needs arguments \(classes\).*def model\(\): return sized\(classes=\.\.\.\)"),
        ("mymodels:broken", r"failed \(KeyError: 'num_classes', mymodels.py line 16\)"),
        ("ends:linear", r"'ends' cannot be imported \(SystemExit: 3, ends.py line 1\)"),
        ("unwritten:linear", r"'unwritten' cannot be imported \(SyntaxError"),
    ],
)
def test_factories_that_cannot_be_used(source, message, factory, tmp_path):
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    (tmp_path / "unwritten.py").write_text("def linear(:")
    with pytest.raises(ModelError, match=message):
        ExternalModel(source, SHAPE).load()


def test_a_module_in_the_place_of_a_factory_is_taken_as_it_is(factory):
    assert ExternalModel("mymodels:ready", SHAPE).key == ExternalModel(factory, SHAPE).key


def test_a_classifier_that_writes_to_its_input_gets_a_copy():
    class Doubles(nn.Module):
        def forward(self, x):
            return x.mul_(2).flatten(1)

    x = torch.rand(3, *SHAPE).requires_grad_()
    images = x.detach().clone()
    for adapter in ({}, {"outputs": "probabilities"}, {"mean": (0.0,), "std": (1.0,)}):
        NetworkVictim(InMemoryModel(Doubles(), SHAPE, **adapter).load())(x).sum().backward()
        assert torch.equal(x, images)


def test_normalisation_and_probabilities_stay_inside_the_adapter():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), torch.rand(4, 3, 8, 8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    normal = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(InMemoryModel(net, (3, 8, 8), mean, std).load()(x), net(normal))
    soft = nn.Sequential(net, nn.Softmax(-1))
    logits = InMemoryModel(soft, (3, 8, 8), outputs="probabilities").load()(x)
    assert torch.allclose(logits.softmax(-1), soft(x))
    assert InMemoryModel(net, (3, 8, 8)).load() is net
    net.eval()
    assert not InMemoryModel(net, (3, 8, 8), mean, std).load().training


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({"mean": (0.5,)}, "one number per channel in both"),
        ({"mean": (127.0,), "std": (50.0,)}, "Divide both by 255"),
        ({"mean": (0.5,), "std": (0.0,)}, "`std` above 0"),
        ({"mean": (float("nan"),), "std": (1.0,)}, "finite"),
    ],
)
def test_impossible_adapters_are_refused(adapter, message):
    with pytest.raises(ArgumentError, match=message):
        InMemoryModel(nn.Flatten(), SHAPE, **adapter)


def test_keys_depend_on_what_classifiers_compute():
    def net(seed=0):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    class Steep(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.net, self.factor = net(), factor

        def forward(self, x):
            return self.factor * self.net(x)

    keys = [
        InMemoryModel(net(), SHAPE).key,
        InMemoryModel(net(1), SHAPE).key,
        InMemoryModel(net(), SHAPE, (0.5,), (0.5,)).key,
        InMemoryModel(Steep(1), SHAPE).key,
        InMemoryModel(Steep(2), SHAPE).key,  # the same weights and code: only its answers differ
    ]
    assert len(set(keys)) == len(keys) and InMemoryModel(net(), SHAPE).key == keys[0]
    assert len(InMemoryModel(nn.Linear(3, 3), SHAPE).key) == 64  # one that cannot answer has a key, too


def test_weights_in_a_file_beside_are_in_the_key(tmp_path):
    """Two ONNX files may be the same bytes: large weights lie beside them."""
    keys, files = set(), set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        place = tmp_path / str(seed) / "m.onnx"
        place.parent.mkdir()
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 400, bias=False)).eval()
        exported(net, place, beside=True)
        assert place.with_name("m.onnx.data").exists()
        files.add(place.read_bytes())
        keys.add(ExternalModel(str(place), SHAPE).key)
    assert len(files) == 1 and len(keys) == 2


def test_models_of_the_hubs(monkeypatch):
    timm = types.ModuleType("timm")
    timm.create_model = lambda name, pretrained: nn.Flatten() if pretrained and name == "flat" else 1 / 0
    timm.data = types.SimpleNamespace(resolve_model_data_config=lambda net: {"mean": (0.5,), "std": (0.25,)})
    monkeypatch.setitem(sys.modules, "timm", timm)
    x = torch.rand(2, *SHAPE)
    assert torch.allclose(ExternalModel("timm:flat", SHAPE).load()(x), ((x - 0.5) / 0.25).flatten(1))
    assert torch.allclose(ExternalModel("timm:flat", SHAPE, mean=(0.0,), std=(1.0,)).load()(x), x.flatten(1))

    class Answer(nn.Flatten):
        def forward(self, x):
            return types.SimpleNamespace(logits=super().forward(x), hidden=None)

    def load(name, use_safetensors):
        if name != "flat":
            raise OSError(f"there is no {name}")
        return Answer() if use_safetensors else 1 / 0

    transformers = types.ModuleType("transformers")
    transformers.AutoModelForImageClassification = types.SimpleNamespace(from_pretrained=load)
    reader = types.SimpleNamespace(image_mean=[0.5], image_std=[0.5], do_normalize=True)
    transformers.AutoImageProcessor = types.SimpleNamespace(from_pretrained=lambda name: reader)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    assert torch.allclose(ExternalModel("transformers:flat", SHAPE).load()(x), ((x - 0.5) / 0.5).flatten(1))
    with pytest.raises(ModelError, match="transformers cannot load the model 'other': there is no other"):
        ExternalModel("transformers:other", SHAPE).load()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DependencyError, match="needs the package timm"):
        ExternalModel("timm:flat", SHAPE).load()


def test_a_missing_onnx_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DependencyError, match=r"pip install 'surefooted\[onnx\]'"):
        read_onnx(Path("any.onnx"))
