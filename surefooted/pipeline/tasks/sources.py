"""Sources of victims besides a training: a weights file, ensembles, dropout masks, the best of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from torch import nn

from surefooted.components.spec import base_name, digest, parse_spec
from surefooted.core.files import read_tensors, sha256_of
from surefooted.data.split import SplitOptions
from surefooted.errors import ArgumentError, DataError, InputError, ModelError
from surefooted.models.ensembles import Ensemble, MonteCarloDropout
from surefooted.models.external import BlackBox, ExternalModel, InMemoryModel, ModelOptions, is_external
from surefooted.models.weights import load_model
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, TrainTaskBase, without_location
from surefooted.pipeline.tasks.datasets import load_splits
from surefooted.pipeline.tasks.leakage import check_same_data

# Arguments of a data set that say how to split it; the others say which data it holds.
SPLIT_ARGUMENTS = {field.name for field in fields(SplitOptions)}


def external_source(
    model: nn.Module | Source | str | Path, data: ComponentSpec | None, options: ModelOptions | None = None
) -> Source:
    """A classifier from outside this package as the victim of tasks; a source is returned as it is.

    Args:
        model: a module, a source, or ``MODULE:FUNCTION``, ``FILE.pt2``, ``FILE.onnx``, ``timm:NAME``,
            ``transformers:NAME``. Keys of the store are resolved by ``pipeline.lookup.find_model``.
        data: complete spec of the data set that it will read.
        options: how it is to be read.

    Raises:
        ArgumentError: if it names no classifier, or the options do not go with it.

    Example:
        >>> from surefooted.pipeline.tasks import resolve_data
        >>> print(external_source("torch.nn:Flatten", resolve_data("digits")))
        torch.nn:Flatten
    """
    options = options or ModelOptions()
    if not isinstance(model, nn.Module | str | Path):
        if options.given:
            raise ArgumentError(
                f"{', '.join(f'`{name}`' for name in options.given)}: these options are for external models. Leave "
                "them out: a network that Surefooted trained brings its own."
            )
        return model
    if not isinstance(model, nn.Module) and not is_external(str(model)):
        raise ArgumentError(
            f"`model` is {str(model)!r}; expected MODULE:FUNCTION, FILE.pt2, FILE.onnx, timm:NAME or transformers:NAME."
        )
    if data is None:
        raise ArgumentError(
            "The data set cannot be inferred for an external model. Pass `data`, for example `data=digits`."
        )
    return model_reading(model, load_splits(data).test.shape, load_splits(data).test.classes, options)


def model_reading(
    model: nn.Module | str | Path, shape: tuple[int, ...], classes: tuple[str, ...], options: ModelOptions
) -> InMemoryModel | ExternalModel:
    """A classifier that reads images of a shape and of some classes."""
    if isinstance(model, nn.Module):
        if options.weights is not None:
            raise ArgumentError("`weights` are for a factory (MODULE:FUNCTION). Load them into the module yourself.")
        if isinstance(model, BlackBox) and options.outputs not in (None, model.outputs):
            raise ArgumentError(f"The black box returns {model.outputs}; `outputs={options.outputs}` contradicts it.")
        outputs = "logits" if isinstance(model, BlackBox) else options.outputs or "logits"
        return InMemoryModel(model, shape, options.mean, options.std, outputs, len(classes))
    return ExternalModel(str(model), shape, classes=classes, **vars(options))


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A network from a ``weights.safetensors`` file that a training wrote."""

    file: Path

    @cached_property
    def key(self) -> str:
        return sha256_of(self._existing())

    @cached_property
    def data(self) -> ComponentSpec | None:
        """The data set it was trained on, if the file names one that is at hand by its name alone.

        A file must not make us open another place, download anything, or draw images.
        """
        spec, checksum = self._recorded_data
        if spec is None or without_location(spec) != spec or not set(parse_spec(spec)[1]) <= SPLIT_ARGUMENTS:
            return None
        try:
            return spec if load_splits(spec).checksum == checksum else None
        except InputError:  # not at hand, or not the arguments of a data set
            return None

    def split_of(self, data: ComponentSpec) -> ComponentSpec | None:
        """The split of ``data`` that it was trained on, if the file says that it was trained on these data."""
        recorded, checksum = self._recorded_data
        if recorded is None or base_name(recorded) != base_name(data) or load_splits(data).checksum != checksum:
            return None
        name, arguments = parse_spec(data)
        return {name: arguments | {k: v for k, v in parse_spec(recorded)[1].items() if k in SPLIT_ARGUMENTS}}

    @cached_property
    def _recorded_data(self) -> tuple[ComponentSpec | None, Any]:
        """The data set's spec and checksum in the file's metadata."""
        about = read_tensors(self._existing())[1]
        spec = about.get("data")
        valid = isinstance(spec, dict) and len(spec) == 1 and all(isinstance(v, dict) for v in spec.values())
        return (spec if valid else None), about.get("checksum")

    def load(self, store: Store | None = None) -> nn.Module:
        return load_model(self.file)

    def _existing(self) -> Path:
        if not self.file.is_file():
            raise ModelError(f"{self.file} does not exist; expected a weights.safetensors file that surefooted wrote.")
        return self.file

    def __str__(self) -> str:
        return self.file.name


@dataclass(frozen=True, eq=False)
class DeepEnsemble:
    """Networks that were trained independently, as one victim."""

    members: tuple[TrainTaskBase, ...]

    def __post_init__(self) -> None:
        check_same_data(self.members)

    @cached_property
    def key(self) -> str:
        return digest(["ensembled", *(member.key for member in self.members)])

    @property
    def trained(self) -> tuple[TrainTaskBase, ...]:
        return self.members

    @property
    def data(self) -> ComponentSpec:
        return self.members[0].data

    def load(self, store: Store) -> nn.Module:
        return Ensemble([member.load(store) for member in self.members]).eval()

    def __str__(self) -> str:
        return f"{len(self.members)} × {base_name(self.members[0].method)}"


@dataclass(frozen=True, eq=False)
class SingleSource:
    """Base of victims that are derived from a single training, or from the best of a sweep."""

    net: TrainTaskBase | BestOfSweep

    @property
    def trained(self) -> tuple[TrainTaskBase, ...]:
        return self.net.trained

    @property
    def data(self) -> ComponentSpec:
        return self.net.data


@dataclass(frozen=True, eq=False)
class MCDropout(SingleSource):
    """A network whose dropout stays on (Monte Carlo dropout)."""

    samples: int

    @cached_property
    def key(self) -> str:
        return digest(["dropped@2", self.net.key, self.samples])

    def load(self, store: Store) -> nn.Module:
        return MonteCarloDropout(self.net.load(store), samples=self.samples).eval()

    def __str__(self) -> str:
        return f"{base_name(self.trained[0].method)}, {self.samples} dropout masks"


@dataclass(frozen=True, eq=False)
class MemberOf(SingleSource):
    """One network of an ensemble that was trained side by side."""

    at: int

    @cached_property
    def key(self) -> str:
        return digest(["member", self.net.key, self.at])

    def load(self, store: Store) -> nn.Module:
        net = self.net.load(store)
        if not isinstance(net, Ensemble) or self.at >= len(net.members):
            raise ModelError(f"{self.net} has no member {self.at + 1}: it has fewer networks trained side by side.")
        return net.members[self.at]

    def __str__(self) -> str:
        return f"{base_name(self.trained[0].method)}, member {self.at + 1}"


@dataclass(frozen=True, eq=False)
class BestOfSweep:
    """The setting that does best on the validation images, averaged over all seeds: how a parameter is swept.

    Attributes:
        grid: for each setting, one training per seed.
        at: index of the seed that this source stands for.
        measure: accuracy (highest), nll or ece (lowest), after the last epoch.
    """

    grid: tuple[tuple[TrainTaskBase, ...], ...]
    at: int
    measure: Literal["accuracy", "nll", "ece"] = "ece"

    @cached_property
    def key(self) -> str:
        return digest(["best", self.measure, self.at, [[one.key for one in setting] for setting in self.grid]])

    @property
    def trained(self) -> tuple[TrainTaskBase, ...]:
        return tuple(one for setting in self.grid for one in setting)

    @property
    def data(self) -> ComponentSpec:
        return self.grid[0][self.at].data

    def chosen(self, store: Store) -> TrainTaskBase:
        """The training of the best setting; the first of several equally good ones."""
        sign = -1 if self.measure == "accuracy" else 1
        values = [sign * fmean(self._final(one, store) for one in setting) for setting in self.grid]
        return self.grid[values.index(min(values))][self.at]

    def load(self, store: Store) -> nn.Module:
        return self.chosen(store).load(store)

    def __str__(self) -> str:
        first = self.grid[0]
        return f"best of {len(self.grid)} × {base_name(first[0].method)}, seed {first[self.at].seed}"

    def _final(self, training: TrainTaskBase, store: Store) -> float:
        last = training.history(store)[-1]
        if self.measure not in last:
            raise DataError(
                "Selecting the best of a sweep needs a validation split; this data set has none. Set "
                "`data.validation=0.1`."
            )
        return float(last[self.measure])
