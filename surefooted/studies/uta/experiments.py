"""Chapters of the UTA study: the plane, catastrophic overfitting, what its attacks look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies.chapters import Chapter
from surefooted.studies.grid import Grid
from surefooted.studies.uta import collapse, figures, grids, toy_figures, toy_findings, toy_tables, trade_off_findings
from surefooted.studies.uta.design import Overfitting
from surefooted.studies.uta.gallery import PerturbationGallery
from surefooted.studies.uta.plane import PlaneResults
from surefooted.studies.uta.toy import ToyProblem

EPOCHS = {"fashion_mnist": 100, "cifar10": 200}  # the paper's, where networks are watched


@dataclass(frozen=True)
class Collapse(Chapter):
    """Attacks of one step, by iteration (figures 4 and 9)."""

    data: str
    runs: Overfitting

    @property
    def name(self) -> str:
        return grids.labelled(f"overfitting-{self.data}", self.runs.net)

    @property
    def title(self) -> str:
        return grids.titled(self.data, self.runs.net)

    def tasks(self) -> list[Task]:
        return self.runs.tasks()

    def section(self, store: Store) -> Section:
        return Section(
            f"Catastrophic overfitting: {self.title}",
            f"Section 5.3: attacks of one step. The paper trains for {EPOCHS[self.data]} epochs."
            f"{grids.about_inputs(self.runs.net)}",
            (figures.overfitting(self.runs, store, self.name),),
        )

    def findings(self, store: Store) -> list[Finding]:
        return collapse.collapse(self.title, self.runs, store, self.name)


@dataclass(frozen=True)
class Quick(Chapter):
    """Methods of one and two steps, by the radius in grey levels (figures 3 and 9c)."""

    fast: Mapping[int, Grid]
    name = "fast"

    def tasks(self) -> list[Task]:
        return [task for grid in self.fast.values() for task in grid.tasks()]

    def notes(self) -> list[str]:
        return next(iter(self.fast.values())).notes()

    def section(self, store: Store) -> Section:
        return Section("One and two steps", "Section 5.3, on CIFAR-10.", (figures.fast_figure(self.fast, store),))

    def findings(self, store: Store) -> list[Finding]:
        return [trade_off_findings.quick(self.fast, store, self.name)]


@dataclass(frozen=True)
class InThePlane(Chapter):
    """Two classes in the plane (figures 1, 5, 6 and 7)."""

    toy: ToyProblem
    name = "plane"

    def tasks(self) -> list[Task]:
        return self.toy.tasks()

    def section(self, store: Store) -> Section:
        plane = PlaneResults(self.toy, store)
        return Section(
            "In the plane",
            "Sections 4.1 and 4.3, appendix A: two classes that nearly touch on one side and lie far apart on the "
            "other, attacked and trained at a radius that is too large for the narrow side.",
            (*toy_figures.figures(plane), toy_tables.attacks_table(plane), toy_tables.trained_table(plane)),
        )

    def findings(self, store: Store) -> list[Finding]:
        return toy_findings.findings(PlaneResults(self.toy, store))


@dataclass(frozen=True)
class Appearance(Chapter):
    """Attacks without bound (figure 8).

    Attributes:
        make: called when the chapter is, since a training's cell looks at its data: other chapters may need none.
    """

    make: Callable[[], PerturbationGallery]
    name = "looks"

    @cached_property
    def looks(self) -> PerturbationGallery:
        return self.make()

    def tasks(self) -> list[Task]:
        return self.looks.tasks()

    def section(self, store: Store) -> Section:
        return Section("Appearance", "Appendix C.2: attacks without bound.", (self.looks.figure(store),))
