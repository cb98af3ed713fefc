"""The Python interface: train a method, attack a model, compute metrics. It shares its store with the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from surefooted.attacks import transfer as transfer_attack
from surefooted.attacks.base import Attack
from surefooted.attacks.tracker import AttackResult
from surefooted.components.component import Spec
from surefooted.components.describe import non_default
from surefooted.components.spec import build, parse_spec, resolve
from surefooted.core.predictions import Predictions
from surefooted.core.types import Points
from surefooted.data import corruptions
from surefooted.data.arrays import as_images
from surefooted.data.images import Images, Splits
from surefooted.errors import ArgumentError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.measuring import measure
from surefooted.models import prediction
from surefooted.models.external import ModelOptions, is_external
from surefooted.models.victims import Victim
from surefooted.pipeline.execute import execute
from surefooted.pipeline.lookup import find_model
from surefooted.pipeline.runtime import Precision, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    CorruptedPredictTask,
    CorruptionTask,
    PredictTask,
    Source,
    SplitName,
    TrainTask,
    load_splits,
    resolve_data,
    train_task,
    training_data,
)
from surefooted.pipeline.tasks.corruption import INTENSITIES
from surefooted.pipeline.tasks.sources import model_reading
from surefooted.training.checkpoint import HistoryEntry

__all__ = [
    "CorruptionResult",
    "TrainingRun",
    "attack",
    "classifier",
    "corrupt",
    "measure",
    "predict",
    "train",
    "transfer",
]


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


@dataclass(frozen=True, eq=False)
class CorruptionResult:
    """Predictions on corrupted images.

    Attributes:
        clean: on the images as they are.
        by_type: for each type of corruption, the predictions at each severity, the lowest first.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> result = sf.corrupt(net, "digits", ["gaussian_noise"], limit=20, quiet=True)
        >>> len(result.accuracy("gaussian_noise"))
        5
    """

    clean: Predictions
    by_type: dict[str, list[Predictions]]

    severities = INTENSITIES

    def accuracy(self, type: str) -> list[float]:
        """Accuracy under a corruption at each severity."""
        return [metrics.accuracy(p) for p in self.by_type[type]]

    def ece(self, type: str) -> list[float]:
        """Expected calibration error under a corruption at each severity."""
        return [metrics.ece(p) for p in self.by_type[type]]

    @property
    def mean_corruption_error(self) -> float:
        """1 − accuracy, averaged over types and severities; not divided by that of AlexNet."""
        return 1 - fmean(value for type in self.by_type for value in self.accuracy(type))

    def numbers(self) -> dict[str, Any]:
        """All results as plain data, ready for JSON."""
        return {
            "n": len(self.clean.y),
            "clean_accuracy": metrics.accuracy(self.clean),
            "clean_ece": metrics.ece(self.clean),
            "mean_corruption_error": self.mean_corruption_error,
            "types": {type: {"accuracy": self.accuracy(type), "ece": self.ece(type)} for type in self.by_type},
        }


def corrupt(
    model: Any,
    data: Any = None,
    types: Sequence[str] | str = "all",
    *,
    split: SplitName = "test",
    limit: int = 0,
    seed: int = 0,
    store: Store | None = None,
    runtime: Runtime | None = None,
    quiet: bool = False,
    **options: Any,
) -> CorruptionResult:
    """Measure a classifier on corrupted images (distribution shift).

    Args:
        model: as for ``classifier``.
        data: a data set, by default the one that a network of the store was trained on.
        types: names in ``surefooted.corruptions``, or ``all``.
        split: split to corrupt.
        limit: corrupt the first ``limit`` images; 0 for all.
        seed: of the corruptions' random draws.
        store: where artifacts are kept; the default store if omitted.
        runtime: device and processes.
        quiet: print no progress.
        options: how an external classifier is to be read, as for ``classifier``.

    Raises:
        InputError: if there is no such classifier, data set or corruption.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> result = sf.corrupt(net, "digits", ["gaussian_noise", "fog"], limit=20, quiet=True)
        >>> 0 <= result.mean_corruption_error <= 1
        True
    """
    store, given = store or Store(), resolve_data(data)
    victim = find_model(model, store, given, ModelOptions(**options))
    chosen = given or training_data(victim)
    if chosen is None:
        raise ArgumentError("The data set cannot be inferred from these weights; pass `data`.")
    names = corruptions.__all__ if types == "all" else [types] if isinstance(types, str) else types
    for name in names:
        resolve("corruption", name)
    clean = PredictTask(victim, split, None, chosen, limit)
    shifted = {name: CorruptedPredictTask(victim, CorruptionTask(chosen, name, split, limit, seed)) for name in names}
    execute(
        [clean, *(task.corrupted for task in shifted.values()), *shifted.values()], store, runtime=runtime, quiet=quiet
    )
    return CorruptionResult(clean.result(store), {name: task.result(store) for name, task in shifted.items()})


def classifier(
    model: nn.Module | Source | str | Path, data: Any = None, *, store: Store | None = None, **options: Any
) -> nn.Module:
    """A module from pixels in [0, 1] to logits, from anything that names a classifier.

    Args:
        model: a module; ``module:function`` (a factory or a black box), a ``.pt2`` or ``.onnx`` file, ``timm:NAME`` or
            ``transformers:NAME``; a key of the store, or a weights file that surefooted wrote.
        data: the data set that it will read, or images of it; an external model's image size and classes are theirs.
        store: where a key is looked up; the default store if omitted.
        options: how an external classifier is to be read: ``mean``, ``std``, ``outputs``, ``weights``, ``layout``,
            ``pixels``; see ``ModelOptions``.

    Raises:
        InputError: if there is no such classifier, or the options do not go with it.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> one_logit = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
        >>> net = sf.classifier(one_logit, "digits", outputs="sigmoid")
        >>> net(torch.rand(3, 1, 8, 8)).shape
        torch.Size([3, 2])
    """
    store, given = store or Store(), ModelOptions(**options)
    if isinstance(model, nn.Module) and not given.given:
        return model
    images = as_images(data)
    external = isinstance(model, nn.Module) or (isinstance(model, str | Path) and is_external(str(model)))
    if isinstance(model, nn.Module | str | Path) and external and isinstance(images, Images | Points):
        shape, classes = (images.shape, images.classes) if isinstance(images, Images) else (images.x.shape[1:], ())
        source: Source = model_reading(model, tuple(shape), classes, given)
    else:
        source = find_model(model, store, resolve_data(data) if external else None, given)
    net: nn.Module = source.load(store)
    return net


def predict(
    model: nn.Module | Victim | str | Path,
    images: Any,
    *,
    batch: int = 512,
    seed: int = 0,
    boxed: bool = True,
) -> Predictions:
    """Predict class probabilities for every image, in evaluation mode and on the model's device.

    A model with several samples (an ensemble, Monte Carlo dropout) predicts the mean of their probabilities.

    Args:
        model: a ``torch.nn.Module`` from pixels in [0, 1] to logits, a victim, or a name as for ``classifier``.
        images: a split of a data set, such as ``sf.mnist().test``, a data set (its test split), points, ``(x, y)``, or
            other data in memory as ``sf.arrays`` takes them.
        batch: number of images per forward pass.
        seed: of the random numbers that the model draws, such as dropout masks.
        boxed: refuse pixels outside [0, 1]. Pass False for the result of an attack that does not clip.

    Returns:
        Log-probabilities (N, K), labels (N,) and rows (N,).

    Raises:
        InputError: if there are no images, or the model cannot read them.

    Example:
        >>> import surefooted as sf
        >>> images = sf.mnist().test
        >>> p = sf.predict(sf.nets.small_convnet(images.shape, 10), images)
        >>> p.log_p.shape == (len(images), 10)
        True
    """
    images = as_images(images)
    return prediction.predict(_named(model, images), images, batch=batch, seed=seed, boxed=boxed)


def transfer(
    attack: str | dict[str, Any] | Attack,
    model: nn.Module | Victim | str | Path,
    proxy: nn.Module | Victim | str | Path,
    images: Any,
    *,
    seed: int = 0,
    batch: int = 512,
) -> AttackResult:
    """Attack ``proxy``, the surrogate, and evaluate ``model``, the victim, on the result: two queries per image.

    Args:
        attack: as for ``surefooted.attack``. An attack given by name uses ``keep="last"`` if it can and if no ``keep``
            was given: a point that has just left its class on the surrogate rarely leaves it on the victim.
        model: the victim, as for ``predict``.
        proxy: the surrogate, as for ``predict``.
        images: the images with their labels, as for ``predict``.
        seed: keys all draws of the attack.
        batch: images per forward pass at most.

    Returns:
        ``found`` is True where ``model`` misclassifies the clean image (size 0) or the perturbed one.

    Example:
        >>> import surefooted as sf
        >>> model, proxy = (sf.nets.mlp((1, 8, 8), 10) for _ in range(2))
        >>> result = sf.transfer({"pgd": {"eps": 0.1, "steps": 5}}, model, proxy, sf.digits(test_limit=20).test)
        >>> result.queries.unique()
        tensor([2])
    """
    images = as_images(images)
    victim, surrogate = _named(model, images), _named(proxy, images)
    return transfer_attack.transfer(attack, victim, surrogate, images, seed=seed, batch=batch)


def attack(
    name: str | Attack,
    model: nn.Module | Victim | str | Path,
    images: Any,
    *,
    seed: int = 0,
    batch: int = 512,
    **arguments: Any,
) -> AttackResult:
    """Attack every image.

    Args:
        name: name of an attack, or an attack such as ``sf.attacks.pgd(eps=0.1)``.
        model: maps pixels in [0, 1] to logits; or a name as for ``classifier``.
        images: the images to attack, with their labels: a split of a data set, a data set (its test split), points,
            ``(x, y)``, or other data in memory as ``sf.arrays`` takes them.
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
    """
    if isinstance(name, Attack) and arguments:
        raise ArgumentError(
            f"{name.spec} is built already; pass {', '.join(arguments)} to its function, or give the attack by name."
        )
    built: Attack = name if isinstance(name, Attack) else build("attack", {name: arguments} if arguments else name)
    given = as_images(images)
    points = given.points() if isinstance(given, Images) else given
    return built(_named(model, given), points, seed=seed, batch=batch)


def _named(model: Any, images: Any) -> Any:
    """The classifier of that name; anything else as it is."""
    return classifier(model, images) if isinstance(model, str | Path) else model
