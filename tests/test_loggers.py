"""Loggers and callbacks see every epoch once and in order, however often a training is stopped or found."""

import json
import sys
import types

import pytest

import surefooted as sf
from surefooted.errors import ArgumentError, DependencyError, Notice
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.training import loggers

CPU = Runtime("cpu", threads=1)
DATA = {"digits": {"train_limit": 64, "test_limit": 40, "validation": 0.25}}
RECIPE = {"recipe": {"epochs": 3, "batch": 24}}


def train(store, **options):
    return sf.train("vanilla", "mlp", DATA, RECIPE, store=store, runtime=CPU, **options)


class Recorded:
    """A logger that a user may write."""

    def __init__(self, fails_at=0):
        self.calls, self.fails_at = [], fails_at

    def start(self, key, arguments):
        self.calls.append(("start", key, arguments["seed"]))

    def log(self, entry):
        self.calls.append(entry["epoch"])
        if entry["epoch"] == self.fails_at:
            raise ConnectionError("the server is gone")

    def finish(self):
        self.calls.append("finish")


def test_every_epoch_is_logged_once_also_after_a_stop_and_when_found(tmp_path):
    store, seen, files = (
        Store(tmp_path / "s"),
        [],
        [{name: {"path": str(tmp_path / name)}} for name in ("csv", "jsonl")],
    )

    def stop(entry):
        seen.append(entry["epoch"])
        if seen == [1, 2]:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train(store, on_epoch=stop)
    assert not list((tmp_path / "s" / "artefacts").glob("train/*"))
    loggers = [Recorded(), Recorded()]
    run = train(store, loggers=[loggers[0], *files], on_epoch=stop)
    train(store, loggers=[loggers[1]], on_epoch=stop)
    assert seen == [1, 2, 1, 2, 3, 1, 2, 3]
    assert all(one.calls == [("start", run.task.key, 0), 1, 2, 3, "finish"] for one in loggers)
    place = run.task.path(store)
    assert [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()] == run.history
    lines = (tmp_path / "csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,lr,accuracy,nll,ece" and len(lines) == 4
    assert [float(line.split(",")[1]) for line in lines[1:]] == [entry["loss"] for entry in run.history]
    for name in ("csv", "jsonl"):
        assert (tmp_path / name).read_bytes() == (place / f"history.{name}").read_bytes()


def test_a_logger_that_fails_is_dropped_with_a_notice_and_the_training_goes_on(tmp_path):
    broken, fine = Recorded(fails_at=2), Recorded()
    with pytest.warns(
        Notice, match=r"The logger Recorded failed and is not used any more \(ConnectionError: the server"
    ):
        run = train(Store(tmp_path), loggers=[broken, fine])
    assert broken.calls[1:] == [1, 2] and fine.calls[1:] == [1, 2, 3, "finish"] and len(run.history) == 3


def test_what_is_no_logger_is_refused_and_a_package_that_is_missing_or_broken_named(tmp_path, monkeypatch):
    store = Store(tmp_path)
    for wrong in (3, Recorded, "tensorbord"):
        with pytest.raises(ArgumentError, match=r"expected a name|Did you mean 'tensorboard'"):
            train(store, loggers=[wrong])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DependencyError, match=r"needs the package wandb\. Run: pip install wandb"):
        train(store, loggers=["wandb"])
    (tmp_path / "mlflow.py").write_text("import surely_missing_part")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    with pytest.raises(DependencyError, match=r"mlflow is installed but cannot be imported \(ModuleNotFoundError"):
        train(store, loggers=["mlflow"])
    assert not store.path("train", "").exists()  # before any work


def test_wandb_gets_the_arguments_and_the_numbers(tmp_path, monkeypatch):
    """A stand-in with the calls of the package that the logger uses."""
    calls = []
    run = types.SimpleNamespace(
        log=lambda values, step: calls.append((step, sorted(values))), finish=lambda: calls.append("finish")
    )
    package = types.SimpleNamespace(init=lambda **options: calls.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", package)
    trained = train(Store(tmp_path), loggers=[{"wandb": {"mode": "offline", "project": "p"}}])
    first, *epochs, last = calls
    assert first["id"] == trained.task.key[:12] and first["config"]["net"] == trained.task.net and last == "finish"
    assert epochs == [(epoch, ["accuracy", "ece", "loss", "lr", "nll"]) for epoch in (1, 2, 3)]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_writes_what_tensorboard_reads(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(Store(tmp_path / "s"), loggers=[{"tensorboard": {"folder": str(tmp_path / "runs")}}])
    events = EventAccumulator(str(tmp_path / "runs" / run.task.key[:12]))
    events.Reload()
    read = [(one.step, one.value) for one in events.Scalars("loss")]
    assert read == [(entry["epoch"], pytest.approx(entry["loss"], rel=1e-6)) for entry in run.history]


def test_a_run_of_mlflow_is_finished_only_after_the_last_epoch(tmp_path, monkeypatch):
    """A stand-in with the calls of the package that the logger uses."""
    ends, run = [], types.SimpleNamespace(info=types.SimpleNamespace(run_id="r"))
    client = types.SimpleNamespace(
        get_experiment_by_name=lambda name: types.SimpleNamespace(experiment_id="0"),
        create_run=lambda *given, **options: run,
        log_param=lambda *given: None,
        log_metric=lambda *given, **options: None,
        set_terminated=lambda run_id, status: ends.append(status),
    )
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=lambda tracking_uri: client))
    logger = loggers.mlflow()

    def stop(entry):
        if entry["epoch"] == 2:
            raise KeyError("mine")

    for seed in (0, 1):  # the second run does not end as the first did
        with pytest.raises(KeyError, match="mine"):
            train(Store(tmp_path), seed=seed, loggers=[logger], on_epoch=stop)
        train(Store(tmp_path), seed=seed, loggers=[logger])
    assert ends == ["FAILED", "FINISHED"] * 2


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_what_it_was_given(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    run = train(Store(tmp_path / "s"), loggers=[{"mlflow": {"uri": uri, "experiment": "e"}}])
    client = mlflow.MlflowClient(tracking_uri=uri)
    (kept,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert kept.info.status == "FINISHED" and kept.data.params["net.mlp.width"] == "256"
    history = sorted(client.get_metric_history(kept.info.run_id, "ece"), key=lambda one: one.step)
    assert [(one.step, one.value) for one in history] == [(entry["epoch"], entry["ece"]) for entry in run.history]
