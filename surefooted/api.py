"""The Python interface: train a method, attack a model, compute metrics. It shares its store with the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from surefooted.attacks import transfer as transfer_attack
from surefooted.attacks.base import Attack
from surefooted.attacks.tracker import AttackResult
from surefooted.components.component import Spec
from surefooted.components.describe import non_default
from surefooted.components.spec import build, parse_spec, resolve
from surefooted.components.spelling import ARGUMENTS, understand
from surefooted.core.predictions import Predictions
from surefooted.core.types import Points
from surefooted.data.arrays import as_images
from surefooted.data.images import Images, Splits
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.measuring import measure
from surefooted.models import prediction
from surefooted.models.export import ExportCheck, export_network, format_of
from surefooted.models.external import ModelOptions, is_external
from surefooted.models.victims import BATCH, Victim
from surefooted.models.weights import seeded_network
from surefooted.pipeline.lookup import find_model, find_victim, stored_metadata
from surefooted.pipeline.runtime import Precision, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Source, TrainTask, load_splits, resolve_data, train_task
from surefooted.pipeline.tasks.sources import model_reading
from surefooted.pipeline.watching import run_training
from surefooted.training.checkpoint import HistoryEntry

__all__ = [
    "TrainingRun",
    "attack",
    "classifier",
    "export",
    "load",
    "measure",
    "network",
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
    loggers: Sequence[Any] = (),
    on_epoch: Callable[[HistoryEntry], None] | None = None,
    store: Store | str | None = "default",
    runtime: Runtime | None = None,
) -> TrainingRun:
    """Train a network, or load it if the store has it.

    What the training depends on is trained or loaded too: AR-AdaLS needs a vanilla network and its robustness levels.

    Args:
        method, net, data, recipe, record: each a name, ``{name: arguments}``, or the value that a function of that name
            returns. The tensors of the recorder ``record`` are in ``recorded`` of the result.

            ``net`` is also a class or a function that builds a module, which gets the image shape and the number of
            classes if it has arguments named ``shape`` and ``classes`` (or ``num_classes``, ``in_channels``; see
            ``models.nets.own``); in text, ``module:function``. Or it is a module: a copy of it is trained, from its
            own weights, whatever the seed. A network of ``sf.nets`` stands for its architecture: its weights are drawn.
        seed: of initial weights, batches, augmentation, attacks and dropout.
        precision: of the forward and backward passes.
        loggers: where the history goes while it is made: names (``csv``, ``jsonl``, ``tensorboard``, ``mlflow``,
            ``wandb``), ``{name: arguments}``, or objects with the methods of ``training.loggers.Logger``.
        on_epoch: called with the history entry of every epoch, in order, also of epochs that a checkpoint or the store
            has. It cannot stop a training, whose key promises all its epochs; an error that it raises ends this call,
            and the next one resumes.
        store: where runs are kept; by default ``$SUREFOOTED_STORE``, else ``.surefooted``. None keeps nothing, and
            allows code without a key, such as lambdas and scores of one's own.
        runtime: device and processes; by default one process on a GPU, or on the CPU if there is none.

    Raises:
        ArgumentError: for invalid arguments; one error lists all faults, before any work.
        ModelError: if the network cannot be trained on these data.

    Example:
        >>> import surefooted as sf
        >>> data = {"digits": {"train_limit": 100}}
        >>> run = sf.train("vanilla", "mlp", data, {"recipe": {"epochs": 1}})
        >>> run
        TrainingRun(method=vanilla(), network=mlp(), data=digits(train_limit=100), ..., seed=0, key=...)
        >>> len(run.history)
        1
        >>> from torch import nn
        >>> def net(shape, classes):
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(shape[-1] * shape[-2], classes))
        >>> own = sf.train("vanilla", net, data, {"recipe": {"epochs": 1}}, store=None)
        >>> own.net[1]
        Linear(in_features=64, out_features=10, bias=True)
    """
    unstored = store is None
    task = train_task(method, net, data, recipe, seed=seed, precision=precision, record=record, unstored=unstored)
    watch = (lambda entry, steps: on_epoch(entry)) if on_epoch else None
    with _store_or_temporary(store) as kept:
        run_training(task, kept, runtime=runtime, loggers=loggers, watch=watch)
        recorded = task.recorded(kept) if task.record else {}
        return TrainingRun(task.load(kept), task.history(kept), load_splits(task.data), recorded, task)


@contextmanager
def _store_or_temporary(store: Store | str | None) -> Iterator[Store]:
    """The store; for None one that is removed afterwards."""
    if isinstance(store, Store):
        yield store
    elif store is None:
        with TemporaryDirectory(prefix="surefooted-") as folder:
            yield Store(folder)
    elif store == "default":
        yield Store()
    else:
        raise ArgumentError(f"`store` is {store!r}; expected a Store (`sf.Store(folder)`), or None to keep nothing.")


def load(model: str, *, store: Store | None = None) -> nn.Module:
    """Load a trained network by what ``surefooted trained`` lists.

    Args:
        model: the key of a training or its first digits, ``KEY,KEY`` for an ensemble, ``KEY@10`` for Monte Carlo
            dropout, or a ``weights.safetensors`` file.
        store: where trainings are kept; by default ``$SUREFOOTED_STORE``, else ``.surefooted``.

    Returns:
        The network from pixels in [0, 1] to logits, in evaluation mode; its normalisation is part of it.

    Raises:
        InputError: if there is no such network, or it was trained from a module in memory that is not at hand.

    Example:
        >>> import surefooted as sf
        >>> run = sf.train("vanilla", "mlp", {"digits": {"train_limit": 100}}, {"recipe": {"epochs": 1}})
        >>> net = sf.load(run.task.key[:16])
        >>> bool((net(run.data.test.points().x) == run.net(run.data.test.points().x)).all())
        True
    """
    return find_victim(model, store or Store()).load(store or Store())


def network(
    name: str, images: Splits | Images | tuple[int, ...], classes: int | None = None, *, seed: int = 0, **arguments: Any
) -> nn.Module:
    """Build a network of this package, or of other code by ``module:function``, with its initial weights.

    Args:
        name: one of ``sf.nets``, such as ``lenet``.
        images: the data that it is for, or the shape (C, H, W) of its images.
        classes: number of classes; by default that of the data.
        seed: of the initial weights.
        arguments: of the network, such as ``width=32``.

    Raises:
        ArgumentError: for an unknown name or invalid arguments.

    Example:
        >>> import surefooted as sf
        >>> net = sf.network("mlp", sf.digits(), width=32)
        >>> net.fc2
        Linear(in_features=32, out_features=10, bias=True)
    """
    if isinstance(images, Splits):
        images = images.test
    shape, known = (images.shape, len(images.classes)) if isinstance(images, Images) else (tuple(images), None)
    if (count := known if classes is None else classes) is None:
        raise ArgumentError("`classes` is missing. Give the number of classes, or the data in place of the shape.")
    return seeded_network({name: arguments} if arguments else name, shape, count, seed)


def export(
    model: str | nn.Module | TrainingRun,
    file: str | Path,
    *,
    to: str | None = None,
    shape: tuple[int, ...] | None = None,
    store: Store | None = None,
) -> ExportCheck:
    """Write a network to a file for other tools, read the file back and compare its logits with the network's.

    Args:
        model: a training, a network, or what ``load`` takes.
        file: the file; its ending says the format.
        to: ``onnx``, ``pt2``, ``torchscript`` or ``safetensors``; by default by the ending of the file.
        shape: (C, H, W) of the images; needed for a network only.
        store: where trainings are kept, for a key.

    Returns:
        The file, its format, and the largest difference of the logits.

    Raises:
        ModelError: if the network cannot be exported, or the file answers otherwise; then there is no file.
        DependencyError: if a package that the format needs is missing.

    Example:
        >>> import surefooted as sf
        >>> run = sf.train("vanilla", "mlp", {"digits": {"train_limit": 100}}, {"recipe": {"epochs": 1}})
        >>> sf.export(run, "digits.pt2").difference < 1e-5
        True
    """
    path, about = Path(file), {}
    if isinstance(model, TrainingRun):
        net, shape = model.net, shape or model.data.test.shape
    elif isinstance(model, str):
        kept = store or Store()
        source = find_victim(model, kept)
        about = stored_metadata(source, kept)
        net, shape = source.load(kept), shape or tuple(about["shape"])
    else:
        net = model
    if shape is None:
        raise ArgumentError("`shape` is missing: give the (C, H, W) of the network's images.")
    return export_network(net, shape, path, to or format_of(path), about)


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
    batch: int = BATCH,
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
        boxed: refuse pixels outside [0, 1]. Pass False for the result of an attack that does not clip; a pair
            ``(x, y)`` is then taken as it is, images (N, C, H, W) and class indices.

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
    return prediction.predict(_named(model, images), images, batch=batch, seed=seed, boxed=boxed)


def transfer(
    attack: str | dict[str, Any] | Attack,
    model: nn.Module | Victim | str | Path,
    proxy: nn.Module | Victim | str | Path,
    images: Any,
    *,
    seed: int = 0,
    batch: int = BATCH,
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
    victim, surrogate = _named(model, images), _named(proxy, images)
    return transfer_attack.transfer(attack, victim, surrogate, images, seed=seed, batch=batch)


def attack(
    name: str | Attack,
    model: nn.Module | Victim | str | Path,
    images: Any,
    y: Any = None,
    *,
    seed: int = 0,
    batch: int = BATCH,
    **arguments: Any,
) -> AttackResult:
    """Attack every image.

    Args:
        name: name of an attack, or an attack such as ``sf.attacks.pgd(eps=0.1)``.
        model: maps pixels in [0, 1] to logits; or a name as for ``classifier``.
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
    return built(_named(model, given), points, seed=seed, batch=batch)


def _named(model: Any, images: Any) -> Any:
    """The classifier of that name; anything else as it is."""
    return classifier(model, images) if isinstance(model, str | Path) else model


def _check_spelling(name: str | Attack, arguments: dict[str, Any]) -> None:
    """Refuse arguments of an attack that has some already, and those of ``attack`` itself under another name."""
    if not arguments:
        return
    if not isinstance(name, str):
        raise ArgumentError(
            f"{getattr(name, 'spec', name)} is built already; pass {', '.join(arguments)} to its function, or give the "
            "attack by name."
        )
    for given in arguments.keys() - signature(resolve("attack", name)).parameters:
        if meant := understand(given, ("y", "seed", "batch"), ARGUMENTS):
            raise ArgumentError(f"attack has no argument {given!r}. Did you mean {meant!r}?")
