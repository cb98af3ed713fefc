"""Analyses as artefacts: what is stored is what the functions say, and a kill loses one block."""

import pytest
import torch

from surefooted.core.scores import entropy
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.evaluation.analysis import (
    nonlinearity,
    sensitivity,
    surface,
)
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Machine
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Analysed, Surface, attacking, training
from surefooted.pipeline.tasks import analysed as of_cells

CPU = Machine("cpu", threads=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("analysed"))


@pytest.fixture(scope="module")
def victim(store):
    data = {"digits": {"train_limit": 200, "test_limit": 60}}
    cell = training("vanilla", "small_convnet", data, {"recipe": {"epochs": 10}})
    execute([cell], store, machine=CPU, quiet=True)
    return cell


def test_the_cell_holds_what_the_functions_say(store, victim):
    moved = attacking(victim, {"pgd": {"norm": "l2", "eps": 0.5, "steps": 5}}, limit=40)
    cell = Analysed(victim, "test", 40, moved=moved)
    execute([cell], store, machine=CPU, quiet=True)
    seen, net, points = cell.result(store), victim.load(store), digits(test_limit=60).test.points(slice(0, 40))
    margin, norm, correct = sensitivity(net, points)
    assert torch.equal(seen["rows"], points.i) and torch.equal(seen["y"], points.y)
    assert torch.equal(seen["correct"], correct) and correct.any() and seen["q"].isfinite().any()
    assert torch.allclose(seen["margin"], margin, atol=1e-4)
    assert torch.allclose(seen["jacobian_norm"], norm, rtol=1e-4)
    x = moved.result(store)["x"]
    q = nonlinearity(net, points, x).q
    assert torch.allclose(seen["q"], q, rtol=1e-2, atol=1e-3, equal_nan=True)
    assert torch.equal(seen["q"].isnan(), (x == points.x).flatten(1).all(1))
    assert torch.equal(seen["size"], moved.result(store)["size"])
    assert "q" not in _made(Analysed(victim, "test", 10), store)
    assert len({c.key for c in (cell, Analysed(victim, "test", 40), Analysed(victim, "test", 30))}) == 3


def test_the_cell_needs_the_points_of_the_same_images(store, victim):
    with pytest.raises(InputError, match="keeps none"):
        Analysed(victim, moved=attacking(victim, "pgd", keep_points=False))
    moved = attacking(victim, {"pgd": {"steps": 1}}, limit=5)
    with pytest.raises(InputError, match="not the same"):
        execute([Analysed(victim, "test", 6, moved=moved)], store, machine=CPU, quiet=True)


def test_the_surface_cell(store, victim):
    cell = Surface(victim, limit=3, score="entropy", grid=5)
    seen, net = _made(cell, store), victim.load(store)
    points = digits(test_limit=60).test.points(slice(0, 3))
    values = surface(net, points, score=entropy(), grid=5)
    assert torch.equal(seen["rows"], points.i) and torch.equal(seen["offsets"], values.offsets)
    assert torch.allclose(seen["score"], values.score, atol=1e-4)
    assert torch.allclose(seen["margin"], values.margin, atol=1e-3)
    assert cell.key != Surface(victim, limit=3, grid=5).key


@pytest.mark.parametrize("kind", ["analysed", "surface"])
def test_a_killed_cell_loses_one_block(store, victim, monkeypatch, tmp_path, kind):
    monkeypatch.setitem(of_cells.BLOCK, "cpu", 10)
    cell = {"analysed": Analysed(victim, "test", 35), "surface": Surface(victim, limit=4, grid=3, seed=9)}[kind]
    name = {"analysed": "sensitivity", "surface": "surface"}[kind]
    function, calls = getattr(of_cells, name), []

    def dies(*args, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return function(*args, **options)

    monkeypatch.setattr(of_cells, name, dies)
    ticks = []
    with pytest.raises(KeyboardInterrupt):
        cell.run(store, CPU, ticks.append)
    blocks = sorted((store.root / "work" / cell.key).glob("*.safetensors"))
    assert len(blocks) == 2 and not cell.done(store)
    calls, ticks = [], []
    monkeypatch.setattr(of_cells, name, lambda *args, **options: (calls.append(1), function(*args, **options))[1])
    cell.run(store, CPU, ticks.append)
    assert len(calls) == 2 and sum(ticks) == cell.work()
    whole = Store(tmp_path / "whole")
    execute(cell.needs, whole, machine=CPU, quiet=True)
    again = _made(cell, whole)
    assert all(torch.equal(value, again[name]) for name, value in cell.result(store).items())
    assert not blocks[0].parent.exists()


def _made(cell, store):
    execute([cell], store, machine=CPU, quiet=True)
    return cell.result(store)
