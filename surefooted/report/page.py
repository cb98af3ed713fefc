"""What a report says, as plain values: findings at the top, then sections of tables and figures, then where it is from.

Every text is taken for untrusted and printed as it stands. Captions say data, n, seeds, attack and stop rule; whoever
builds the page passes them in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from surefooted.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Verdict = Literal["holds", "does not hold", "unclear"]
VERDICTS = ("holds", "does not hold", "unclear")


class Interval(NamedTuple):
    """A value with its interval, printed ``93.1 [92.0, 94.2]``. Any value with ``value, low, high`` does as well."""

    value: float
    low: float
    high: float
    n: int | None = None


class Spread(NamedTuple):
    """A value with its spread over seeds, printed ``93.1 ± 0.4``. Any value with ``value, spread`` does as well."""

    value: float
    spread: float
    n: int | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: the name in the rows and in the CSV and Parquet files.
        unit: printed under the title.
        digits: decimals printed; the files keep full precision, and a column of whole numbers prints none.
        best: which end is marked as the best value, ``high`` or ``low``, if either is.
        scale: what a value is multiplied by before it is printed, 100 for shares in per cent; the files keep the value.
        help: what the column means, printed in the key below the table.
    """

    key: str
    title: str
    unit: str = ""
    digits: int = 2
    best: str = ""
    help: str = ""
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.best not in ("high", "low", ""):
            raise InputError(f"column {self.key!r}: best = {self.best!r}: expected 'high', 'low' or ''.")


@dataclass(frozen=True)
class Table:
    """Rows under columns. A cell is a text, a number, an ``Interval``, a ``Spread``, or None (also: no such key)."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        _check_name("table", self.name)
        keys = [column.key for column in self.columns]
        check_unique(f"table {self.name!r}: column", keys)
        for number, row in enumerate(self.rows, 1):
            if unknown := [key for key in row if key not in keys]:
                hint = did_you_mean(str(unknown[0]), keys)
                raise InputError(f"table {self.name!r}: row {number} has no column for {unknown[0]!r}.{hint}")


@dataclass(frozen=True)
class Panel:
    """One plot: a function that draws on the matplotlib Axes it is given, as those of ``surefooted.report.figures``.

    Attributes:
        draw: draws the same every time; it is free to remove, split or inset the Axes.
        size: width and height in inches. Up to 5 inches wide, text is legible on a phone.
        series: the numbers that are drawn, by name: a ``Line``, ``Bins`` or another named tuple of arrays of one
            length. They are filed beside the figure.
    """

    draw: Callable[[Axes], Any]
    title: str = ""
    size: tuple[float, float] = (4.8, 3.4)
    series: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """One or several panels, side by side where the width allows; ``alt`` says it to those who do not see it."""

    name: str
    title: str
    panels: tuple[Panel, ...] | Panel
    caption: str = ""
    alt: str = ""

    def __post_init__(self) -> None:
        _check_name("figure", self.name)
        if isinstance(self.panels, Panel):
            object.__setattr__(self, "panels", (self.panels,))
        if not self.panels:
            raise InputError(f"figure {self.name!r} has no panel. Give at least one, or leave the figure out.")


@dataclass(frozen=True)
class Finding:
    """A statement, its verdict (one of ``VERDICTS``), the numbers, and the table or figure that has them."""

    text: str
    verdict: str
    evidence: str = ""
    see: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(
                f"finding {self.text!r}: verdict = {self.verdict!r}: expected one of {', '.join(VERDICTS)}."
            )


@dataclass(frozen=True)
class Section:
    """A heading, text (an empty line parts paragraphs), and tables and figures in reading order."""

    title: str
    text: str = ""
    items: tuple[Table | Figure, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole report. Provenance is printed key by key; nothing else on the page depends on time or machine."""

    title: str
    subtitle: str = ""
    findings: tuple[Finding, ...] = ()
    sections: tuple[Section, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [item.name for item in self.items]
        check_unique("page: name", names)
        for finding in self.findings:
            if finding.see and finding.see not in names:
                hint = did_you_mean(finding.see, names)
                raise InputError(f"finding {finding.text!r}: see = {finding.see!r} is neither table nor figure.{hint}")

    @property
    def items(self) -> tuple[Table | Figure, ...]:
        return tuple(item for section in self.sections for item in section.items)


def _check_name(kind: str, name: str) -> None:
    # Names become file names and anchors, so nothing in them may need quoting or lead out of the folder.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", name):
        raise InputError(f"{kind} name {name!r}: expected up to 80 letters, digits, '-' and '_', as 'robust-accuracy'.")


def check_unique(what: str, names: list[str]) -> None:
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{what} {repeated[0]!r} stands there {names.count(repeated[0])} times. Give each its own.")
