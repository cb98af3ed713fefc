"""Studies of experiments that do not hang together: each is a chapter, which can be run and reported on alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from surefooted.errors import InputError, did_you_mean
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task, collect_provenance
from surefooted.report import Finding, Page, Section
from surefooted.studies.base import Study


class Chapter(ABC):
    """One experiment: what is computed, what is shown of it, and what it says of the paper's claims."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is asked for by."""

    @abstractmethod
    def tasks(self) -> list[Task]:
        """All artefacts that section and findings read."""

    @abstractmethod
    def section(self, store: Store) -> Section: ...

    def findings(self, store: Store) -> list[Finding]:
        """What the paper claims of it, judged."""
        return []


def bound(chapters: Sequence[Chapter], title: str, subtitle: str) -> Study:
    """A study that runs the chapters in their order, and has a page of them all."""

    def tasks() -> list[Task]:
        return [task for one in chapters for task in one.tasks()]

    def page(store: Store) -> Page:
        return Page(
            title,
            subtitle,
            tuple(finding for one in chapters for finding in one.findings(store)),
            tuple(one.section(store) for one in chapters),
            collect_provenance(tasks(), store),
        )

    return Study(tasks, page)


def chosen(chapters: Sequence[Chapter], only: Sequence[str]) -> list[Chapter]:
    """Those of the given names, all where there are none; in the study's order."""
    names = [one.name for one in chapters]
    for name in only:
        if name not in names:
            raise InputError(
                f"no chapter {name!r} in this size.{did_you_mean(name, names)} Available: {', '.join(names)}."
            )
    return [one for one in chapters if not only or one.name in only]
