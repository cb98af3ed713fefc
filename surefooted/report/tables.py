"""Cells of a table, as they are printed and as they are filed."""

from __future__ import annotations

import csv
import io
import json
import math
import numbers
from typing import Any, NamedTuple

import numpy as np

from surefooted.errors import InputError
from surefooted.report.page import Column, Figure, Table, check_unique

_MISSING = "–"


class TableCell(NamedTuple):
    """A cell on the page: its text, the fainter text after it, and what it sorts by (None sorts last)."""

    text: str
    after: str = ""
    sort: str | None = None
    number: bool = False
    best: bool = False
    hint: str = ""


def format_rows(table: Table) -> list[list[TableCell]]:
    """The rows as printed, the best of each column marked; values that print alike are best together."""
    by_column = [_format_column(column, [row.get(column.key) for row in table.rows], table) for column in table.columns]
    return [list(row) for row in zip(*by_column)]


def full_precision_columns(table: Table) -> dict[str, list[Any]]:
    """The columns at full precision; an interval parts into ``key``, ``key_low``, ``key_high``, ``key_n``."""
    columns: list[tuple[str, list[Any]]] = []
    for column in table.columns:
        cells = [_cell_parts(row.get(column.key), column, table) for row in table.rows]
        columns.append((column.key, [cell[""] for cell in cells]))
        for part in ("low", "high", "spread", "n"):
            if any(cell.get(part) is not None for cell in cells):
                columns.append((f"{column.key}_{part}", [cell.get(part) for cell in cells]))
    check_unique(f"table {table.name!r}: with the columns of intervals, column", [key for key, _ in columns])
    return dict(columns)


def series_table(figure: Figure) -> Table | None:
    """The numbers that a figure draws: a row a point, with its panel and the name of its series; None if not known."""
    assert isinstance(figure.panels, tuple)
    rows: list[dict[str, Any]] = []
    for panel in figure.panels:
        where = {"panel": panel.title} if len(figure.panels) > 1 else {}
        for name, given in panel.series.items():
            parts = {key: np.asarray(values).tolist() for key, values in given._asdict().items() if values is not None}
            if len({len(values) for values in parts.values()}) > 1:
                lengths = ", ".join(f"{key} {len(values)}" for key, values in parts.items())
                raise InputError(f"figure {figure.name!r}: series {name!r} has parts of unlike lengths: {lengths}.")
            rows += [{**where, "series": name, **dict(zip(parts, point))} for point in zip(*parts.values())]
    columns = tuple(Column(key, key) for key in dict.fromkeys(key for row in rows for key in row))
    return Table(figure.name, figure.title, columns, tuple(rows)) if rows else None


def to_csv(table: Table) -> bytes:
    columns = full_precision_columns(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    return text.getvalue().encode()


def to_parquet(table: Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    arrays = {}
    for key, values in full_precision_columns(table).items():
        kinds = {type(value) for value in values if value is not None}
        if kinds == {bool}:
            kind = pa.bool_()
        elif kinds == {int}:
            kind = pa.int64()
        elif kinds and kinds <= {int, float}:
            kind = pa.float64()
        else:
            kind = pa.string()
            values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        arrays[key] = pa.array(values, kind)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(arrays), sink)
    return sink.getvalue()


def _cell_parts(cell: Any, column: Column, table: Table) -> dict[str, Any]:
    """The value of a cell under ``""``, beside it the bounds, spread and n that it has."""
    if hasattr(cell, "value") and (hasattr(cell, "spread") or (hasattr(cell, "low") and hasattr(cell, "high"))):
        names = {"": "value", "low": "low", "high": "high", "spread": "spread", "n": "n"}
        return {part: _plain_value(getattr(cell, name, None), column, table) for part, name in names.items()}
    return {"": _plain_value(cell, column, table)}


def _plain_value(value: Any, column: Column, table: Table) -> str | bool | int | float | None:
    """The value as Python's own type, whatever kind of number it was; NaN is a missing value."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return None if math.isnan(value) else float(value)
    raise InputError(
        f"table {table.name!r}: column {column.key!r} holds {value!r} of type {type(value).__name__}. "
        "Expected a text, a number, an Interval, a Spread or None; turn tensors and arrays into numbers first."
    )


def _format_column(column: Column, cells: list[Any], table: Table) -> list[TableCell]:
    split = [_cell_parts(cell, column, table) for cell in cells]
    values = [cell[""] for cell in split if _is_number(cell[""])]
    whole = column.scale == 1 and all(isinstance(value, int) for value in values)
    digits = 0 if whole else column.digits
    best = None
    if column.best and len(values) > 1:
        best = _format_number((max if column.best == "high" else min)(values), column.scale, digits)
    return [_format_cell(cell, column.scale, digits, best) for cell in split]


def _format_cell(cell: dict[str, Any], scale: float, digits: int, best: str | None) -> TableCell:
    value = cell[""]
    if value is None:
        return TableCell(_MISSING)
    if isinstance(value, bool):
        return TableCell("yes" if value else "no", sort="yes" if value else "no")
    if isinstance(value, str):
        return TableCell(value, sort=value)
    text = _format_number(value, scale, digits)
    after = ""
    if cell.get("low") is not None and cell.get("high") is not None:
        after = f"[{_format_number(cell['low'], scale, digits)}, {_format_number(cell['high'], scale, digits)}]"
    elif cell.get("spread") is not None:
        after = f"± {_format_number(cell['spread'], scale, digits)}"
    hint = f"n = {cell['n']:,}" if cell.get("n") is not None else ""
    sort = repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    return TableCell(text, after, sort, number=True, best=text == best, hint=hint)


def _format_number(value: float, scale: float, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value * scale:,.{digits}f}"
    negative = text.startswith("-") and any(digit in text for digit in "123456789")
    return ("−" if negative else "") + text.removeprefix("-")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
