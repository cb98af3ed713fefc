"""All that the study of EntM computes."""

from __future__ import annotations

from dataclasses import dataclass

from surefooted.pipeline.tasks import Task
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.stronger import StrongerAttacks
from surefooted.studies.grid import Grid


@dataclass(frozen=True, eq=False)
class Setup:
    """Grids by the data set of their printed tables; the analysis is on the networks of the first.

    Attributes:
        elsewhere: curves on other data sets.
    """

    grids: dict[str, tuple[Grid, tuple[str, ...]]]
    analysis: Analysis
    stronger: StrongerAttacks
    elsewhere: tuple[Curves, ...] = ()

    @property
    def curves(self) -> tuple[Curves, ...]:
        return (self.analysis, *self.elsewhere)

    def tasks(self) -> list[Task]:
        grids = [task for grid, _ in self.grids.values() for task in grid.tasks()]
        curves = [task for several in self.curves for task in several.tasks()]
        return [*grids, *curves, *self.stronger.tasks()]
