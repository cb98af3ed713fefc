"""Files of tensors, weights and JSON: they come back as they were, and none is believed what it says of itself."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_store import refused

from surefooted.core.files import read_json, read_tensors, write_json, write_tensors
from surefooted.models.weights import load_model, seeded_network
from surefooted.pipeline.tasks import WeightsFile


def test_tensors_and_what_is_said_of_them_come_back(tmp_path):
    tensors = {"a": torch.arange(6).view(2, 3).T, "b": torch.tensor(1.5), "c": torch.zeros(0, 3, dtype=torch.bool)}
    write_tensors(tmp_path / "t", tensors, {"x": [1, None, {"é": 0.1}]})
    back, about = read_tensors(tmp_path / "t")
    assert about == {"x": [1, None, {"é": 0.1}]}
    assert all(torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype for name, tensor in tensors.items())


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["SUREFOOTED_STORE"],)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_and_never_loaded(tmp_path, zipped):
    file = tmp_path / "weights.safetensors"
    torch.save({"x": Bomb()}, file, _use_new_zipfile_serialization=zipped)
    for function in (read_tensors, load_model):
        assert "is a pickle (torch.save)" in refused(function, file)
    assert not Path(os.environ["SUREFOOTED_STORE"]).exists()


def weights(path, net=None, tensors=None, **about):
    """A file as ``train`` writes it, or forged."""
    net = net or {"mlp": {"width": 3, "layers": 1, "dropout": 0.0, "normalise": "none"}}
    about = {"net": net, "shape": [1, 4, 4], "classes": ["a", "b"]} | about
    if tensors is None:
        tensors = seeded_network({"mlp": {"width": 3}}, (1, 4, 4), 2, 0).state_dict()
    write_tensors(path, tensors, about)
    return path


def test_weights_come_back(tmp_path):
    net = load_model(weights(tmp_path / "w"))
    assert not net.training
    same = seeded_network({"mlp": {"width": 3}}, (1, 4, 4), 2, 0)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters()))


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"net": {"mlp": {"width": 10**9}}}, "contain the number 1000000000, but the file has"),
        ({"net": {"mlp": {"width": 3, "layers": 10**9}}}, "contain the number 1000000000"),
        ({"net": {"mlp": {"width": 3, "layers": 50}}}, "more weights than the 6 tensors"),
        ({"net": {"wide_resnet": {"depth": 52, "widen": 8}}}, "does not match the architecture"),
        ({"net": {"mlp": {"width": 4}}}, "does not fit the network: "),
        ({"net": {"mlp": {"width": -1}}}, "width = -1"),
        ({"net": {"mlp": {"width": "__import__('os')"}}}, "width = "),
        ({"net": {"system": {}}}, "There is no 'system' among the networks"),
        ({"net": {"os.system": {"command": "true"}}}, "There is no 'os.system'"),
        ({"net": {"Normalise": {}}}, "There is no 'Normalise'"),
        ({"net": {"__class__": {}}}, "There is no '__class__'"),
        ({"net": {"mlp": ["width"]}}, "expected a table"),
        ({"net": {"mlp": {}, "lenet": {}}}, "Expected one component"),
        ({"net": "mlp"}, "does not name the network"),
        ({"net": 7}, "does not name the network"),
        ({"shape": [1, 10**9, 10**9]}, "contain the number 1000000000"),
        ({"shape": [1, 8, 8]}, "does not fit the network"),
        ({"shape": [1, 4]}, "shape"),
        ({"shape": "abc"}, "does not name the network"),
        ({"shape": [1, 4, -4]}, "shape"),
        ({"shape": [[1], {}, None]}, "shape"),
        ({"classes": 10**9}, "does not name the network"),
        ({"classes": ["a"] * 7}, "of another shape"),
        ({"tensors": {"x": torch.zeros(300)}}, "missing"),
        ({"tensors": {}}, "does not match the architecture"),
    ],
)
def test_a_file_is_not_believed_what_it_says_of_itself(tmp_path, forged, said):
    text = refused(load_model, weights(tmp_path / "w.safetensors", **forged))
    assert said in text and str(tmp_path) in text


def test_files_that_hold_no_network(tmp_path):
    whole = weights(tmp_path / "w.safetensors").read_bytes()
    for name, data, said in (
        ("half", whole[:-7], "not a whole safetensors file"),
        ("header", whole[:20], "not a whole safetensors file"),
        ("empty", b"", "not a whole safetensors file"),
        ("text", b"hello, world", "not a whole safetensors file"),
        ("long", (2**62).to_bytes(8, "little") + whole[8:], "not a whole safetensors file"),
    ):
        (tmp_path / name).write_bytes(data)
        assert said in (text := refused(load_model, tmp_path / name))
        assert "elete" not in text  # it may be a file of the user's
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign")
    assert "does not name the network" in refused(load_model, tmp_path / "foreign")
    for about in ("[1]", "7", "{", "[" * 50_000):
        save_file({"x": torch.zeros(2)}, tmp_path / "odd", {"about": about})
        assert str(tmp_path / "odd") in refused(load_model, tmp_path / "odd")
    assert "does not exist" in refused(load_model, tmp_path / "absent")
    assert "does not exist" in refused(load_model, tmp_path)
    assert "does not exist" in refused(lambda: WeightsFile(tmp_path / "absent").key)


def test_json(tmp_path):
    write_json(tmp_path / "j", {"a": [1, None]})
    assert read_json(tmp_path / "j") == {"a": [1, None]} == json.loads((tmp_path / "j").read_text())
    assert "cannot be read as JSON" in refused(read_json, tmp_path / "absent")


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path, length):
    """The first two bytes of such a file are those of a pickle of protocol 2 to 5."""
    for padding in range(length - 150, length):
        write_tensors(tmp_path / "t.safetensors", {"x": torch.ones(1)}, {"padding": "a" * padding})
        head = (tmp_path / "t.safetensors").read_bytes()[:8]
        if int.from_bytes(head, "little") == length:
            break
    assert head[0] == 0x80 and read_tensors(tmp_path / "t.safetensors")[0]["x"].item() == 1
