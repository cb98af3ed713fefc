"""The Python interface: train a method, attack a model, read the metrics. As able as the command line, as cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from surefooted import metrics
from surefooted.attacks.base import Attack
from surefooted.cell import Train, data_of, training
from surefooted.checkpoint import Entry
from surefooted.core import Points
from surefooted.data.images import Images, Splits
from surefooted.errors import InputError
from surefooted.execute import execute
from surefooted.machine import Machine, Precision
from surefooted.metrics.functional import Metric
from surefooted.metrics.intervals import Interval, binomial_interval, bootstrap
from surefooted.metrics.predictions import Predictions
from surefooted.prediction import predict
from surefooted.records import Adversarial
from surefooted.spec import build, resolve
from surefooted.store import Store
from surefooted.views import Victim

__all__ = ["Trained", "attack", "measure", "predict", "train"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network with all that made it.

    Attributes:
        net: from pixels in [0, 1] to logits, in evaluation mode.
        history: one entry an epoch.
        data: the splits it was trained on; ``data.test`` was not seen.
        recorded: tensors by name, what a recorder saw; empty without one.
        cell: the complete arguments; ``cell.key`` is its name in the store.
    """

    net: nn.Module
    history: list[Entry]
    data: Splits
    recorded: dict[str, Tensor]
    cell: Train


def train(
    method: Any,
    net: Any,
    data: Any,
    recipe: Any = "recipe",
    *,
    seed: int = 0,
    precision: Precision = "fp32",
    record: Any = None,
    store: Store | None = None,
    machine: Machine | None = None,
) -> Trained:
    """Train a network, or find it in the store; what it builds on (AR-AdaLS: a vanilla model and its levels) likewise.

    Args:
        method, net, data, recipe, record: names, ``{name: arguments}``, or what the functions of those names return.
            What a recorder saw is ``trained.recorded``.
        machine: device and processes; by default one process on a GPU, or on the CPU where there is none.

    Raises:
        InputError: for arguments that cannot be, all at once and before any work.
    """
    cell = training(method, net, data, recipe, seed=seed, precision=precision, record=record)
    store = store or Store()
    execute([cell], store, machine=machine)
    recorded = cell.recorded(store) if cell.record else {}
    return Trained(cell.load(store), cell.history(store), data_of(cell.data), recorded, cell)


def attack(
    name: str | Attack,
    model: nn.Module | Victim,
    images: Images | Points,
    *,
    seed: int = 0,
    batch: int = 512,
    **arguments: Any,
) -> Adversarial:
    """Attack every image: ``attack("pgd", model, data.test, eps=8/255)``. Results per example; see ``Adversarial``."""
    if isinstance(name, Attack) and arguments:
        raise InputError(
            f"{name.spec} is made already; give {', '.join(arguments)} where it is, or the attack by name."
        )
    made = name if isinstance(name, Attack) else build("attack", {name: arguments} if arguments else name)
    points = images.points() if isinstance(images, Images) else images
    return made(model, points, seed=seed, batch=batch)


def measure(
    p: Predictions, names: str | Sequence[str] = (), *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Metrics of predictions with intervals over the examples; all metrics where none is named.

    They are bootstrap intervals, but for accuracy, which has Wilson's; ``interval_of`` says more.
    """
    named = [names] if isinstance(names, str) else names or metrics.__all__
    chosen = {name: resolve("metric", name) for name in named}
    return {name: interval_of(name, of, p, draws=draws, level=level, seed=seed) for name, of in chosen.items()}


def interval_of(
    name: str, metric: Metric, p: Predictions, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The interval that suits a metric by its name.

    Accuracy gets Wilson's: resamples of answers that are all right are all right, and would leave no width. Resampling
    adds to a calibration error what chance adds: the basic interval takes it off again, and covers far better near 0;
    no such error lies outside [0, 1].
    """
    if name == "accuracy" and len(p.i.unique()) == len(p.i):
        return binomial_interval(int(p.top()[1].sum()), len(p.y), level=level)
    resampled = partial(bootstrap, metric, p, draws=draws, level=level, seed=seed)
    if name not in ("ece", "classwise_ece", "max_calibration_error"):
        return resampled()
    found = resampled(kind="basic")
    return found._replace(low=min(max(found.low, 0.0), 1.0), high=min(max(found.high, 0.0), 1.0))
