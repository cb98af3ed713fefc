"""The Python interface: train a method, attack a model, compute metrics. It shares its store with the command line."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from inspect import signature
from typing import Any

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.attacks.tracker import AttackResult
from surefooted.components.component import Spec
from surefooted.components.describe import non_default
from surefooted.components.spec import build, parse_spec, resolve
from surefooted.components.spelling import ARGUMENTS, understand
from surefooted.data.arrays import as_images
from surefooted.data.images import Images, Splits
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.measuring import measure
from surefooted.models.prediction import predict
from surefooted.models.victims import Victim
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Precision, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import TrainTask, load_splits, train_task
from surefooted.training.checkpoint import HistoryEntry

__all__ = ["TrainingRun", "attack", "measure", "predict", "train"]


@dataclass(frozen=True, eq=False, repr=False)
class TrainingRun:
    """A trained network, its history and its data.

    Attributes:
        net: maps pixels in [0, 1] to logits; in evaluation mode.
        history: one entry per epoch.
        data: the splits of the data set; training did not use ``data.test``.
        recorded: tensors by name, saved by the recorder; empty without one.
        task: the complete arguments; ``task.key`` is the key in the store.

    Example:
        >>> import surefooted as sf
        >>> run = sf.train("vanilla", "mlp", {"digits": {"train_limit": 100}}, {"recipe": {"epochs": 1}})
        >>> len(run.history), len(run.data.test)
        (1, 449)
    """

    net: nn.Module
    history: list[HistoryEntry]
    data: Splits
    recorded: dict[str, Tensor]
    task: TrainTask

    def __repr__(self) -> str:
        return f"TrainingRun({', '.join(f'{name}={value}' for name, value in self._summary().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in self._summary().items())
        return f"<table>{rows}</table>"

    def _summary(self) -> dict[str, str]:
        task = self.task
        given = {"method": task.method, "network": task.net, "data": task.data, "recipe": task.recipe}
        components = {kind: str(Spec(*parse_spec(non_default(kind, spec)))) for kind, spec in given.items()}
        return {**components, "seed": str(task.seed), "key": task.key[:12]}


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
    """Train a network, or load it if the store has it.

    What the training depends on is trained or loaded too: AR-AdaLS needs a vanilla network and its robustness levels.

    Args:
        method, net, data, recipe, record: each a name, ``{name: arguments}``, or the value that a function of that name
            returns. The tensors of the recorder ``record`` are in ``recorded`` of the result.
        seed: of initial weights, batches, augmentation, attacks and dropout.
        precision: of the forward and backward passes.
        store: where runs are kept; by default ``$SUREFOOTED_STORE``, else ``.surefooted``.
        runtime: device and processes; by default one process on a GPU, or on the CPU if there is none.

    Raises:
        ArgumentError: for invalid arguments; one error lists all faults, before any work.

    Example:
        >>> import surefooted as sf
        >>> data = {"digits": {"train_limit": 100}}
        >>> run = sf.train("vanilla", "mlp", data, {"recipe": {"epochs": 1}})
        >>> run
        TrainingRun(method=vanilla(), network=mlp(), data=digits(train_limit=100), ..., seed=0, key=...)
        >>> len(run.history)
        1
    """
    task = train_task(method, net, data, recipe, seed=seed, precision=precision, record=record)
    store = store or Store()
    execute([task], store, runtime=runtime)
    recorded = task.recorded(store) if task.record else {}
    return TrainingRun(task.load(store), task.history(store), load_splits(task.data), recorded, task)


def attack(
    name: str | Attack,
    model: nn.Module | Victim,
    images: Any,
    y: Any = None,
    *,
    seed: int = 0,
    batch: int = 512,
    **arguments: Any,
) -> AttackResult:
    """Attack every image.

    Args:
        name: name of an attack, or an attack such as ``sf.attacks.pgd(eps=0.1)``.
        model: maps pixels in [0, 1] to logits.
        images: the images to attack, with their labels: a split of a data set, a data set (its test split), points,
            ``(x, y)``, or other data in memory as ``sf.arrays`` takes them.
        y: class indices, if ``images`` holds images without labels.
        seed: of the attack's random draws.
        batch: number of images per forward pass; results do not depend on it.
        arguments: arguments of the attack, if it is given by name.

    Returns:
        Per example the adversarial example, whether the attack succeeded, the size of the perturbation and the number
        of queries.

    Raises:
        ArgumentError: for invalid arguments.
        ModelError: if the model cannot be attacked.

    Example:
        >>> import surefooted as sf
        >>> run = sf.train("vanilla", "mlp", {"digits": {"train_limit": 100}}, {"recipe": {"epochs": 1}})
        >>> adversarial = sf.attack("pgd", run.net, run.data.test.take(slice(20)), eps=0.1, steps=3)
        >>> bool((adversarial.size <= 0.1 + 1e-6).all())
        True
        >>> x, y, _ = run.data.test.take(slice(20)).points()
        >>> sf.attack("pgd", run.net, x.numpy(), y.tolist(), eps=0.1, steps=3).robust_accuracy.n
        20
    """
    _check_spelling(name, arguments)
    built: Attack = name if isinstance(name, Attack) else build("attack", {name: arguments} if arguments else name)
    given = as_images(images if y is None else (images, y))
    points = given.points() if isinstance(given, Images) else given
    return built(model, points, seed=seed, batch=batch)


def _check_spelling(name: str | Attack, arguments: dict[str, Any]) -> None:
    """Refuse arguments of an attack that is built already, and those of ``attack`` itself under another name."""
    if isinstance(name, Attack):
        if arguments:
            raise ArgumentError(
                f"{name.spec} is built already; pass {', '.join(arguments)} to its function, or give the attack by "
                "name."
            )
        return
    for given in arguments and arguments.keys() - signature(resolve("attack", name)).parameters:
        if meant := understand(given, ("y", "seed", "batch"), ARGUMENTS):
            raise ArgumentError(f"attack has no argument {given!r}. Did you mean {meant!r}?")
