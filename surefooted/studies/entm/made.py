"""All that the study of EntM computes."""

from __future__ import annotations

from dataclasses import dataclass

from surefooted.pipeline.tasks import Cell
from surefooted.studies.entm.cells import Analysis
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.stronger import Stronger
from surefooted.studies.grid import Grid


@dataclass(frozen=True, eq=False)
class Made:
    """Grids by the data set of their printed tables; the analysis is on the networks of the first.

    Attributes:
        elsewhere: curves on other data sets.
    """

    grids: dict[str, tuple[Grid, tuple[str, ...]]]
    analysis: Analysis
    stronger: Stronger
    elsewhere: tuple[Curves, ...] = ()

    @property
    def curves(self) -> tuple[Curves, ...]:
        return (self.analysis, *self.elsewhere)

    def cells(self) -> list[Cell]:
        grids = [cell for grid, _ in self.grids.values() for cell in grid.cells()]
        curves = [cell for several in self.curves for cell in several.cells()]
        return [*grids, *curves, *self.stronger.cells()]
