"""Everything that the study of EntM computes."""

from __future__ import annotations

from dataclasses import dataclass

from surefooted.pipeline.tasks import Task
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.stronger_attacks import StrongerAttacks
from surefooted.studies.grid import Grid


@dataclass(frozen=True, eq=False)
class Setup:
    """Grids, curves and analysis of one size of the study.

    Attributes:
        grids: for each data set the grid and the paper's tables that print its numbers.
        analysis: on the networks of the first grid.
        other_curves: curves on other data sets.
    """

    grids: dict[str, tuple[Grid, tuple[str, ...]]]
    analysis: Analysis
    stronger: StrongerAttacks
    other_curves: tuple[Curves, ...] = ()

    @property
    def curves(self) -> tuple[Curves, ...]:
        """Curves on all data sets."""
        return (self.analysis, *self.other_curves)

    def tasks(self) -> list[Task]:
        """Everything that the page reads."""
        grids = [task for grid, _ in self.grids.values() for task in grid.tasks()]
        curves = [task for curves in self.curves for task in curves.tasks()]
        return [*grids, *curves, *self.stronger.tasks()]
