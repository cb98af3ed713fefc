"""What a victim is loaded from, besides a training: weights, several networks as one, one of several."""

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
from surefooted.errors import InputError
from surefooted.models.ensembles import Ensemble, MonteCarloDropout
from surefooted.models.weights import load_model
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, TrainTaskBase, load_splits, without_location
from surefooted.pipeline.tasks.evaluation_data import check_same_data

# Arguments of data that say how to split them; others say which they are.
SPLITTING = {field.name for field in fields(SplitOptions)}


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A network from a file that some ``train`` wrote: a victim that needs no training."""

    file: Path

    @cached_property
    def key(self) -> str:
        return sha256_of(self._there())

    @cached_property
    def data(self) -> ComponentSpec | None:
        """What it was trained on, where the file says so and those data are at hand by their name alone.

        No file makes us open another place, download from one, or draw images of its own.
        """
        given, checksum = self._said
        if given is None or without_location(given) != given or not set(parse_spec(given)[1]) <= SPLITTING:
            return None
        try:
            return given if load_splits(given).checksum == checksum else None
        except InputError:  # not here, or no data set's arguments
            return None

    def split_of(self, data: ComponentSpec) -> ComponentSpec | None:
        """Of data that are given, the split that it was trained on, where the file says that it was these."""
        said, checksum = self._said
        if said is None or base_name(said) != base_name(data) or load_splits(data).checksum != checksum:
            return None
        name, arguments = parse_spec(data)
        return {name: arguments | {k: v for k, v in parse_spec(said)[1].items() if k in SPLITTING}}

    @cached_property
    def _said(self) -> tuple[ComponentSpec | None, Any]:
        about = read_tensors(self._there())[1]
        given = about.get("data")
        named = isinstance(given, dict) and len(given) == 1 and all(isinstance(v, dict) for v in given.values())
        return (given if named else None), about.get("checksum")

    def load(self, store: Store | None = None) -> nn.Module:
        return load_model(self.file)

    def _there(self) -> Path:
        if not self.file.is_file():
            raise InputError(f"{self.file} is not there; expected a weights.safetensors that surefooted wrote.")
        return self.file

    def __str__(self) -> str:
        return self.file.name


@dataclass(frozen=True, eq=False)
class DeepEnsemble:
    """Networks that were trained independently, read as one victim (a deep ensemble)."""

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
    """What a victim that was made from one training, or from the best of several, has in common."""

    net: TrainTaskBase | BestOfSweep

    @property
    def trained(self) -> tuple[TrainTaskBase, ...]:
        return self.net.trained

    @property
    def data(self) -> ComponentSpec:
        return self.net.data


@dataclass(frozen=True, eq=False)
class MCDropout(SingleSource):
    """A network with its dropout left on (MC dropout)."""

    samples: int

    @cached_property
    def key(self) -> str:
        return digest(["dropped@2", self.net.key, self.samples])

    def load(self, store: Store) -> nn.Module:
        return MonteCarloDropout(self.net.load(store), samples=self.samples).eval()

    def __str__(self) -> str:
        return f"{base_name(self.trained[0].method)}, {self.samples} dropout masks"


@dataclass(frozen=True, eq=False)
class BestOfSweep:
    """The setting of several that did best on the validation images, over all seeds: how a parameter is swept.

    Attributes:
        grid: for each setting a training of each seed.
        at: which of the seeds this is.
        measure: accuracy (most), nll or ece (least), the mean over the seeds after the last epoch.
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
        """Of equals the first."""
        sign = -1 if self.measure == "accuracy" else 1
        values = [sign * fmean(self._last(one, store) for one in setting) for setting in self.grid]
        return self.grid[values.index(min(values))][self.at]

    def load(self, store: Store) -> nn.Module:
        return self.chosen(store).load(store)

    def __str__(self) -> str:
        return f"best of {len(self.grid)} × {base_name(self.grid[0][0].method)}, seed {self.grid[0][self.at].seed}"

    def _last(self, one: TrainTaskBase, store: Store) -> float:
        entry = one.history(store)[-1]
        if self.measure not in entry:
            raise InputError("a sweep is judged on validation images, and there are none; set --data.validation 0.1.")
        return entry[self.measure]


@dataclass(frozen=True, eq=False)
class MemberOf(SingleSource):
    """One network of those that were trained side by side."""

    at: int

    @cached_property
    def key(self) -> str:
        return digest(["member", self.net.key, self.at])

    def load(self, store: Store) -> nn.Module:
        net = self.net.load(store)
        if not isinstance(net, Ensemble) or self.at >= len(net.members):
            raise InputError(f"{self.net} has no member {self.at + 1}; it trained fewer networks side by side.")
        return net.members[self.at]

    def __str__(self) -> str:
        return f"{base_name(self.trained[0].method)}, member {self.at + 1}"
