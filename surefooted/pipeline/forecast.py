"""What a study will cost, before it begins: passes through networks, timed on a few, and the time they will take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, singledispatchmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from surefooted.components.spec import base_name, build, canonical, parse_spec
from surefooted.core.types import Points
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.victims import as_victim, channels_last, untouched
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.tasks import (
    AttackTask,
    CorruptedPredictTask,
    CorruptionTask,
    LocalAnalysisTask,
    PredictTask,
    Source,
    Task,
    TrainTask,
    load_splits,
    trainings_of,
)
from surefooted.pipeline.tasks.datasets import training_data
from surefooted.pipeline.tasks.sources import DeepEnsemble, MCDropout, MemberOf, WeightsFile
from surefooted.training.loop import Outer
from surefooted.training.setup import to_memory_format

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
# Models from elsewhere are often large, and their audits may cover few images.
LOADED_ROWS = 64
# To read what a cell needs and to write what it makes.
SECONDS_A_CELL = 0.2
# Seconds that a CPU takes to corrupt one image of 32×32 pixels by one type at five intensities.
CORRUPTED = 4e-4


class Forecast(NamedTuple):
    """Passes of single images through a network (a gradient counts as one), and seconds on this device."""

    passes: int
    seconds: float


def forecast(todo: Sequence[Task], runtime: Runtime, *, workers: int = 1, at_most: bool = False) -> Forecast:
    """Time a few steps of every kind of training and attack in a plan, and multiply.

    Networks need not be trained for it. Each kind is timed alone, so processes that share a memory bus take longer.

    Args:
        at_most: count every pass that an attack may take, not the share that attacks usually take.
    """
    threads = torch.get_num_threads()
    share = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    replace(runtime, threads=runtime.threads or share).apply_threads()  # as they will run
    pace = _Pace(runtime.device(), at_most=at_most)
    try:
        parts = [pace.of(task) for task in todo]
    finally:
        torch.set_num_threads(threads)
    return Forecast(sum(p.passes for p in parts), sum(p.seconds + SECONDS_A_CELL for p in parts) / workers)


class _Pace:
    """Seconds by step and by pass, timed once for each kind of work."""

    def __init__(self, device: torch.device, *, at_most: bool = False) -> None:
        self.device = device
        self.at_most = at_most
        self.seen: dict[str, float] = {}

    @singledispatchmethod
    def of(self, task: Task) -> Forecast:
        """Cells of no account, such as probes."""
        return Forecast(0, 0.0)

    @of.register
    def _(self, task: TrainTask) -> Forecast:
        method, recipe = build("method", task.method), build("recipe", task.recipe)
        inner = 0 if method.perturb is None else method.perturb.passes - 1
        kind = canonical([_shape_of(task.method), inner, task.net, recipe.batch, load_splits(task.data).train.shape])
        step = self._once(kind, lambda: _timed_step(task, self.device))
        return Forecast(task.total_ticks() * recipe.batch * (inner + 1) * method.members, task.total_ticks() * step)

    @of.register
    def _(self, task: AttackTask) -> Forecast:
        lean = ", lean" if parse_spec(task.attack)[1].get("budget") == "lean" else ""
        usual = ASKED.get(f"{base_name(task.attack)}{lean}", (1.0, 1.0))
        steep, blind = (1.0, 1.0) if self.at_most else usual
        climbed, looked = (
            int(steep * (task.total_ticks() - task.gradient_free_passes())),
            int(blind * task.gradient_free_passes()),
        )
        row = partial(self._row, task.victim, shape=task.images().shape)
        seconds = climbed * row(gradient=True) + looked * row(gradient=False)
        return Forecast(climbed + looked, seconds)

    @of.register
    def _(self, task: PredictTask) -> Forecast:
        given = task.data or training_data(task.moved.victim if task.moved else task.victim)
        images = getattr(load_splits(given or {}), task.part)
        rows = min(len(images), (task.moved.limit if task.moved else task.limit) or len(images))
        return Forecast(rows, rows * self._row(task.victim, gradient=False, shape=images.shape))

    @of.register
    def _(self, task: CorruptedPredictTask) -> Forecast:
        images = task.corrupted.images()
        rows = task.total_ticks() * len(images)
        return Forecast(rows, rows * self._row(task.victim, gradient=False, shape=images.shape))

    @of.register
    def _(self, task: LocalAnalysisTask) -> Forecast:
        rows = 7 * task.total_ticks()  # a Jacobian of ten classes (bench/jacobian.py)
        return Forecast(rows, rows * self._row(task.victim, gradient=True, shape=task.images().shape))

    @of.register
    def _(self, task: CorruptionTask) -> Forecast:
        channels, height, width = task.images().shape
        return Forecast(0, task.total_ticks() * CORRUPTED * channels * height * width / (3 * 32 * 32))

    def _row(self, victim: Source, *, gradient: bool, shape: tuple[int, ...] = ()) -> float:
        """Seconds per image of one pass: a network to be trained is timed untrained, an external model as it is.

        Args:
            shape: (C, H, W) of the images; needed for models from outside the store.
        """
        trained = [task for task in trainings_of(victim) if isinstance(task, TrainTask)]
        if isinstance(victim, InMemoryModel | ExternalModel | WeightsFile):
            kind = canonical(["loaded", victim.key, shape, gradient])
            return self._once(kind, lambda: _timed_row_of_loaded(victim, shape, self.device, gradient))
        if not trained:
            return 0.0
        first, times = trained[0], len(trained) if isinstance(victim, DeepEnsemble) else 1
        side_by_side = build("method", first.method).members
        if isinstance(victim, MCDropout):
            times = victim.samples
        if isinstance(victim, MemberOf):
            times /= side_by_side
        kind = canonical(["row", first.net, side_by_side, gradient])
        return times * self._once(kind, lambda: _timed_row(first, self.device, gradient))

    def _once(self, kind: str, measure: Callable[[], float]) -> float:
        if kind not in self.seen:
            self.seen[kind] = measure()
        return self.seen[kind]


def _timed_step(task: TrainTask, device: torch.device) -> float:
    """Seconds of one step of the optimiser."""
    method, recipe = build("method", task.method), build("recipe", task.recipe)
    net = task.network().to(device).train()
    to_memory_format(net, device)
    outer, optimiser = Outer(method, net), recipe.optimiser(net)
    points: Points = load_splits(task.data).train.points(slice(0, recipe.batch), device)
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


def _timed_row(task: TrainTask, device: torch.device, gradient: bool) -> float:
    points: Points = load_splits(task.data).train.points(slice(0, ROWS), device)
    return _seconds_per_row(task.network().to(device), points.x, gradient)


def _timed_row_of_loaded(
    model: InMemoryModel | ExternalModel | WeightsFile, shape: tuple[int, ...], device: torch.device, gradient: bool
) -> float:
    images = torch.full((LOADED_ROWS, *shape), 0.5, device=device)
    return _seconds_per_row(model.load().to(device), images, gradient)


def _seconds_per_row(net: nn.Module, images: Tensor, gradient: bool) -> float:
    victim = as_victim(net)

    def run() -> None:
        x = images.clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            out = victim(victim.lift(x)).sum()
        if gradient:
            torch.autograd.grad(out, x)
        out.item()  # waits for the device

    with untouched(victim), channels_last(victim):
        return least_time(run) / len(images)


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
    name, arguments = parse_spec(method)
    return [name, {k: v for k, v in arguments.items() if not isinstance(v, float)}]
