"""What is on disk is whole or not there, and what cannot be read or written is said."""

import errno
import fcntl
import hashlib
import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch

from surefooted.core.files import read_json, read_tensors, sha256_of, write_file, write_json, write_tensors
from surefooted.errors import InputError
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask, SanityCheckTask, train_task

KEY = "ab" * 32


def made(store, key=KEY, kind="train", text="x"):
    with store.making(kind, key, {"kind": kind}) as (into, _):
        write_file(into / "file", text)
    return store.path(kind, key)


def refused(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_an_artefact_appears_whole_and_once(tmp_path):
    store = Store(tmp_path / "s")
    with store.making("train", KEY, {"n": 1}) as (into, work):
        write_file(into / "file", "x")
        (work / "checkpoint").write_text("half")
        assert not store.has("train", KEY)
    assert store.has("train", KEY) and not (store.root / "work" / KEY).exists()
    assert sorted(os.listdir(store.path("train", KEY))) == ["file", "files.json", "spec.json"]
    with store.making("train", KEY, {"n": 1}) as place:
        assert place is None
    assert Store(tmp_path / "s").find("train", KEY[:6]) == store.path("train", KEY)


def test_what_fails_leaves_no_artefact_but_its_work(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.making("train", KEY, {}) as (into, work):
        write_file(into / "file", "half")
        write_file(work / "checkpoint", "half")
        (work / ".checkpoint.123").write_text("a part that a killed process left")
        1 / 0  # noqa: B018
    assert not store.has("train", KEY)
    with store.making("train", KEY, {}) as (into, work):
        assert os.listdir(into) == []
        assert sorted(os.listdir(work)) == ["artefact", "checkpoint", "lock"]


def test_what_fails_without_work_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    for error in (InputError, KeyboardInterrupt):
        with pytest.raises(error), store.making("train", KEY, {}) as (into, _):
            write_file(into / "file", "half")
            raise error
        assert os.listdir(tmp_path / "work") == []


def test_who_waits_for_one_that_fails_makes_it(tmp_path):
    """The lock of a failed run goes with its directory: all who wait have to agree on the next one."""
    makers, failed, at_work = [], [], threading.Lock()

    def make(fails):
        try:
            with Store(tmp_path).making("train", KEY, {}) as place:
                if place:
                    assert at_work.acquire(blocking=False)
                    time.sleep(0.01)
                    at_work.release()
                    makers.append(place)
                    if fails:
                        raise ZeroDivisionError
        except ZeroDivisionError:
            failed.append(fails)

    Store(tmp_path)
    threads = [threading.Thread(target=make, args=(k < 6,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(makers) == len(failed) + 1 and Store(tmp_path).has("train", KEY)
    assert os.listdir(tmp_path / "work") == []


def fresh_process(monkeypatch):
    """Forget which artefacts were read already."""
    monkeypatch.setattr("surefooted.pipeline.store._VERIFIED", set())


def test_the_list_of_files_is_the_same_whoever_makes_them(tmp_path):
    for root in ("one", "two"):
        with Store(tmp_path / root).making("train", KEY, {"n": 1}) as (into, _):
            write_file(into / "file", "x")
            write_file(into / "provenance.json", root)
    one, two = (Store(tmp_path / root).path("train", KEY) / "files.json" for root in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert read_json(one)["file"] == {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    assert read_json(one).keys() == {"file", "spec.json"}


DAMAGE = {
    "gone": lambda place: (place / "file").unlink(),
    "shorter": lambda place: (place / "file").write_text(""),
    "spec gone": lambda place: (place / "spec.json").unlink(),
    "spec shorter": lambda place: (place / "spec.json").write_text("{"),
    "list shorter": lambda place: (place / "files.json").write_text("{"),
    "list of another kind": lambda place: (place / "files.json").write_text("[]"),
    "all gone but the list": lambda place: [(place / name).unlink() for name in ("file", "spec.json")],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_not_whole_is_made_anew_in_its_place(tmp_path, monkeypatch, capfd, damage):
    store = Store(tmp_path)
    place = made(store)
    damage(place)
    assert not store.has("train", KEY)
    with pytest.raises(InputError, match=f"Delete {place} and run the command again"), store.reading("train", KEY):
        pass
    made(store, text="better")
    assert f"{place} is damaged; it is made anew." in capfd.readouterr().err
    with store.reading("train", KEY) as found:
        assert (found / "file").read_text() == "better"
    assert store.has("train", KEY) and os.listdir(tmp_path / "work") == []


def test_a_kill_while_an_artefact_is_replaced(tmp_path, monkeypatch):
    store = Store(tmp_path)
    place = made(store)
    (place / "spec.json").unlink()

    def replace(source, to, real=os.replace):
        if Path(to) == place:
            raise KeyboardInterrupt
        real(source, to)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", replace)
        made(store)
    assert not store.has("train", KEY)
    made(store)
    assert store.has("train", KEY) and os.listdir(tmp_path / "work") == []


def test_bytes_are_checked_once_in_a_process(tmp_path, monkeypatch):
    store = Store(tmp_path)
    place = made(store)
    (place / "file").write_text("y")  # of the same size
    assert store.has("train", KEY)
    for _ in range(2):
        with pytest.raises(InputError, match=f"not those that were written. Delete {place} and run the command again"):
            store.reading("train", KEY).__enter__()
    shutil.rmtree(place)
    with pytest.raises(InputError, match=r"does not exist. Run the command that makes it"):
        store.reading("train", KEY).__enter__()
    made(store)
    hashed = []
    monkeypatch.setattr(
        "surefooted.pipeline.store.sha256_of", lambda file, real=sha256_of: hashed.append(file.name) or real(file)
    )
    for _ in range(3):
        with Store(tmp_path).reading("train", KEY):
            pass
    assert hashed == ["file", "spec.json"]
    fresh_process(monkeypatch)
    (place / "file").write_text("y")
    with pytest.raises(InputError, match="not those that were written"), store.reading("train", KEY):
        pass


def test_an_older_store_has_no_lists(tmp_path):
    store = Store(tmp_path)
    place = made(store)
    (place / "files.json").unlink()
    (place / "file").unlink()
    assert store.has("train", KEY)
    absent = pytest.raises(InputError, match=f"file does not exist.*Delete {place} and run")
    with absent, store.reading("train", KEY) as found:
        read_tensors(found / "file")


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "..", ".", "", "a/b", "nul\0"])
def test_a_list_leads_nowhere_else(tmp_path, name):
    store = Store(tmp_path)
    place = made(store)
    (tmp_path / "artefacts" / "secret").write_text("x")
    entry = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    write_json(place / "files.json", {name: entry})
    assert not store.has("train", KEY)
    write_json(place / "files.json", {"file": {"size": 1}})
    assert not store.has("train", KEY)


def test_a_damaged_probe_raises_no_flag(tmp_path, monkeypatch):
    store = Store(tmp_path)
    task = SanityCheckTask(train_task("vanilla", {"mlp": {"width": 4}}, "digits", {"recipe": {"epochs": 1}}))
    execute([*task.requires, task], store, runtime=Runtime("cpu"), quiet=True)
    file = task.path(store) / "probe.json"
    held = file.read_text()
    fresh_process(monkeypatch)
    file.write_text(held.replace("0", "1", 1))
    with pytest.raises(InputError, match="not those that were written"):
        task.flags(store)


def test_the_cure_of_a_damaged_artefact_works(tmp_path, monkeypatch):
    """Each file of a training and of what was predicted from it, damaged or deleted: the same run again is enough."""
    data = {"digits": {"train_limit": 40, "test_limit": 10, "validation": 0.2}}
    net = train_task("vanilla", {"mlp": {"width": 3}}, data, {"recipe": {"epochs": 1}})
    answers, cpu, store = PredictTask(net), Runtime("cpu", threads=1), Store(tmp_path)
    execute([net, answers], store, runtime=cpu, quiet=True)
    whole = {file: file.read_bytes() for task in (net, answers) for file in sorted(task.path(store).iterdir())}
    assert {file.name for file in whole} > {"weights.safetensors", "history.json", "predictions.safetensors"}
    for file, held in whole.items():
        if file.name == "provenance.json":
            continue
        for damage in (lambda: file.write_bytes(held[: len(held) // 2]), file.unlink):  # noqa: B023 - called at once
            damage()
            if file.name == "files.json" and not file.exists():  # then it is one of an older store
                file.write_bytes(held)
            else:
                assert execute([net, answers], store, runtime=cpu, quiet=True) == 1
            assert file.read_bytes() == held
    weights = net.path(store) / "weights.safetensors"
    held = weights.read_bytes()
    weights.write_bytes(held[:-40] + b"\1" * 40)
    fresh_process(monkeypatch)
    shutil.rmtree(answers.path(store))
    with pytest.raises(
        InputError, match=f"not those that were written. Delete {net.path(store)} and run the command again"
    ):
        execute([net, answers], store, runtime=cpu, quiet=True)
    assert not answers.is_done(store)
    shutil.rmtree(net.path(store))
    assert execute([net, answers], store, runtime=cpu, quiet=True) == 2
    assert answers.result(store).log_p.shape == (10, 10) and weights.read_bytes() == held


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


def test_a_killed_holder_lets_go_of_the_lock(tmp_path, capfd, monkeypatch):
    """It is killed as soon as somebody waits for it."""
    Store(tmp_path)
    context = multiprocessing.get_context("forkserver")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path, held))
    process.start()
    assert held.wait(60)

    def flock(file, how, real=fcntl.flock):
        try:
            return real(file, how)
        except BlockingIOError:
            process.kill()
            raise

    monkeypatch.setattr(fcntl, "flock", flock)
    made(Store(tmp_path))
    process.join(10)
    assert process.exitcode == -9 and Store(tmp_path).has("train", KEY)
    assert "waiting for it" in capfd.readouterr().err


def test_keys_are_found_by_their_beginning(tmp_path):
    store = Store(tmp_path)
    assert "The store has 0" in refused(store.find, "train", "ab")
    made(store, "aa11"), made(store, "aa22")
    assert store.find("train", "aa1").name == "aa11"
    assert "2 keys" in (text := refused(store.find, "train", "aa")) and "more of the digits" in text
    assert "the latest: aa" in refused(store.find, "train", "bb")
    for odd in ("", "*", "../train", "a?"):
        assert "is not a valid artifact key" in refused(store.find, "train", odd)


def test_a_store_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    assert "a file already exists at that path" in refused(Store, tmp_path / "file")
    assert "part of its path is a file" in refused(Store, tmp_path / "file" / "below")
    for text, said in (
        ('{"format": 99}', "has format 99; this version reads formats up to 1. Upgrade"),
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
        (errno.EACCES, "permission denied"),
        (errno.EIO, "Input/output error; choose another place"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_keeps_the_old_file(tmp_path, monkeypatch, number, said, call):
    write_file(tmp_path / "f", "old")

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    assert said in refused(write_file, tmp_path / "f", "new")
    assert "f: " in refused(write_tensors, tmp_path / "f", {"x": torch.zeros(2)}, {})
    assert os.listdir(tmp_path) == ["f"] and (tmp_path / "f").read_text() == "old"


@pytest.mark.parametrize("part", ["fsync", "write"])
def test_a_disk_that_fills_up_while_making_loses_nothing(tmp_path, monkeypatch, part):
    store = Store(tmp_path)
    with store.making("train", KEY, {}) as (_, work):
        write_file(work / "checkpoint", "good")
        with monkeypatch.context() as patch, open("/dev/full", "wb") as full, pytest.raises(InputError, match="full"):
            if part == "write":
                patch.setattr("builtins.open", lambda *_: full)  # the device that is always full
            else:
                patch.setattr(os, part, lambda _: os.write(full.fileno(), b"x"))
            write_file(work / "checkpoint", "better")
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
