"""Analyses as artefacts: what is stored is what the functions say, and a kill loses one block."""

import pytest
import torch

from surefooted.core.scores import entropy
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.evaluation.analysis import (
    loss_surface,
    nonlinearity,
    sensitivity,
)
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import LocalAnalysisTask, LossSurfaceTask, attack_task, train_task
from surefooted.pipeline.tasks import analysis as of_cells

CPU = Runtime("cpu", threads=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("analysed"))


@pytest.fixture(scope="module")
def victim(store):
    data = {"digits": {"train_limit": 200, "test_limit": 60}}
    task = train_task("vanilla", "small_convnet", data, {"recipe": {"epochs": 10}})
    execute([task], store, runtime=CPU, quiet=True)
    return task


def test_the_cell_holds_what_the_functions_say(store, victim):
    moved = attack_task(victim, {"pgd": {"norm": "l2", "eps": 0.5, "steps": 5}}, limit=40)
    task = LocalAnalysisTask(victim, "test", 40, source_attack=moved)
    execute([task], store, runtime=CPU, quiet=True)
    seen, net, points = task.result(store), victim.load(store), digits(test_limit=60).test.points(slice(0, 40))
    margin, norm, correct = sensitivity(net, points)
    assert torch.equal(seen["rows"], points.rows) and torch.equal(seen["y"], points.y)
    assert torch.equal(seen["correct"], correct) and correct.any() and seen["q"].isfinite().any()
    assert torch.allclose(seen["margin"], margin, atol=1e-4)
    assert torch.allclose(seen["jacobian_norm"], norm, rtol=1e-4)
    x = moved.result(store)["x"]
    q = nonlinearity(net, points, x).q
    assert torch.allclose(seen["q"], q, rtol=1e-2, atol=1e-3, equal_nan=True)
    assert torch.equal(seen["q"].isnan(), (x == points.x).flatten(1).all(1))
    assert torch.equal(seen["size"], moved.result(store)["size"])
    assert "q" not in _made(LocalAnalysisTask(victim, "test", 10), store)
    assert (
        len({c.key for c in (task, LocalAnalysisTask(victim, "test", 40), LocalAnalysisTask(victim, "test", 30))}) == 3
    )


def test_the_cell_needs_the_points_of_the_same_images(store, victim):
    with pytest.raises(InputError, match="keep_points=True"):
        LocalAnalysisTask(victim, source_attack=attack_task(victim, "pgd", keep_points=False))
    moved = attack_task(victim, {"pgd": {"steps": 1}}, limit=5)
    with pytest.raises(InputError, match="on 5 images, the analysis on 6 others"):
        execute([LocalAnalysisTask(victim, "test", 6, source_attack=moved)], store, runtime=CPU, quiet=True)


def test_the_surface_cell(store, victim):
    task = LossSurfaceTask(victim, limit=3, score="entropy", grid=5)
    seen, net = _made(task, store), victim.load(store)
    points = digits(test_limit=60).test.points(slice(0, 3))
    values = loss_surface(net, points, score=entropy(), grid=5)
    assert torch.equal(seen["rows"], points.rows) and torch.equal(seen["offsets"], values.offsets)
    assert torch.allclose(seen["score"], values.score, atol=1e-4)
    assert torch.allclose(seen["margin"], values.margin, atol=1e-3)
    assert task.key != LossSurfaceTask(victim, limit=3, grid=5).key


@pytest.mark.parametrize("kind", ["analysed", "surface"])
def test_a_killed_cell_loses_one_block(store, victim, monkeypatch, tmp_path, kind):
    monkeypatch.setitem(of_cells.CHUNK, "cpu", 10)
    task = {
        "analysed": LocalAnalysisTask(victim, "test", 35),
        "surface": LossSurfaceTask(victim, limit=4, grid=3, seed=9),
    }[kind]
    name = {"analysed": "sensitivity", "surface": "loss_surface"}[kind]
    function, calls = getattr(of_cells, name), []

    def dies(*args, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return function(*args, **options)

    monkeypatch.setattr(of_cells, name, dies)
    ticks = []
    with pytest.raises(KeyboardInterrupt):
        task.run(store, CPU, ticks.append)
    blocks = sorted((store.root / "work" / task.key).glob("*.safetensors"))
    assert len(blocks) == 2 and not task.is_done(store)
    calls, ticks = [], []
    monkeypatch.setattr(of_cells, name, lambda *args, **options: (calls.append(1), function(*args, **options))[1])
    task.run(store, CPU, ticks.append)
    assert len(calls) == 2 and sum(ticks) == task.total_ticks()
    whole = Store(tmp_path / "whole")
    execute(task.requires, whole, runtime=CPU, quiet=True)
    again = _made(task, whole)
    assert all(torch.equal(value, again[name]) for name, value in task.result(store).items())
    assert not blocks[0].parent.exists()


def _made(task, store):
    execute([task], store, runtime=CPU, quiet=True)
    return task.result(store)
