"""The cost of tasks before they run: forward passes, and the time that they will take on this device."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, singledispatchmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from surefooted.attacks.apgd import apgd
from surefooted.attacks.base import Attack
from surefooted.attacks.square import square
from surefooted.components.spec import canonical, parse_spec
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
    training_data,
    trainings_of,
)
from surefooted.pipeline.tasks.base import component_of
from surefooted.pipeline.tasks.evaluation import batch_size
from surefooted.pipeline.tasks.sources import DeepEnsemble, MCDropout, MemberOf, WeightsFile
from surefooted.training.loop import OuterLoss
from surefooted.training.setup import to_memory_format

# Images that a forward pass is timed on.
TIMED_IMAGES = 256
# External models are often large, and their audits may cover few images.
TIMED_IMAGES_EXTERNAL = 64
# Each query of a black box may have a price.
TIMED_QUERIES = 4
# Seconds to read what a task requires and to write what it makes.
TASK_OVERHEAD = 0.2
# Seconds that a CPU takes to corrupt one image of 32×32 pixels by one type at five intensities.
CORRUPTION_SECONDS = 4e-4


class Forecast(NamedTuple):
    """The cost of tasks.

    Attributes:
        passes: forward passes × images (a gradient counts as one).
        seconds: time on this device.
    """

    passes: int
    seconds: float


def forecast(tasks: Sequence[Task], runtime: Runtime, *, workers: int = 1, at_most: bool = False) -> Forecast:
    """Time a few steps of every kind of training and attack among the tasks, and multiply.

    Networks need not be trained for it. Each kind is timed alone, so processes that share a memory bus take longer.

    Args:
        at_most: count every pass that an attack may take, not the share that attacks usually take.
    """
    threads = torch.get_num_threads()
    share = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    replace(runtime, threads=runtime.threads or share).apply_threads()  # as they will run
    stopwatch = _Stopwatch(runtime.device(), at_most=at_most)
    try:
        parts = [stopwatch.cost(task) for task in tasks]
    finally:
        torch.set_num_threads(threads)
    return Forecast(sum(p.passes for p in parts), sum(p.seconds + TASK_OVERHEAD for p in parts) / workers)


class _Stopwatch:
    """Seconds per optimiser step and per forward pass, timed once for each kind of work."""

    def __init__(self, device: torch.device, *, at_most: bool = False) -> None:
        self.device = device
        self.at_most = at_most
        self.timed: dict[str, float] = {}

    @singledispatchmethod
    def cost(self, task: Task) -> Forecast:
        """Nothing for tasks that take no time to speak of, such as sanity checks."""
        return Forecast(0, 0.0)

    @cost.register
    def _(self, task: TrainTask) -> Forecast:
        method, recipe = task.method_component, component_of("recipe", task.recipe)
        inner = 0 if method.perturb is None else method.perturb.passes - 1
        shape = load_splits(task.data).train.shape
        kind = canonical([_duration_facts(task.method), inner, task.net, recipe.batch, shape])
        step = self._once(kind, lambda: _time_step(task, self.device))
        ticks = task.total_ticks()
        return Forecast(ticks * recipe.batch * (inner + 1) * method.members, ticks * step)

    @cost.register
    def _(self, task: AttackTask) -> Forecast:
        with_gradient, without = (1.0, 1.0) if self.at_most else task.component.expected_share
        free = task.gradient_free_passes()
        steep, flat = int(with_gradient * (task.total_ticks() - free)), int(without * free)
        images = task.images()
        one_pass = partial(self._pass, task.victim, shape=images.shape)
        search = partial(self._search_pass, shape=images.shape, rows=min(len(images), TIMED_IMAGES))
        seconds = (
            steep * (one_pass(gradient=True) + search(gradient=True)) if steep else 0.0,
            flat * (one_pass(gradient=False) + search(gradient=False)) if flat else 0.0,
        )
        return Forecast(steep + flat, sum(seconds))

    @cost.register
    def _(self, task: PredictTask) -> Forecast:
        data = task.data or training_data(task.source_attack.victim if task.source_attack else task.victim)
        images = getattr(load_splits(data or {}), task.split)
        rows = min(len(images), (task.source_attack.limit if task.source_attack else task.limit) or len(images))
        return Forecast(rows, rows * self._pass(task.victim, gradient=False, shape=images.shape))

    @cost.register
    def _(self, task: CorruptedPredictTask) -> Forecast:
        images = task.corrupted.images()
        rows = task.total_ticks() * len(images)
        return Forecast(rows, rows * self._pass(task.victim, gradient=False, shape=images.shape))

    @cost.register
    def _(self, task: LocalAnalysisTask) -> Forecast:
        rows = 7 * task.total_ticks()  # a Jacobian of ten classes (bench/jacobian.py)
        return Forecast(rows, rows * self._pass(task.victim, gradient=True, shape=task.images().shape))

    @cost.register
    def _(self, task: CorruptionTask) -> Forecast:
        channels, height, width = task.images().shape
        pixels = channels * height * width / (3 * 32 * 32)
        return Forecast(0, task.total_ticks() * CORRUPTION_SECONDS * pixels)

    def _pass(self, victim: Source, *, gradient: bool, shape: tuple[int, ...] = ()) -> float:
        """Seconds per image of one forward pass: networks are timed before they are trained, other models as they are.

        Args:
            shape: (C, H, W) of the images; not needed for networks that are trained first.
        """
        if isinstance(victim, InMemoryModel | ExternalModel | WeightsFile):
            kind = canonical(["external", victim.key, shape, gradient])
            return self._once(kind, lambda: _time_external_pass(victim, shape, self.device, gradient))
        trainings = [task for task in trainings_of(victim) if isinstance(task, TrainTask)]
        if not trainings:
            return 0.0
        first, times = trainings[0], float(len(trainings)) if isinstance(victim, DeepEnsemble) else 1.0
        members = first.method_component.members
        if isinstance(victim, MCDropout):
            times = victim.samples
        if isinstance(victim, MemberOf):
            times /= members
        kind = canonical(["row", first.net, members, gradient])
        return times * self._once(kind, lambda: _time_pass(first, self.device, gradient))

    def _search_pass(self, *, gradient: bool, shape: tuple[int, ...], rows: int) -> float:
        """Seconds per image and pass that an attack itself takes: steps, projections, records of the best points."""
        kind = canonical(["search", gradient, shape, rows])
        return self._once(kind, lambda: _time_search(gradient, shape, rows, self.device))

    def _once(self, kind: str, measure: Callable[[], float]) -> float:
        if kind not in self.timed:
            self.timed[kind] = measure()
        return self.timed[kind]


def _time_step(task: TrainTask, device: torch.device) -> float:
    """Seconds of one step of the optimiser."""
    method, recipe = task.method_component, component_of("recipe", task.recipe)
    net = task.network().to(device).train()
    to_memory_format(net, device)
    outer, optimiser = OuterLoss(method, net), recipe.optimiser(net)
    points: Points = load_splits(task.data).train.points(slice(0, recipe.batch), device)
    if method.separate_batches:
        points = Points(*(column.expand(method.members, *column.shape) for column in points))

    def run() -> None:
        moved = method.perturb_points(net, points, points.y, seed=0)
        optimiser.zero_grad()
        loss = outer(moved, points.x, points.y)
        loss.backward()
        optimiser.step()
        loss.item()  # waits for the device

    return shortest_time(run)


def _time_pass(task: TrainTask, device: torch.device, gradient: bool) -> float:
    points: Points = load_splits(task.data).train.points(slice(0, TIMED_IMAGES), device)
    return _time_images(task.network().to(device), points.x, gradient)


def _time_external_pass(
    model: InMemoryModel | ExternalModel | WeightsFile, shape: tuple[int, ...], device: torch.device, gradient: bool
) -> float:
    rows = min(TIMED_IMAGES_EXTERNAL, batch_size(shape)) if getattr(model, "differentiable", True) else TIMED_QUERIES
    images = torch.full((rows, *shape), 0.5, device=device)
    return _time_images(model.load().to(device), images, gradient)


class _CheapVictim(nn.Module):
    """Logits that cost next to nothing, so that an attack on them takes the time of the attack itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).mean(1, keepdim=True) * torch.arange(10.0, device=x.device)


def _time_search(gradient: bool, shape: tuple[int, ...], rows: int, device: torch.device) -> float:
    """Seconds per image and pass of an attack that drops no image."""
    attack: Attack = apgd(steps=10, keep="worst") if gradient else square(queries=10, keep="worst")
    index = torch.arange(rows, device=device)
    points = Points(torch.full((rows, *shape), 0.5, device=device), torch.zeros_like(index), index)
    victim = _CheapVictim()
    return shortest_time(lambda: attack(victim, points)) / (rows * attack.passes)


def _time_images(net: nn.Module, images: Tensor, gradient: bool) -> float:
    """Seconds per image."""
    victim = as_victim(net)

    def run() -> None:
        x = images.clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            out = victim(victim.lift(x)).sum()
        if gradient:
            torch.autograd.grad(out, x)
        out.item()  # waits for the device

    with untouched(victim), channels_last(victim):
        return shortest_time(run) / len(images)


def shortest_time(run: Callable[[], Any], *, repeats: int = 3) -> float:
    """Seconds of the fastest of a few runs, after one to warm up."""
    took = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took[1:])


def _duration_facts(method: dict[str, Any]) -> list[Any]:
    """What decides how long a step of a method takes: its name, and the arguments that are not real numbers."""
    name, arguments = parse_spec(method)
    return [name, {k: v for k, v in arguments.items() if not isinstance(v, float)}]
