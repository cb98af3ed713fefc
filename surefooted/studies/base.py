"""A study: the tasks to run, and a page that reads their results from the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Page


@dataclass(frozen=True, eq=False)
class Study(Component):
    """A named set of tasks and the report on them.

    Attributes:
        tasks: returns all tasks whose artifacts the page reads; tasks that these require are found by ``plan``.
        build_page: makes the page from a store that has the artifacts. It computes no artifact.
        spec: the call that made the study.

    Example:
        >>> from surefooted import studies
        >>> study = studies.demo(size="smoke", seeds=2)
        >>> study.spec.name, study.spec.arguments
        ('demo', {'size': 'smoke', 'seeds': 2})
    """

    kind = "study"

    tasks: Callable[[], Sequence[Task]]
    build_page: Callable[[Store], Page]
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def page(self, store: Store) -> Page:
        """The report, made from the artifacts in a store; each file of tensors is read once."""
        return self.build_page(CachedStore(store))


class CachedStore(Store):
    """A view of a store that keeps the tensors that it has read.

    A table, a figure and a claim of one page often need the same result. Files are mapped into memory, so what is kept
    costs address space rather than memory.

    Args:
        store: the store to read from.

    Example:
        >>> from surefooted.pipeline.store import Store
        >>> CachedStore(Store()).root == Store().root
        True
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store.root)
        self._tensors: dict[tuple[str, str, str], dict[str, Tensor]] = {}

    def tensors(self, kind: str, key: str, name: str) -> dict[str, Tensor]:
        """Tensors of one file of an artifact. Do not modify them in place: the next caller gets the same ones."""
        place = (kind, key, name)
        if place not in self._tensors:
            self._tensors[place] = super().tensors(kind, key, name)
        return dict(self._tensors[place])
