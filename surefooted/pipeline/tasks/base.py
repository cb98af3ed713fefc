"""What a task is: plain data that identifies an artifact, and the code that makes it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import fields
from functools import cached_property, lru_cache
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from surefooted.components.spec import build, canonical, digest
from surefooted.core.files import write_json
from surefooted.data.order import SplitName as SplitName
from surefooted.pipeline.runtime import Runtime, provenance
from surefooted.pipeline.store import Store
from surefooted.pipeline.workers import OnProgress

ComponentSpec = dict[str, Any]


class Task(ABC):
    """One artifact of the store.

    Subclasses are frozen dataclasses of plain data and other tasks, so that a task can be hashed and sent to another
    process. ``version`` is raised when the code of a task makes something else of the same arguments; a component's
    version is that of its module.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Everything that the artifact depends on, as plain data."""

    @abstractmethod
    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        """Write the artifact's files into ``into``. Everything in ``requires`` is in the store by then.

        Args:
            work: a directory that survives a kill, for what is needed to resume.
            tick: called with the number of progress ticks since the last call.
        """

    @abstractmethod
    def total_ticks(self) -> int:
        """Total number of progress ticks: optimiser steps, or forward passes × images."""

    @property
    def requires(self) -> tuple[Task, ...]:
        """Tasks whose artifacts this one reads."""
        return ()

    @property
    def label(self) -> str:
        """A few words for progress bars."""
        return self.kind

    @cached_property
    def key(self) -> str:
        """SHA-256 of the complete arguments, of the data's checksum and of the keys of the required tasks."""
        arguments = self.arguments()
        if arguments.get("data"):  # a checksum identifies the data; their location does not matter
            arguments["data"] = without_location(arguments["data"])
        version = {"version": self.version} if self.version > 1 else {}
        return digest({"kind": self.kind, **version, **arguments})

    def path(self, store: Store) -> Path:
        """The artifact's directory, whether it exists or not."""
        return store.path(self.kind, self.key)

    def tensors(self, store: Store, name: str) -> dict[str, Tensor]:
        """The tensors in one file of the artifact."""
        return store.tensors(self.kind, self.key, name)

    def is_done(self, store: Store) -> bool:
        """Whether the store holds the artifact."""
        return store.has(self.kind, self.key)

    def run(self, store: Store, runtime: Runtime, tick: OnProgress = lambda n: None) -> None:
        """Make the artifact unless it exists."""
        if self.is_done(store):
            return
        with store.making(self.kind, self.key, {"kind": self.kind, **self.arguments()}) as place:
            if place is not None:
                into, work = place
                began = time.monotonic()
                self.make(store, runtime, into, work, tick)
                took = {"seconds": round(time.monotonic() - began, 2)}
                write_json(into / "provenance.json", provenance(runtime) | took)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: cached components hold functions, which cannot be sent to another process."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # subclasses

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@runtime_checkable
class Source(Protocol):
    """What a victim is loaded from: a training, several of them, or a file.

    A source may have ``trained``, the training tasks behind it, and ``data``, the data set it was trained on.
    """

    if TYPE_CHECKING:  # a run-time check of the protocol would compute the key

        @property
        def key(self) -> str: ...

    def load(self, store: Store) -> nn.Module: ...


def trainings_of(victim: Source) -> tuple[Task, ...]:
    """The training tasks that a victim is made of."""
    return getattr(victim, "trained", ())


class TrainTaskBase(Task):
    """The artifact of a training: a source, and a member of ensembles and sweeps."""

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
        """One entry per epoch."""


def without_location(data: ComponentSpec) -> ComponentSpec:
    """The arguments of a data set except where it lies."""
    ((name, arguments),) = data.items()
    return {name: {k: v for k, v in arguments.items() if k not in ("path", "name")}}


def component_of(kind: str, spec: ComponentSpec) -> Any:
    """The component of a complete spec, built once per process: components are immutable, and tasks share them."""
    return _built(kind, canonical(spec))


@lru_cache(maxsize=1024)
def _built(kind: str, spec: str) -> Any:
    return build(kind, loads(spec))
