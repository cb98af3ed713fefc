"""Columns and cells of a table: the values that a cell may hold, and how they print."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from surefooted.errors import ArgumentError

_MISSING = "–"


class Spread(NamedTuple):
    """A value with its spread over seeds, printed ``93.1 ± 0.4``. Any object with ``value`` and ``spread`` will do.

    Attributes:
        value: the mean over seeds.
        spread: the standard deviation over seeds.
        n: the number of seeds; 0 if it is unknown.

    Example:
        >>> Spread(0.931, 0.004, n=3)
        0.931 ± 0.004
    """

    value: float
    spread: float
    n: int = 0

    def __repr__(self) -> str:
        return f"{self.value:.3f} ± {self.spread:.3f}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: the name in the rows and in the CSV and Parquet files.
        title: the heading.
        unit: printed after the title.
        digits: decimals printed; the files keep full precision, and a column of whole numbers prints none.
        best: which end to mark as the best value, ``high`` or ``low``; empty for neither.
        help: the meaning of the column, printed below the table.
        scale: factor applied to values before they are printed, such as 100 for shares in per cent; the files keep the
            value.

    Example:
        >>> Column("robust", "Robust accuracy", unit="%", digits=1, best="high", scale=100).key
        'robust'
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
            raise ArgumentError(f"Column {self.key!r}: best = {self.best!r}: expected 'high', 'low' or ''.")


class TableCell(NamedTuple):
    """A printed cell.

    Attributes:
        text: the value.
        uncertainty: the interval or the spread, printed fainter after the value.
        sort: the key by which the browser sorts; None sorts last.
        number: whether the cell is right-aligned as a number.
        best: whether the value is the best of its column.
        hint: the tooltip.
    """

    text: str
    uncertainty: str = ""
    sort: str | None = None
    number: bool = False
    best: bool = False
    hint: str = ""


def format_rows(name: str, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> list[list[TableCell]]:
    """The printed cells of a table, row by row. Values that print the same as the best of their column are best too.

    Args:
        name: name of the table, for messages.
        columns: what to print.
        rows: the values by the keys of the columns.

    Example:
        >>> columns = (Column("method", "Method"), Column("ece", "ECE", best="low"))
        >>> rows = format_rows("t", columns, ({"method": "PAT", "ece": 0.08}, {"method": "LS", "ece": 0.03}))
        >>> [(method.text, ece.text, ece.best) for method, ece in rows]
        [('PAT', '0.08', False), ('LS', '0.03', True)]
    """
    formatted = [_format_column(name, column, [row.get(column.key) for row in rows]) for column in columns]
    return [list(row) for row in zip(*formatted)]


def cell_parts(name: str, column: Column, cell: Any) -> dict[str, Any]:
    """The value of a cell under ``""``, and the ``low``, ``high``, ``spread`` and ``n`` that it has.

    Example:
        >>> cell_parts("t", Column("ece", "ECE"), Spread(0.03, 0.01, 3))
        {'': 0.03, 'low': None, 'high': None, 'spread': 0.01, 'n': 3}
    """
    if hasattr(cell, "value") and (hasattr(cell, "spread") or (hasattr(cell, "low") and hasattr(cell, "high"))):
        attributes = {"": "value", "low": "low", "high": "high", "spread": "spread"}
        parts = {part: _plain_value(name, column, getattr(cell, attr, None)) for part, attr in attributes.items()}
        return {**parts, "n": _plain_value(name, column, getattr(cell, "n", None) or None)}
    return {"": _plain_value(name, column, cell)}


def _plain_value(name: str, column: Column, value: Any) -> str | bool | int | float | None:
    """The value as one of Python's own types; NaN is a missing value."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return None if math.isnan(value) else float(value)
    raise ArgumentError(
        f"Table {name!r}: column {column.key!r} holds {value!r} of type {type(value).__name__}. "
        "Expected a text, a number, an Interval, a Spread or None; convert tensors and arrays to numbers first."
    )


def _format_column(name: str, column: Column, cells: Sequence[Any]) -> list[TableCell]:
    parts = [cell_parts(name, column, cell) for cell in cells]
    values = [cell[""] for cell in parts if _is_number(cell[""])]
    whole = column.scale == 1 and all(isinstance(value, int) for value in values)
    digits = 0 if whole else column.digits
    best = None
    if column.best and len(values) > 1:
        best = _format_number((max if column.best == "high" else min)(values), column.scale, digits)
    return [_format_cell(cell, column.scale, digits, best) for cell in parts]


def _format_cell(cell: Mapping[str, Any], scale: float, digits: int, best: str | None) -> TableCell:
    value = cell[""]
    if value is None:
        return TableCell(_MISSING)
    if isinstance(value, bool):
        return TableCell("yes" if value else "no", sort="yes" if value else "no")
    if isinstance(value, str):
        return TableCell(value, sort=value)
    text = _format_number(value, scale, digits)
    uncertainty = ""
    if cell.get("low") is not None and cell.get("high") is not None:
        bounds = (_format_number(cell[bound], scale, digits) for bound in ("low", "high"))
        uncertainty = f"[{', '.join(bounds)}]"
    elif cell.get("spread") is not None:
        uncertainty = f"± {_format_number(cell['spread'], scale, digits)}"
    hint = f"n = {cell['n']:,}" if cell.get("n") is not None else ""
    sort = repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    return TableCell(text, uncertainty, sort, number=True, best=text == best, hint=hint)


def _format_number(value: float, scale: float, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value * scale:,.{digits}f}"
    negative = text.startswith("-") and any(digit in text for digit in "123456789")  # -0.00 prints as 0.00
    return ("−" if negative else "") + text.removeprefix("-")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
