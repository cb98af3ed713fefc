"""Printed numbers and ours, cell by cell: what counts as reproduced, and the table that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from surefooted.report import Column, Finding, Interval, Table

# A printed cell is known to a point, and a run differs from the next by about as much.
REPRODUCED_WITHIN = 0.02
# An interval so wide holds what may come.
UNINFORMATIVE_WIDTH = 0.1


@dataclass(frozen=True)
class Compared:
    """One cell of a paper's table.

    Attributes:
        labels: what names the cell, by column.
        printed: the paper's number, as a share.
        ours: measured here, with its 95 % interval.
    """

    labels: dict[str, str]
    printed: float
    ours: Any

    @property
    def difference(self) -> float:
        return float(self.ours.value) - self.printed

    @property
    def near(self) -> bool:
        """Within two points."""
        return round(abs(self.difference), 6) <= REPRODUCED_WITHIN

    @property
    def reproduced(self) -> bool:
        """Within two points, or inside our interval."""
        inside = not isnan(self.ours.low) and self.ours.low <= self.printed <= self.ours.high
        return self.near or inside


def table(name: str, title: str, cells: Sequence[Compared], caption: str) -> Table:
    """A row a cell: the paper's number, ours, the difference and whether that counts as reproduced."""
    labels = list(cells[0].labels)
    columns = (
        *(Column(label.lower().replace(" ", "_"), label) for label in labels),
        Column("printed", "Paper", "%", 2, scale=100),
        Column("ours", "Ours", "%", 2, scale=100, help="95 % interval"),
        Column("difference", "Ours − paper", "points", 2, scale=100),
        Column("reproduced", "Reproduced", help="within 2 points, or the paper's number inside our interval"),
    )
    rows = tuple(
        {label.lower().replace(" ", "_"): text for label, text in cell.labels.items()}
        | {
            "printed": cell.printed,
            "ours": Interval(float(cell.ours.value), float(cell.ours.low), float(cell.ours.high)),
            "difference": cell.difference,
            "reproduced": "yes" if cell.reproduced else "no",
        }
        for cell in cells
    )
    return Table(name, title, columns, rows, f"{count(cells)} {_telling(cells)}{caption}")


def count(cells: Sequence[Compared]) -> str:
    """How many of them."""
    return f"{sum(cell.reproduced for cell in cells)} of {len(cells)} printed cells are reproduced."


def _telling(cells: Sequence[Compared]) -> str:
    """Of the cells that are reproduced, how many another method's printed number would be too, or almost any."""
    first, *rest = cells[0].labels
    columns: dict[tuple[str, ...], list[Compared]] = {}
    for cell in cells:
        columns.setdefault(tuple(cell.labels[label] for label in rest), []).append(cell)

    def alike(cell: Compared, same: list[Compared]) -> bool:
        others = (other for other in same if other.labels[first] != cell.labels[first])
        return cell.reproduced and any(replace(cell, printed=other.printed).reproduced for other in others)

    many = sum(alike(cell, same) for same in columns.values() for cell in same)
    wide = sum(
        cell.reproduced and not cell.near and cell.ours.high - cell.ours.low > UNINFORMATIVE_WIDTH for cell in cells
    )
    said = f"For {many} of those another method's number would do as well. " if many else ""
    return said + (
        f"{wide} lie in an interval wider than {100 * UNINFORMATIVE_WIDTH:g} points, which says little. "
        if wide
        else ""
    )


def overall(text: str, cells: Sequence[Compared], see: str) -> Finding:
    """A paper's table as one finding: it holds if nine cells of ten do."""
    share = sum(cell.reproduced for cell in cells) / len(cells)
    verdict = "holds" if share >= 0.9 else "does not hold" if share < 0.5 else "unclear"
    return Finding(text, verdict, count(cells), see)
