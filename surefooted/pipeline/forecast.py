"""What a study will cost, before it begins: passes through networks, timed on a few, and the time they will take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import singledispatchmethod
from typing import Any, NamedTuple

import torch
from torch import nn

from surefooted.components.spec import build, called, canonical, split
from surefooted.core.types import Points
from surefooted.models.victims import laid_out, untouched, victim_of
from surefooted.pipeline.runtime import Machine
from surefooted.pipeline.tasks import (
    Analysed,
    Attacked,
    Cell,
    Corrupted,
    Predicted,
    Shifted,
    Source,
    Train,
    before,
    data_of,
)
from surefooted.pipeline.tasks.sources import Dropped, Ensembled, Member
from surefooted.pipeline.tasks.tested import own_data
from surefooted.training.loop import Outer
from surefooted.training.setup import lay_out

# Of the passes with and without gradient that an attack may ask for, those that it does ask: broken rows ask no more.
# What our own runs had; a network that nothing breaks asks for all, one that everything breaks for next to none.
ASKED = {
    "pgd": (0.6, 0.6),
    "autoattack": (0.45, 0.45),
    "autoattack, lean": (0.3, 0.1),
    "worst_of": (0.6, 0.6),
    "adaptive_smoothing": (0.8, 0.8),
    "random_search": (0.9, 0.9),
}
ROWS = 256
# To read what a cell needs and to write what it makes.
SECONDS_A_CELL = 0.2
# Seconds that a CPU takes to corrupt one image of 32×32 pixels by one type at five intensities.
CORRUPTED = 4e-4


class Forecast(NamedTuple):
    """Passes of single images through a network (a gradient counts as one), and seconds on this device."""

    passes: int
    seconds: float


def forecast(todo: Sequence[Cell], machine: Machine, *, workers: int = 1) -> Forecast:
    """Time a few steps of every kind of training and attack in a plan, and multiply.

    Networks need not be trained for it. Each kind is timed alone, so processes that share a memory bus take longer.
    """
    threads = torch.get_num_threads()
    share = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    replace(machine, threads=machine.threads or share).settle()  # as they will run
    pace = _Pace(machine.device())
    try:
        parts = [pace.of(cell) for cell in todo]
    finally:
        torch.set_num_threads(threads)
    return Forecast(sum(p.passes for p in parts), sum(p.seconds + SECONDS_A_CELL for p in parts) / workers)


class _Pace:
    """Seconds by step and by pass, timed once for each kind of work."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seen: dict[str, float] = {}

    @singledispatchmethod
    def of(self, cell: Cell) -> Forecast:
        """Cells of no account, such as probes."""
        return Forecast(0, 0.0)

    @of.register
    def _(self, cell: Train) -> Forecast:
        method, recipe = build("method", cell.method), build("recipe", cell.recipe)
        inner = 0 if method.perturb is None else method.perturb.passes - 1
        kind = canonical([_shape_of(cell.method), inner, cell.net, recipe.batch, data_of(cell.data).train.shape])
        step = self._once(kind, lambda: _timed_step(cell, self.device))
        return Forecast(cell.work() * recipe.batch * (inner + 1) * method.members, cell.work() * step)

    @of.register
    def _(self, cell: Attacked) -> Forecast:
        lean = ", lean" if split(cell.attack)[1].get("budget") == "lean" else ""
        steep, blind = ASKED.get(f"{called(cell.attack)}{lean}", (1.0, 1.0))
        climbed, looked = int(steep * (cell.work() - cell.blind_work())), int(blind * cell.blind_work())
        seconds = climbed * self._row(cell.victim, gradient=True) + looked * self._row(cell.victim, gradient=False)
        return Forecast(climbed + looked, seconds)

    @of.register
    def _(self, cell: Predicted) -> Forecast:
        given = cell.data or own_data(cell.moved.victim if cell.moved else cell.victim)
        rows = len(getattr(data_of(given or {}), cell.part))
        rows = min(rows, (cell.moved.limit if cell.moved else cell.limit) or rows)
        return Forecast(rows, rows * self._row(cell.victim, gradient=False))

    @of.register
    def _(self, cell: Shifted) -> Forecast:
        rows = cell.work() * len(cell.corrupted.images())
        return Forecast(rows, rows * self._row(cell.victim, gradient=False))

    @of.register
    def _(self, cell: Analysed) -> Forecast:
        rows = 7 * cell.work()  # a Jacobian of ten classes (bench/jacobian.py)
        return Forecast(rows, rows * self._row(cell.victim, gradient=True))

    @of.register
    def _(self, cell: Corrupted) -> Forecast:
        channels, height, width = cell.images().shape
        return Forecast(0, cell.work() * CORRUPTED * channels * height * width / (3 * 32 * 32))

    def _row(self, victim: Source, *, gradient: bool) -> float:
        """Seconds a row of one pass through a victim, as it is before it is trained."""
        trained = [cell for cell in before(victim) if isinstance(cell, Train)]
        if not trained:
            return 0.0
        first, times = trained[0], len(trained) if isinstance(victim, Ensembled) else 1
        side_by_side = build("method", first.method).members
        if isinstance(victim, Dropped):
            times = victim.samples
        if isinstance(victim, Member):
            times /= side_by_side
        kind = canonical(["row", first.net, side_by_side, gradient])
        return times * self._once(kind, lambda: _timed_row(first, self.device, gradient))

    def _once(self, kind: str, measure: Callable[[], float]) -> float:
        if kind not in self.seen:
            self.seen[kind] = measure()
        return self.seen[kind]


def _timed_step(cell: Train, device: torch.device) -> float:
    """Seconds of one step of the optimiser."""
    method, recipe = build("method", cell.method), build("recipe", cell.recipe)
    net = cell.network().to(device).train()
    lay_out(net, device)
    outer, optimiser = Outer(method, net), recipe.optimiser(net)
    points: Points = data_of(cell.data).train.points(slice(0, recipe.batch), device)
    if method.apart:
        points = Points(*(column.expand(method.members, *column.shape) for column in points))

    def run() -> None:
        moved = method.move(net, points, points.y, seed=0)
        optimiser.zero_grad()
        loss = outer(moved, points.x, points.y)
        loss.backward()
        optimiser.step()
        loss.item()  # waits for the device

    return least_time(run)


def _timed_row(cell: Train, device: torch.device, gradient: bool) -> float:
    net: nn.Module = cell.network().to(device)
    points: Points = data_of(cell.data).train.points(slice(0, ROWS), device)
    victim = victim_of(net)

    def run() -> None:
        x = points.x.clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            out = victim(victim.lift(x)).sum()
        if gradient:
            torch.autograd.grad(out, x)
        out.item()  # waits for the device

    with untouched(victim), laid_out(victim):
        return least_time(run) / len(points.y)


def least_time(run: Callable[[], Any], *, again: int = 3) -> float:
    """The least seconds of a few runs after one that warms up."""
    took = []
    for _ in range(again + 1):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took[1:])


def _shape_of(method: dict[str, Any]) -> list[Any]:
    """What of a method decides how long a step takes: its name, and arguments that are not numbers on a scale."""
    name, arguments = split(method)
    return [name, {k: v for k, v in arguments.items() if not isinstance(v, float)}]
