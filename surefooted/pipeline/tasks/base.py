"""What a cell is: plain data that names an artefact, and knows how to make it; and the data set it was made from."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from surefooted.components.spec import build, canonical, complete, digest
from surefooted.core.files import write_json
from surefooted.data.images import Splits
from surefooted.pipeline.runtime import OnProgress, Runtime, provenance
from surefooted.pipeline.store import Store

ComponentSpec = dict[str, Any]
SplitName = Literal["train", "validation", "test"]
_LOADED: dict[str, Splits] = {}


class Task(ABC):
    """One artefact of the store.

    ``version`` moves when what a cell makes of the same arguments does; that of a component is its module's.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Everything that the artefact depends on, as plain data."""

    @abstractmethod
    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        """Write the artefact's files; what it needs is in the store by then."""

    @abstractmethod
    def total_ticks(self) -> int:
        """How often ``tick`` is told of one more: steps, or row-passes."""

    @property
    def requires(self) -> tuple[Task, ...]:
        return ()

    @property
    def label(self) -> str:
        """A few words for progress bars."""
        return self.kind

    @cached_property
    def key(self) -> str:
        about = self.arguments()
        if about.get("data"):  # where a data set lies is not what it holds; the checksum says that
            about["data"] = without_location(about["data"])
        moved = {"version": self.version} if self.version > 1 else {}
        return digest({"kind": self.kind, **moved, **about})

    def path(self, store: Store) -> Path:
        return store.path(self.kind, self.key)

    def tensors(self, store: Store, name: str) -> dict[str, Tensor]:
        """What a file of the artefact holds."""
        return store.tensors(self.kind, self.key, name)

    def is_done(self, store: Store) -> bool:
        return store.has(self.kind, self.key)

    def run(self, store: Store, runtime: Runtime, tick: OnProgress = lambda n: None) -> None:
        """Make the artefact, unless it is there."""
        if self.is_done(store):
            return
        with store.making(self.kind, self.key, {"kind": self.kind, **self.arguments()}) as place:
            if place is not None:
                into, work = place
                began = time.monotonic()
                self.make(store, runtime, into, work, tick)
                took = {"seconds": round(time.monotonic() - began, 2)}
                write_json(into / "provenance.json", provenance(runtime) | took)


@runtime_checkable
class Source(Protocol):
    """What a victim is loaded from. ``trained`` and ``data``, where it has them, say what made it."""

    if TYPE_CHECKING:  # where shapes and types are checked at run time, asking for it would compute it

        @property
        def key(self) -> str: ...

    def load(self, store: Store) -> nn.Module: ...


def trainings_of(victim: Source) -> tuple[Task, ...]:
    """The trainings that a victim is made of."""
    return getattr(victim, "trained", ())


class TrainTaskBase(Task):
    """The artefact of a training: a source, and what ensembles and sweeps are made of."""

    method: ComponentSpec
    data: ComponentSpec
    seed: int

    @property
    def trained(self) -> tuple[TrainTaskBase, ...]:
        return (self,)

    @abstractmethod
    def load(self, store: Store) -> nn.Module:
        """The network, in evaluation mode."""

    @abstractmethod
    def history(self, store: Store) -> list[dict[str, Any]]:
        """One entry an epoch."""


def without_location(given: ComponentSpec) -> ComponentSpec:
    """A data set's arguments but where it lies."""
    ((name, arguments),) = given.items()
    return {name: {k: v for k, v in arguments.items() if k not in ("path", "name")}}


def load_splits(given: ComponentSpec) -> Splits:
    """The data set, loaded once in a process."""
    key = canonical(given)
    if key not in _LOADED:
        _LOADED[key] = build("data", given)
    return _LOADED[key]


def resolve_data(data: Any) -> ComponentSpec | None:
    """The complete spec of a data set; one that is in memory already is not read again."""
    if data is None:
        return None
    given = complete("data", data)
    if isinstance(data, Splits):
        keep_in_memory(given, data)
    return given


def data_fields(data: ComponentSpec | None) -> dict[str, Any]:
    """Nothing where the data are the victim's own: its key covers them."""
    return {"data": data, "checksum": load_splits(data).checksum} if data else {}


def keep_in_memory(given: ComponentSpec, splits: Splits) -> None:
    """Keep a data set that is in memory already."""
    _LOADED[canonical(given)] = splits
