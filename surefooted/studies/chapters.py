"""Studies of independent experiments: each is a chapter that can be run and reported alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from surefooted.errors import ArgumentError, did_you_mean
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task, collect_provenance
from surefooted.report import Finding, Page, Section
from surefooted.studies.base import Study
from surefooted.studies.scope import Scope


class Chapter(ABC):
    """One experiment of a study: its tasks, its section of the page, and its verdicts on the paper's claims.

    Example:
        >>> class Empty(Chapter):
        ...     name = "empty"
        ...
        ...     def tasks(self):
        ...         return []
        ...
        ...     def section(self, store):
        ...         return Section("Nothing to see")
        >>> study = combine_chapters(select_chapters([Empty()], ["empty"]), "A study", "Of one chapter.")
        >>> len(study.tasks())
        0
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name by which the user selects the chapter."""

    @abstractmethod
    def tasks(self) -> list[Task]:
        """All tasks whose artifacts the section and the findings read."""

    @abstractmethod
    def section(self, store: Store) -> Section:
        """Tables and figures."""

    def findings(self, store: Store) -> list[Finding]:
        """The paper's claims about this experiment, judged."""
        return []

    def notes(self) -> list[str]:
        """Reservations that the page states once, whichever chapters make them."""
        return []

    def narrow(self, scope: Scope) -> Chapter:
        """The same experiment in another scope. Chapters without trainings per method stay as they are."""
        return self


def combine_chapters(chapters: Sequence[Chapter], title: str, subtitle: str) -> Study:
    """A study that runs the chapters in their order, with one page for all of them.

    Args:
        chapters: the experiments.
        title: title of the page.
        subtitle: sentences below the title; the chapters' notes are appended, each once.

    Returns:
        The study.
    """

    def tasks() -> list[Task]:
        return [task for chapter in chapters for task in chapter.tasks()]

    def page(store: Store) -> Page:
        notes = dict.fromkeys(note for chapter in chapters for note in chapter.notes())
        return Page(
            title,
            " ".join([subtitle, *notes]),
            tuple(finding for chapter in chapters for finding in chapter.findings(store)),
            tuple(chapter.section(store) for chapter in chapters),
            collect_provenance(tasks(), store),
        )

    return Study(tasks, page)


def select_chapters(chapters: Sequence[Chapter], only: Sequence[str]) -> list[Chapter]:
    """The chapters with the given names in the study's order, or all chapters if no name is given.

    Raises:
        ArgumentError: if a name is unknown.
    """
    names = [chapter.name for chapter in chapters]
    for name in only:
        if name not in names:
            hint = did_you_mean(name, names)
            listed = "" if "Available" in hint else f" Available: {', '.join(names)}."
            raise ArgumentError(f"This size of the study has no chapter {name!r}.{hint}{listed}")
    return [chapter for chapter in chapters if not only or chapter.name in only]
