"""Chapters of the UTA study beside the trade-offs: the plane, catastrophic overfitting, fast training, appearance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies.chapters import Chapter
from surefooted.studies.grid import Grid
from surefooted.studies.scope import Scope
from surefooted.studies.uta import figures, grids, toy_tables
from surefooted.studies.uta.design import Overfitting
from surefooted.studies.uta.gallery import PerturbationGallery
from surefooted.studies.uta.overfitting_findings import overfitting_findings
from surefooted.studies.uta.toy import ToyProblem
from surefooted.studies.uta.toy_figures import toy_figures
from surefooted.studies.uta.toy_findings import toy_findings
from surefooted.studies.uta.toy_results import ToyResults
from surefooted.studies.uta.trade_off_findings import fast_training_finding

# The paper's epochs in the experiments on catastrophic overfitting.
_PAPER_EPOCHS = {"fashion_mnist": 100, "cifar10": 200}


@dataclass(frozen=True)
class CatastrophicOverfitting(Chapter):
    """Training with one-step attacks, accuracy by iteration (figures 4 and 9)."""

    data: str
    runs: Overfitting

    @property
    def name(self) -> str:
        return grids.chapter_name(f"overfitting-{self.data}", self.runs.net)

    @property
    def title(self) -> str:
        """Data set and inputs."""
        return grids.chapter_title(self.data, self.runs.net)

    def tasks(self) -> list[Task]:
        return self.runs.tasks()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, runs=scope.narrow(self.runs))

    def section(self, store: Store) -> Section:
        return Section(
            f"Catastrophic overfitting: {self.title}",
            f"Section 5.3: one-step attacks. The paper trains for {_PAPER_EPOCHS[self.data]} epochs."
            f"{grids.inputs_note(self.runs.net)}",
            (figures.overfitting_figure(self.runs, store, self.name),),
        )

    def findings(self, store: Store) -> list[Finding]:
        return overfitting_findings(self.title, self.runs, store, self.name)


@dataclass(frozen=True)
class FastTraining(Chapter):
    """Methods with one and two steps (figures 3 and 9c).

    Attributes:
        grids: by the radius in grey levels.
    """

    grids: Mapping[int, Grid]
    name = "fast"

    def tasks(self) -> list[Task]:
        return [task for grid in self.grids.values() for task in grid.tasks()]

    def notes(self) -> list[str]:
        return next(iter(self.grids.values())).notes()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, grids={k: scope.narrow(grid) for k, grid in self.grids.items()})

    def section(self, store: Store) -> Section:
        return Section(
            "Methods with one and two steps",
            "Section 5.3, on CIFAR-10.",
            (figures.fast_training_figure(self.grids, store),),
        )

    def findings(self, store: Store) -> list[Finding]:
        return [fast_training_finding(self.grids, store, self.name)]


@dataclass(frozen=True)
class PlaneExperiment(Chapter):
    """Two classes in the plane (figures 1, 5, 6 and 7)."""

    problem: ToyProblem
    name = "plane"

    def tasks(self) -> list[Task]:
        return self.problem.tasks()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, problem=scope.narrow(self.problem))

    def section(self, store: Store) -> Section:
        results = ToyResults(self.problem, store)
        return Section(
            "Toy problem in the plane",
            "Sections 4.1 and 4.3, appendix A: two classes that nearly touch on one side and are far apart on the "
            "other. The radius of attacks and training is too large for the narrow side.",
            (*toy_figures(results), toy_tables.attacks_table(results), toy_tables.training_table(results)),
        )

    def findings(self, store: Store) -> list[Finding]:
        return toy_findings(ToyResults(self.problem, store))


@dataclass(frozen=True)
class AttackAppearance(Chapter):
    """Adversarial examples without a bound (figure 8).

    Attributes:
        make: makes the gallery when the chapter is used: a training's task looks at its data, which other chapters do
            not need.
    """

    make: Callable[[], PerturbationGallery]
    name = "looks"

    @cached_property
    def gallery(self) -> PerturbationGallery:
        """The images and attacks."""
        return self.make()

    def tasks(self) -> list[Task]:
        return self.gallery.tasks()

    def section(self, store: Store) -> Section:
        return Section("Appearance", "Appendix C.2: attacks without a bound.", (self.gallery.figure(store),))
