"""A chapter of the UTA study: whether scores that few epochs gave come nearer to the paper's with more."""

from __future__ import annotations

from dataclasses import dataclass

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies.chapters import Chapter
from surefooted.studies.claims import claim_all
from surefooted.studies.grid import Grid
from surefooted.studies.uta import grids, tables
from surefooted.studies.uta.trade_offs import EPOCHS, overall


@dataclass(frozen=True)
class LongerTraining(Chapter):
    """PGD-AT and UTA-AT at some of the radii of table 1, trained for more epochs than a size has for all of them.

    Attributes:
        few, more: the same trainings with fewer and with more epochs.
    """

    data: str
    few: Grid
    more: Grid

    @property
    def name(self) -> str:
        return grids.labelled(f"longer-{self.data}", self.more.net)

    @property
    def title(self) -> str:
        return f"{grids.titled(self.data, self.more.net)}, trained at {self._radii} for {self.more.epochs} epochs"

    def tasks(self) -> list[Task]:
        return [*self.few.tasks(), *self.more.tasks()]

    def notes(self) -> list[str]:
        return self.more.notes()

    def section(self, store: Store) -> Section:
        grid, name = self.more, self.name
        return Section(
            f"Longer training: {self.title}",
            f"Section 5.1, for {grid.epochs} epochs instead of the {self.few.epochs} that this size has for every "
            f"radius. {EPOCHS[self.data]}{grids.about_inputs(grid.net)}",
            (
                tables.scores(grid, store, name, f"Accuracy and robustness, {self.title} (table 1)"),
                tables.scores(self.few, store, f"{name}-before", f"The same for {self.few.epochs} epochs"),
                tables.beside(grid, store, self.data, name, self.title),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        compared = tables.compared(self.more, store, "1", self.data)
        return [*overall(self.title, compared, f"printed-{self.name}"), self._rise(store)]

    def _rise(self, store: Store) -> Finding:
        rises = {
            f"{which} at {test:g}": self.more.score_gain(store, self.few, which, grids.attack(test))
            for which in self.more.methods
            if which != grids.STANDARD
            for test in grids.tested_at(self.more)
        }
        return claim_all(
            f"{self.title}: scores are higher than after {self.few.epochs} (our question).",
            rises,
            f"score on the attacked images (clean accuracy, too), {self.more.epochs} epochs less {self.few.epochs}",
            see=f"scores-{self.name}",
            sampling=self.more.sampling(),
        )

    @property
    def _radii(self) -> str:
        return " and ".join(f"{eps:g}" for eps in grids.trained_at(self.more))
