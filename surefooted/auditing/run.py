"""Audit any classifier: refuse what cannot be audited, say what it will cost, run it or go on with it, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from surefooted.attacks import apgd, square
from surefooted.attacks.base import Attack
from surefooted.auditing import Audit, audit_of
from surefooted.auditing.findings import Findings
from surefooted.auditing.page import page
from surefooted.core.norms import Norm
from surefooted.core.types import Points
from surefooted.errors import InputError
from surefooted.evaluation.checks import SANITY_CHECK_IMAGES, Flag, check_classifier, check_probabilities
from surefooted.models.external import ExternalModel, InMemoryModel, IOAdapter, is_external
from surefooted.models.victims import NetworkVictim, untouched
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, ComponentSpec, Source, eval_images, resolve_data, trainings_of
from surefooted.report import Page, write_page
from surefooted.report.terminal import human_duration


@dataclass(frozen=True, eq=False)
class Audited:
    """What an audit found.

    Attributes:
        numbers: all of it as plain data.
        flags: signs that the robust accuracies should not be trusted.
        page: the report.
    """

    numbers: dict[str, Any]
    flags: list[Flag]
    page: Page

    def write(self, directory: str | Path) -> Path:
        """Write the report; returns the path of its page."""
        return write_page(self.page, directory)


@dataclass(frozen=True)
class Estimate:
    """What is left to do, at most: rows that break early ask for less.

    Attributes:
        seconds: by what steps of an attack took on this machine just now.
        passes: of one image through the classifier.
    """

    seconds: float
    passes: int

    def __str__(self) -> str:
        took = human_duration(self.seconds)
        return f"up to {took} ({self.passes:,} image passes); images broken early are skipped, so usually less"


class Pace(NamedTuple):
    """Seconds that a step of an attack takes by itself, and more for each of its rows."""

    step: float
    row: float


def audit(
    model: nn.Module | Source | str,
    data: Any = None,
    *,
    eps: float = 8 / 255,
    norm: Norm = "linf",
    budget: str = "standard",
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    outputs: str = "logits",
    weights: Path | None = None,
    store: Store | None = None,
    runtime: Runtime | None = None,
    quiet: bool = False,
    **options: Any,
) -> Audited:
    """Audit a classifier, ours or not: accuracy, calibration, robustness, robustness levels, and flags.

    What was computed before is found in the store; killed half-way, the same call goes on where it was.

    Args:
        model: any module from pixels in [0, 1] to logits; or ``module:function``, a ``.pt2`` or ``.onnx`` file,
            ``timm:NAME``, ``transformers:NAME``; or a victim of a cell.
        data: a data set by name, ``{name: arguments}``, or what the functions of ``surefooted.data`` return.
        eps: the size of AutoAttack, in pixels' [0, 1]; the ladder goes from a quarter of it to twice as much.
        budget: quick, standard or full.
        mean, std: of each channel, where the classifier reads normalised pixels.
        outputs: ``probabilities`` where it ends in a softmax.
        weights: safetensors file for the factory's module.
        quiet: neither the estimate of the time nor progress on standard error.
        options: part, limit, levels, eot, temperature, seed; see ``surefooted.auditing``.

    Raises:
        InputError: for a classifier or data that cannot be audited, before any work; see ``checks.check_classifier``.
    """
    named = resolve_data(data)
    victim = victim_of(model, named, weights=weights, mean=tuple(mean), std=tuple(std), outputs=outputs)
    made = audit_of(model=victim, data=named, eps=eps, norm=norm, budget=budget, **options)
    store = store or Store()
    runtime = runtime or _machine(made.model)
    prepare(made, store, runtime, quiet=quiet)
    execute(made.tasks, store, runtime=runtime, quiet=quiet)
    return audited(made, store)


def audited(made: Audit, store: Store) -> Audited:
    """Read from the store what an audit found."""
    found = Findings(made, store)
    return Audited(found.numbers(), found.flags, page(found))


def prepare(made: Audit, store: Store, runtime: Runtime, *, quiet: bool) -> None:
    """Before anything is computed: refuse what cannot be audited, and say how long it will take."""
    if made.levels > (n := len(eval_images(made.model, made.data, made.part, made.images))):
        raise InputError(f"--levels is {made.levels}, and there are {n} images; each level needs one at least.")
    if trainings_of(made.model) or not plan(made.tasks, store):
        return  # one of ours may not even be trained yet
    net = made.model.load(store).to(runtime.device())
    points = eval_images(made.model, made.data, made.part, SANITY_CHECK_IMAGES).points(device=runtime.device())
    check_classifier(net, points, len(made.splits.test.classes))
    if isinstance(net, IOAdapter) and net.outputs == "probabilities":
        with torch.no_grad(), untouched(NetworkVictim(net)):
            check_probabilities(net.raw(points.x))
    if not quiet:
        from surefooted.report.terminal import say_on_stderr

        say_on_stderr(f"[bold]audit of {made.model}[/]: {estimate(made, store, net, points.x)}")


def estimate(made: Audit, store: Store, net: nn.Module, x: torch.Tensor) -> Estimate:
    """Time a few steps of an attack with gradients and of one without, and multiply by the steps that are left."""
    ball: dict[str, Any] = {"norm": made.norm, "eps": made.eps, "keep": "worst"}
    blind, steep = (pace(net, x, attack) for attack in (square(**ball, queries=24), apgd(**ball, steps=11)))
    seconds, passes = 0.0, 0
    for task in plan(made.tasks, store):
        if isinstance(task, AttackTask):
            n = len(task.images())
            unseen = task.gradient_free_passes()
            passes += task.total_ticks()
            for one, rows in ((blind, unseen), (steep, task.total_ticks() - unseen)):
                seconds += rows * one.row + rows / n * task.chunks(x.device.type) * one.step
    return Estimate(seconds, passes)


def pace(net: nn.Module, x: torch.Tensor, attack: Attack) -> Pace:
    """From runs on few and on many images; small networks are slower by the step than by the image."""

    def seconds(n: int) -> float:
        took, zeros = [], torch.zeros(n, dtype=torch.int64, device=x.device)
        points = Points(x[:n], zeros, torch.arange(n, device=x.device))
        for _ in range(2):
            began = time.perf_counter()
            attack(net, points).queries.sum().item()  # waits for the device
            took.append(time.perf_counter() - began)
        return min(took) / attack.passes

    few = max(1, len(x) // 16)
    low, high = seconds(few), seconds(len(x))
    row = max(high - low, 0.0) / max(len(x) - few, 1)
    return Pace(max(low - few * row, 0.0), row)


def victim_of(
    model: Any,
    data: ComponentSpec | None,
    *,
    weights: Path | None = None,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    outputs: str = "logits",
) -> Source:
    """A victim for cells, from what a user calls a model; the options are for a classifier that is not ours."""
    door: dict[str, Any] = {"mean": mean, "std": std, "outputs": outputs}
    if isinstance(model, nn.Module | str) and data is None:
        raise InputError("which data? A classifier that is not ours does not say; name a data set (--data digits).")
    if isinstance(model, nn.Module):
        return InMemoryModel(model, shape_of(data), **door)
    if isinstance(model, str):
        if not is_external(model):
            raise InputError(
                f"{model!r} names no classifier; expected MODULE:FUNCTION, FILE.pt2, FILE.onnx, timm:NAME or "
                "transformers:NAME."
            )
        return ExternalModel(model, shape_of(data), weights, **door)
    if mean or std or weights or outputs != "logits":
        raise InputError("mean, std, outputs and weights are for other classifiers than ours; leave them out.")
    return model


def shape_of(data: ComponentSpec | None) -> tuple[int, int, int]:
    from surefooted.pipeline.tasks import load_splits

    assert data is not None
    return load_splits(data).test.shape


def _machine(victim: Source) -> Runtime:
    """A module stays on the device that it is on."""
    if isinstance(victim, InMemoryModel):
        device = next((w.device.type for w in victim.net.parameters()), "cpu")
        return Runtime(device)  # type: ignore[arg-type]  # it checks them
    return Runtime()
