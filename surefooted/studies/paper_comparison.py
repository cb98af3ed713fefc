"""A paper's printed numbers beside ours, cell by cell: what counts as reproduced, and the table that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from surefooted.report import Column, Finding, Interval, Table
from surefooted.report.page import Verdict
from surefooted.studies.claims import Sampling, judge

# A printed number is known to about a point, and two runs differ by about as much.
REPRODUCED_WITHIN = 0.02
# An interval wider than this contains almost any number that a paper could print.
UNINFORMATIVE_WIDTH = 0.1


@dataclass(frozen=True)
class CellComparison:
    """One cell of a paper's table, and our value for it.

    Attributes:
        labels: what identifies the cell, by column; the first label is the method.
        printed: the paper's number, as a share.
        ours: our value with its 95 % interval; any value with ``value``, ``low`` and ``high``.

    Example:
        >>> from surefooted.report import Interval
        >>> cell = CellComparison({"Method": "PAT"}, printed=0.50, ours=Interval(0.55, 0.49, 0.61))
        >>> cell.is_close, cell.is_reproduced
        (False, True)
    """

    labels: dict[str, str]
    printed: float
    ours: Any

    @property
    def difference(self) -> float:
        """Our value minus the paper's."""
        return float(self.ours.value) - self.printed

    @property
    def is_close(self) -> bool:
        """Whether the two values differ by at most ``REPRODUCED_WITHIN``."""
        return round(abs(self.difference), 6) <= REPRODUCED_WITHIN

    @property
    def is_reproduced(self) -> bool:
        """Whether the values are close, or our interval contains the paper's value."""
        inside = not isnan(self.ours.low) and self.ours.low <= self.printed <= self.ours.high
        return self.is_close or inside


def comparison_table(name: str, title: str, cells: Sequence[CellComparison], caption: str) -> Table:
    """A table with one row per cell: the paper's number, ours, the difference, and whether it counts as reproduced.

    Args:
        name, title: of the table.
        cells: the cells, all with the same labels.
        caption: sentences that follow the number of reproduced cells.

    Returns:
        The table.
    """
    labels = list(cells[0].labels)
    within = f"within {100 * REPRODUCED_WITHIN:g} points, or the paper's number lies inside our interval"
    columns = (
        *(Column(label.lower().replace(" ", "_"), label) for label in labels),
        Column("printed", "Paper", "%", 2, scale=100),
        Column("ours", "Ours", "%", 2, scale=100, help="95 % interval"),
        Column("difference", "Ours − paper", "points", 2, scale=100),
        Column("reproduced", "Reproduced", help=within),
    )
    rows = tuple(
        {label.lower().replace(" ", "_"): text for label, text in cell.labels.items()}
        | {
            "printed": cell.printed,
            "ours": Interval(float(cell.ours.value), float(cell.ours.low), float(cell.ours.high)),
            "difference": cell.difference,
            "reproduced": "yes" if cell.is_reproduced else "no",
        }
        for cell in cells
    )
    sentences = [reproduction_summary(cells), *_caveats(cells), caption]
    return Table(name, title, columns, rows, " ".join(filter(None, sentences)))


def reproduction_summary(cells: Sequence[CellComparison]) -> str:
    """How many cells are reproduced, as a sentence.

    Example:
        >>> from surefooted.report import Interval
        >>> reproduction_summary([CellComparison({"Method": "PAT"}, 0.50, Interval(0.51, 0.49, 0.53))])
        'We reproduce 1 of 1 cells (within 2 points, or inside our 95 % interval).'
    """
    reproduced = sum(cell.is_reproduced for cell in cells)
    criterion = f"within {100 * REPRODUCED_WITHIN:g} points, or inside our 95 % interval"
    return f"We reproduce {reproduced} of {len(cells)} cells ({criterion})."


def claim_reproduced(text: str, cells: Sequence[CellComparison], sampling: Sampling, see: str) -> Finding:
    """Judge the claim that a paper's table is reproduced: it holds if at least nine of ten cells are.

    Args:
        text: the claim.
        cells: the cells of the table.
        sampling: what our intervals cover.
        see: name of the table that compares them.

    Returns:
        The claim; it does not hold if fewer than half of the cells are reproduced.

    Example:
        >>> from surefooted.report import Interval
        >>> from surefooted.studies.claims import over_seeds
        >>> cell = CellComparison({"Method": "PAT"}, 0.50, Interval(0.51, 0.49, 0.53))
        >>> claim_reproduced("Table 1 is reproduced.", [cell], over_seeds(3), "table-1").verdict
        'holds'
    """
    share = sum(cell.is_reproduced for cell in cells) / len(cells)
    verdict: Verdict = "holds" if share >= 0.9 else "does not hold" if share < 0.5 else "unclear"
    return judge(text, verdict, reproduction_summary(cells), sampling, see=see)


def _caveats(cells: Sequence[CellComparison]) -> list[str]:
    """Sentences about reproduced cells that say little: those that fit another method's number, or almost any."""
    first, *rest = cells[0].labels
    columns: dict[tuple[str, ...], list[CellComparison]] = {}
    for cell in cells:
        columns.setdefault(tuple(cell.labels[label] for label in rest), []).append(cell)

    def fits_another(cell: CellComparison, column: list[CellComparison]) -> bool:
        others = (other for other in column if other.labels[first] != cell.labels[first])
        return cell.is_reproduced and any(replace(cell, printed=other.printed).is_reproduced for other in others)

    def is_wide(cell: CellComparison) -> bool:
        return cell.is_reproduced and not cell.is_close and cell.ours.high - cell.ours.low > UNINFORMATIVE_WIDTH

    ambiguous = sum(fits_another(cell, column) for column in columns.values() for cell in column)
    wide = sum(map(is_wide, cells))
    caveats = [f"In {ambiguous} of these, our value also agrees with another method's number."] if ambiguous else []
    if wide:
        width = f"{100 * UNINFORMATIVE_WIDTH:g} points"
        caveats.append(f"In {wide} of these, the interval is wider than {width} and therefore uninformative.")
    return caveats
