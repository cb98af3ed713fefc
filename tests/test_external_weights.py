"""Weights files of other people's networks: what torch loads gives torch's answers, the rest is refused or said."""

import json
import re
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations

from surefooted.errors import InputError, ModelError
from surefooted.models.external.weights import load_external_weights

SPECTRAL, WEIGHT = parametrizations.spectral_norm, parametrizations.weight_norm


def conv_net(seed, width=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(4 * width, 2)).eval()


class Tied(nn.Module):
    """The second layer is the first, the third its transpose, and a constant is not saved."""

    def __init__(self, tied=True):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16, bias=False)
        self.register_buffer("scale", torch.tensor([2.0]), persistent=False)
        if tied:
            self.b.weight = self.a.weight
            self.c.weight = nn.Parameter(self.a.weight.data.T)

    def forward(self, x):
        return self.scale * self.c(self.b(self.a(x.flatten(1)).relu()).relu())


class WithState(nn.Linear):
    def get_extra_state(self):
        return {"calls": 3}

    def set_extra_state(self, state):
        raise AssertionError


def copies(net):
    return {name: tensor.clone().contiguous() for name, tensor in net.state_dict().items() if torch.is_tensor(tensor)}


def prefixed(prefix):
    return lambda net: {prefix + name: tensor for name, tensor in copies(net).items()}


def inner(net):
    """Parts of the network were parallel or compiled."""
    return {
        re.sub(r"^(\d)", r"\1.module" if name[0] < "2" else r"\1._orig_mod", name): t for name, t in copies(net).items()
    }


def without(*ends):
    return lambda net: {name: tensor for name, tensor in copies(net).items() if not name.endswith(ends)}


X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def loaded(net, tensors, path, warned=None):
    save_file(tensors, path / "w.safetensors")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        load_external_weights(net, path / "w.safetensors")
    assert len(seen) == bool(warned) and all(re.search(warned, str(one.message)) for one in seen)
    return net


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        *((saved, None) for saved in (prefixed(""), prefixed("module."), prefixed("_orig_mod."), inner)),
        (without("num_batches_tracked"), None),
        *(
            (prefixed(prefix), f"in the file begin with '{prefix}'")
            for prefix in ("model.", "state_dict.", "net.model.")
        ),
        (prefixed("module._orig_mod.model."), "in the file begin with 'model.'"),
    ],
)
@pytest.mark.parametrize("wrap", [nn.Identity, nn.DataParallel])
def test_prefixes_of_wrappers_and_missing_counters(saved, said, wrap, tmp_path):
    theirs, ours = conv_net(0), conv_net(1)
    theirs[1].running_mean.fill_(0.25)
    net = ours if wrap is nn.Identity else wrap(ours)
    loaded(net, saved(theirs), tmp_path, said)
    assert torch.equal(ours(X), theirs(X))


def test_a_prefix_that_the_network_has_alone_is_said(tmp_path):
    theirs, ours = conv_net(0), nn.ModuleDict({"net": conv_net(1)})
    loaded(ours, prefixed("")(theirs), tmp_path, r"of the network begin with 'net\.'")
    assert torch.equal(ours["net"](X), theirs(X))


@pytest.mark.parametrize("prefix", ["net.encoder.", "teacher.", "1."])
def test_any_other_prefix_is_that_of_another_network(prefix, tmp_path):
    save_file(prefixed(prefix)(conv_net(0)), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="the weights of another network"):
        load_external_weights(conv_net(1), tmp_path / "w.safetensors")


def test_tied_tensors_are_stored_once(tmp_path):
    theirs, ours = Tied(), Tied()
    assert loaded(ours, without("b.weight", "c.weight")(theirs), tmp_path)(X).equal(theirs(X))
    assert ours.b.weight is ours.a.weight
    loaded(Tied(), copies(theirs), tmp_path)  # all names, with equal values
    with pytest.raises(ModelError, match=r"2 tensors missing \(b.weight, c.weight\)"):
        loaded(Tied(tied=False), without("b.weight", "c.weight")(theirs), tmp_path)
    with pytest.raises(ModelError, match=r"tied in the network but not in the file \(a.weight"):
        loaded(Tied(), without("c.weight")(Tied(tied=False)), tmp_path)


def test_constants_and_extra_state(tmp_path):
    theirs = Tied(tied=False)
    loaded(Tied(tied=False), copies(theirs) | {"scale": torch.tensor([2.0])}, tmp_path)
    with pytest.raises(ModelError, match=r"1 tensor unknown \(scale\)"):
        loaded(Tied(tied=False), copies(theirs) | {"scale": torch.tensor([3.0])}, tmp_path)
    weights = {"weight": torch.ones(2, 16), "bias": torch.zeros(2)}
    net = loaded(WithState(16, 2), weights, tmp_path, r"has no extra state \(_extra_state\)")
    assert torch.allclose(net(X.flatten(1))[:, 0], X.flatten(1).sum(1))


@pytest.mark.parametrize(
    "file, net",
    [
        (nn.utils.spectral_norm, SPECTRAL),
        (SPECTRAL, nn.utils.spectral_norm),
        (WEIGHT, WEIGHT),
        (WEIGHT, "old"),
        ("old", WEIGHT),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
def test_parametrised_weights_under_their_old_and_new_names(file, net, bias, tmp_path):
    file, net = (nn.utils.weight_norm if one == "old" else one for one in (file, net))
    torch.manual_seed(0)
    theirs, ours = (nn.Sequential(nn.Flatten(), norm(nn.Linear(16, 3, bias=bias))).eval() for norm in (file, net))
    assert torch.allclose(loaded(ours, copies(theirs), tmp_path)(X), theirs(X), atol=1e-6)


def test_lazy_modules_take_their_shapes_from_the_file(tmp_path):
    theirs = conv_net(0)
    ours = nn.Sequential(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2)).eval()
    assert loaded(ours, copies(theirs), tmp_path)(X).equal(theirs(X))
    part = without("3.weight", "3.bias")(theirs)
    with pytest.raises(ModelError, match=r"2 tensors missing \(1.weight, 1.bias\)"):
        loaded(
            nn.Sequential(nn.LazyConv2d(3, 3), nn.LazyLinear(2)), {k: part[k] for k in ("0.weight", "0.bias")}, tmp_path
        )


@pytest.mark.parametrize("low", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_precisions_are_converted_and_said(low, tmp_path):
    theirs, ours = conv_net(0).to(torch.float32), conv_net(1)
    halves = {name: tensor.to(low) if tensor.is_floating_point() else tensor for name, tensor in copies(theirs).items()}
    said = rf"8 tensors of {str(low)[6:]} are converted to the network's float32 \([013]\.\w+, .*, \.\.\.\)"
    loaded(ours, halves, tmp_path, said)
    assert ours[0].weight.dtype == torch.float32 and torch.equal(ours[0].weight, halves["0.weight"].float())


def test_nan_is_loaded_and_said(tmp_path):
    broken = copies(conv_net(0)) | {"3.bias": torch.tensor([torch.nan, 1.0])}
    assert (
        loaded(conv_net(1), broken, tmp_path, r"1 tensor hold NaN or infinite numbers \(3.bias\)")[3].bias.isnan().any()
    )


def test_single_numbers_empty_tensors_and_other_layouts(tmp_path):
    net = nn.Module()
    net.register_buffer("number", torch.tensor(0.0))
    net.register_buffer("nothing", torch.zeros(0, 3))
    net.register_buffer("turned", torch.zeros(2, 3).T)
    loaded(net, {"number": torch.tensor([4.0]), "turned": torch.arange(6.0).view(3, 2)}, tmp_path)
    assert float(net.number) == 4 and net.turned.tolist() == [[0, 1], [2, 3], [4, 5]]


def retagged(path, before, after):
    """The same bytes, said to be of another kind of number."""
    data = path.read_bytes()
    path.write_bytes(data.replace(f'"dtype":"{before}"'.encode(), f'"dtype":"{after}"'.encode()))


def test_numbers_of_another_kind_are_refused(tmp_path):
    file = tmp_path / "w.safetensors"
    for tag in ("I32", "U32"):
        save_file(copies(conv_net(0)), file)
        retagged(file, "F32", tag)
        with pytest.raises(ModelError, match=r"hold another kind of number \(0.bias: u?int32 in the file, float32 in"):
            load_external_weights(conv_net(1), file)
    with pytest.raises(ModelError, match=r"num_batches_tracked: float32 in the file, int64 in the network"):
        loaded(conv_net(1), copies(conv_net(0)) | {"1.num_batches_tracked": torch.tensor(0.5)}, tmp_path)
    with pytest.raises(ModelError, match="complex64 in the file"):
        loaded(conv_net(1), copies(conv_net(0)) | {"3.bias": torch.zeros(2, dtype=torch.complex64)}, tmp_path)


def test_all_wrong_shapes_and_the_first_wrong_names_are_listed(tmp_path):
    with pytest.raises(ModelError) as error:
        loaded(conv_net(1), copies(conv_net(0, width=4)), tmp_path)
    text = str(error.value)
    assert "7 of 9 tensors have another shape" in text
    assert all(name in text for name in ("0.weight: (4, 1, 3, 3) in the file, (3, 1, 3, 3) in the network", "3.weight"))
    more = copies(conv_net(0)) | {f"head.{k}": torch.zeros(1) for k in range(40)}
    with pytest.raises(ModelError, match=r"40 tensors unknown \(head.0, head.1, head.10, \.\.\.\)"):
        loaded(conv_net(1), more, tmp_path)
    with pytest.raises(
        ModelError, match=r"another network: none of its 40 tensors \(head.*is among the network's 8 \(0.w"
    ):
        loaded(conv_net(1), {f"head.{k}": torch.zeros(1) for k in range(40)}, tmp_path)
    with pytest.raises(ModelError, match="on the meta device"), torch.device("meta"):
        loaded(conv_net(1), {"a": torch.zeros(1, device="cpu")}, tmp_path)


def test_shards_lie_beside_their_index(tmp_path):
    theirs, ours, index = conv_net(0), conv_net(1), tmp_path / "model.safetensors.index.json"
    places = {name: f"model-{int(name[0]) % 2}.safetensors" for name in copies(theirs)}
    for file in set(places.values()):
        save_file({name: t for name, t in copies(theirs).items() if places[name] == file}, tmp_path / file)
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    load_external_weights(ours, index)
    assert ours(X).equal(theirs(X))
    for wrong, message in (
        ({"weight_map": {"a": "../model-0.safetensors"}}, "in the same folder"),
        ({"weight_map": places | {"a": "model-0.safetensors"}}, r"do not hold a\."),
        ({"weight_map": {"a": "absent.safetensors"}}, "does not exist"),
        ({"weight_map": {"a": 3}}, "names no shards"),
        ([], "names no shards"),
    ):
        index.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=message):
            load_external_weights(ours, index)
