"""A chapter of the UTA study: does longer training bring scores closer to the paper's?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies.chapters import Chapter
from surefooted.studies.claims import claim_all
from surefooted.studies.grid import Grid
from surefooted.studies.scope import Scope
from surefooted.studies.uta import grids, tables
from surefooted.studies.uta.trade_offs import EPOCHS_NOTE, reproduction_findings


@dataclass(frozen=True)
class LongerTraining(Chapter):
    """PGD-AT and UTA-AT at some radii of table 1, trained for more epochs than this size uses for all radii.

    Attributes:
        short, long: the same trainings with fewer and with more epochs.
    """

    data: str
    short: Grid
    long: Grid

    @property
    def name(self) -> str:
        return grids.chapter_name(f"longer-{self.data}", self.long.net)

    @property
    def title(self) -> str:
        """Data set, inputs, radii and epochs."""
        return (
            f"{grids.chapter_title(self.data, self.long.net)}, trained at {self._radii} for {self.long.epochs} epochs"
        )

    def tasks(self) -> list[Task]:
        return [*self.short.tasks(), *self.long.tasks()]

    def notes(self) -> list[str]:
        return self.long.notes()

    def narrow(self, scope: Scope) -> Chapter:
        kept = replace(scope, epochs=0)  # the two lengths are what the chapter compares
        return replace(self, short=kept.narrow(self.short), long=kept.narrow(self.long))

    def section(self, store: Store) -> Section:
        grid, name = self.long, self.name
        return Section(
            f"Longer training: {self.title}",
            f"Section 5.1, with {grid.epochs} epochs instead of the {self.short.epochs} that this size uses for every "
            f"radius. {EPOCHS_NOTE[self.data]}{grids.inputs_note(grid.net)}",
            (
                tables.score_table(grid, store, name, f"Accuracy and robustness, {self.title} (table 1)"),
                tables.score_table(self.short, store, f"{name}-before", f"The same with {self.short.epochs} epochs"),
                tables.score_comparison(grid, store, self.data, name, self.title),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        compared = tables.compare_scores(self.long, store, "1", self.data)
        sampling = self.long.sampling()
        reproduced = reproduction_findings(self.title, compared, sampling, f"printed-{self.name}")
        return [*reproduced, self._score_finding(store)]

    def _score_finding(self, store: Store) -> Finding:
        rises = {
            f"{name} at {eps:g}": self.long.score_gain(store, self.short, name, grids.autoattack_key(eps))
            for name in self.long.methods
            if name != grids.STANDARD
            for eps in grids.autoattack_radii(self.long)
        }
        return claim_all(
            f"{self.title}: scores are higher than after {self.short.epochs} epochs (our question).",
            rises,
            "score on the attacked images (including their clean accuracy), "
            f"{self.long.epochs} epochs minus {self.short.epochs} epochs",
            see=f"scores-{self.name}",
            sampling=self.long.sampling(),
        )

    @property
    def _radii(self) -> str:
        return " and ".join(f"{eps:g}" for eps in grids.training_radii(self.long))
