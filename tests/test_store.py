"""What is on disk is whole or not there, and what cannot be read or written is said."""

import errno
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from surefooted.cell import Weights
from surefooted.errors import InputError
from surefooted.files import read_json, read_tensors, write, write_json, write_tensors
from surefooted.store import Store
from surefooted.weights import load_model, seeded_network

KEY = "ab" * 32


def made(store, key=KEY, kind="train", text="x"):
    with store.making(kind, key, {"kind": kind}) as (into, _):
        write(into / "file", text)
    return store.path(kind, key)


def refused(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_an_artefact_appears_whole_and_once(tmp_path):
    store = Store(tmp_path / "s")
    with store.making("train", KEY, {"n": 1}) as (into, work):
        write(into / "file", "x")
        (work / "checkpoint").write_text("half")
        assert not store.has("train", KEY)
    assert store.has("train", KEY) and not (store.root / "work" / KEY).exists()
    assert sorted(os.listdir(store.path("train", KEY))) == ["file", "spec.json"]
    with store.making("train", KEY, {"n": 1}) as place:
        assert place is None
    assert Store(tmp_path / "s").find("train", KEY[:6]) == store.path("train", KEY)


def test_what_fails_leaves_no_artefact_but_its_work(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.making("train", KEY, {}) as (into, work):
        write(into / "file", "half")
        write(work / "checkpoint", "half")
        (work / ".checkpoint.123").write_text("a part that a killed process left")
        1 / 0  # noqa: B018
    assert not store.has("train", KEY)
    with store.making("train", KEY, {}) as (into, work):
        assert os.listdir(into) == []
        assert sorted(os.listdir(work)) == ["artefact", "checkpoint", "lock"]


def test_one_makes_and_the_others_wait(tmp_path):
    store, makers = Store(tmp_path), []

    def make():
        with Store(tmp_path).making("train", KEY, {}) as place:
            if place:
                makers.append(place)
                time.sleep(0.05)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(makers) == 1 and store.has("train", KEY)
    assert os.listdir(tmp_path / "work") == []


def hold(root, held):
    with Store(root).making("train", KEY, {}):
        held.set()
        time.sleep(60)


def test_a_killed_holder_lets_go_of_the_lock(tmp_path, capfd):
    Store(tmp_path)
    context = multiprocessing.get_context("forkserver")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path, held))
    process.start()
    assert held.wait(60)
    threading.Timer(0.2, process.kill).start()
    made(Store(tmp_path))
    process.join(10)
    assert process.exitcode == -9 and Store(tmp_path).has("train", KEY)
    assert "waiting for it" in capfd.readouterr().err


def test_keys_are_found_by_their_beginning(tmp_path):
    store = Store(tmp_path)
    assert "it has 0" in refused(store.find, "train", "ab")
    made(store, "aa11"), made(store, "aa22")
    assert store.find("train", "aa1").name == "aa11"
    assert "2 keys" in (text := refused(store.find, "train", "aa")) and "more of its digits" in text
    assert "the latest: aa" in refused(store.find, "train", "bb")
    for odd in ("", "*", "../train", "a?"):
        assert "is no key" in refused(store.find, "train", odd)


def test_a_store_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    assert "a file is in its place" in refused(Store, tmp_path / "file")
    assert "part of its path is a file" in refused(Store, tmp_path / "file" / "below")
    for text, said in (
        ('{"format": 99}', "has format 99, this version reads up to 1; upgrade"),
        ('{"format": "1"}', "has format '1'"),
        ("[]", "has format None"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("\xff", "cannot be read as JSON"),
    ):
        root = tmp_path / "s"
        root.mkdir(exist_ok=True)
        (root / "store.json").write_bytes(text.encode("latin1"))
        assert said in refused(Store, root)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full; free some space and run the same command again"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "that is not allowed"),
        (errno.EIO, "Input/output error; choose another place"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_keeps_the_old_file(tmp_path, monkeypatch, number, said, call):
    write(tmp_path / "f", "old")

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    assert said in refused(write, tmp_path / "f", "new")
    assert "f: " in refused(write_tensors, tmp_path / "f", {"x": torch.zeros(2)}, {})
    assert os.listdir(tmp_path) == ["f"] and (tmp_path / "f").read_text() == "old"


@pytest.mark.parametrize("part", ["fsync", "write"])
def test_a_disk_that_fills_up_while_making_loses_nothing(tmp_path, monkeypatch, part):
    store = Store(tmp_path)
    with store.making("train", KEY, {}) as (_, work):
        write(work / "checkpoint", "good")
        with monkeypatch.context() as patch, open("/dev/full", "wb") as full, pytest.raises(InputError, match="full"):
            if part == "write":
                patch.setattr("builtins.open", lambda *_: full)  # the device that is always full
            else:
                patch.setattr(os, part, lambda _: os.write(full.fileno(), b"x"))
            write(work / "checkpoint", "better")
        assert (work / "checkpoint").read_text() == "good"


def test_a_read_only_store_can_be_read(tmp_path, monkeypatch):
    made(Store(tmp_path))

    def fail(*_, **__):
        raise OSError(errno.EROFS, "read-only")

    for name in ("mkdir", "replace", "unlink"):
        monkeypatch.setattr(os, name, fail)
    assert Store(tmp_path).find("train", KEY[:4])
    with pytest.raises(InputError, match="read-only"), Store(tmp_path).making("train", "cd" * 32, {}):
        pass


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
        ({"net": {"mlp": {"width": 10**9}}}, "names the number 1000000000, and the file has"),
        ({"net": {"mlp": {"width": 3, "layers": 10**9}}}, "names the number 1000000000"),
        ({"net": {"mlp": {"width": 3, "layers": 50}}}, "more weights than the 6 tensors"),
        ({"net": {"wide_resnet": {"depth": 52, "widen": 8}}}, "does not hold the network"),
        ({"net": {"mlp": {"width": 4}}}, "does not fit the network; of its tensors"),
        ({"net": {"mlp": {"width": -1}}}, "width = -1"),
        ({"net": {"mlp": {"width": "__import__('os')"}}}, "width = "),
        ({"net": {"system": {}}}, "there is no 'system' among the networks"),
        ({"net": {"os.system": {"command": "true"}}}, "there is no 'os.system'"),
        ({"net": {"Normalise": {}}}, "there is no 'Normalise'"),
        ({"net": {"__class__": {}}}, "there is no '__class__'"),
        ({"net": {"mlp": ["width"]}}, "expected a table"),
        ({"net": {"mlp": {}, "lenet": {}}}, "expected one component"),
        ({"net": "mlp"}, "does not say which network"),
        ({"net": 7}, "does not say which network"),
        ({"shape": [1, 10**9, 10**9]}, "names the number 1000000000"),
        ({"shape": [1, 8, 8]}, "does not fit the network"),
        ({"shape": [1, 4]}, "shape"),
        ({"shape": "abc"}, "does not say which network"),
        ({"shape": [1, 4, -4]}, "shape"),
        ({"shape": [[1], {}, None]}, "shape"),
        ({"classes": 10**9}, "does not say which network"),
        ({"classes": ["a"] * 7}, "of another shape"),
        ({"tensors": {"x": torch.zeros(300)}}, "missing"),
        ({"tensors": {}}, "does not hold the network"),
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
        assert said in refused(load_model, tmp_path / name)
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign")
    assert "does not say which network" in refused(load_model, tmp_path / "foreign")
    for about in ("[1]", "7", "{", "[" * 50_000):
        save_file({"x": torch.zeros(2)}, tmp_path / "odd", {"about": about})
        assert str(tmp_path / "odd") in refused(load_model, tmp_path / "odd")
    assert "is not there" in refused(load_model, tmp_path / "absent")
    assert "is not there" in refused(load_model, tmp_path)
    assert "is not there" in refused(lambda: Weights(tmp_path / "absent").key)


def test_json(tmp_path):
    write_json(tmp_path / "j", {"a": [1, None]})
    assert read_json(tmp_path / "j") == {"a": [1, None]} == json.loads((tmp_path / "j").read_text())
    assert "cannot be read as JSON" in refused(read_json, tmp_path / "absent")
