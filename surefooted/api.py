"""The Python interface: train a method, attack a model, read the metrics. As able as the command line, as cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.attacks.tracker import AttackResult
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.data.images import Images, Splits
from surefooted.errors import InputError
from surefooted.evaluation.metrics.measuring import measure
from surefooted.models.prediction import predict
from surefooted.models.victims import Victim
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Precision, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import TrainTask, load_splits, train_task
from surefooted.training.checkpoint import Entry

__all__ = ["TrainingRun", "attack", "measure", "predict", "train"]


@dataclass(frozen=True, eq=False)
class TrainingRun:
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
    task: TrainTask


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
    runtime: Runtime | None = None,
) -> TrainingRun:
    """Train a network, or find it in the store; what it builds on (AR-AdaLS: a vanilla model and its levels) likewise.

    Args:
        method, net, data, recipe, record: names, ``{name: arguments}``, or what the functions of those names return.
            What a recorder saw is ``trained.recorded``.
        machine: device and processes; by default one process on a GPU, or on the CPU where there is none.

    Raises:
        InputError: for arguments that cannot be, all at once and before any work.
    """
    task = train_task(method, net, data, recipe, seed=seed, precision=precision, record=record)
    store = store or Store()
    execute([task], store, runtime=runtime)
    recorded = task.recorded(store) if task.record else {}
    return TrainingRun(task.load(store), task.history(store), load_splits(task.data), recorded, task)


def attack(
    name: str | Attack,
    model: nn.Module | Victim,
    images: Images | Points,
    *,
    seed: int = 0,
    batch: int = 512,
    **arguments: Any,
) -> AttackResult:
    """Attack every image: ``attack("pgd", model, data.test, eps=8/255)``. Results per example; see ``AttackResult``."""
    if isinstance(name, Attack) and arguments:
        raise InputError(
            f"{name.spec} is made already; give {', '.join(arguments)} where it is, or the attack by name."
        )
    made = name if isinstance(name, Attack) else build("attack", {name: arguments} if arguments else name)
    points = images.points() if isinstance(images, Images) else images
    return made(model, points, seed=seed, batch=batch)
