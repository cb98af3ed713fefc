"""What a study is: cells to make, and a page that reads them from the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from surefooted.components.component import Component, Spec
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Page


@dataclass(frozen=True, eq=False)
class Study(Component):
    """A named set of computations and the report on them.

    Attributes:
        cells: all artefacts that the page reads; what they need in turn is found by itself.
        page: reads the store, computes no artefact.
    """

    kind = "study"

    tasks: Callable[[], Sequence[Task]]
    page: Callable[[Store], Page]
    spec: Spec | None = field(default=None, compare=False, repr=False)
