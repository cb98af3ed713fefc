"""Files of a table: its columns at full precision, as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from surefooted.errors import ArgumentError
from surefooted.report.cells import Column, cell_parts
from surefooted.report.page import Figure, Table, check_unique


def full_precision_columns(table: Table) -> dict[str, list[Any]]:
    """The columns at full precision. An interval becomes the columns ``key``, ``key_low``, ``key_high`` and ``key_n``.

    Example:
        >>> from surefooted.core.interval import Interval
        >>> full_precision_columns(Table("t", "T", (Column("ece", "ECE"),), ({"ece": Interval(0.3, 0.2, 0.4)},)))
        {'ece': [0.3], 'ece_low': [0.2], 'ece_high': [0.4]}
    """
    columns: list[tuple[str, list[Any]]] = []
    for column in table.columns:
        cells = [cell_parts(table.name, column, row.get(column.key)) for row in table.rows]
        columns.append((column.key, [cell[""] for cell in cells]))
        for part in ("low", "high", "spread", "n"):
            if any(cell.get(part) is not None for cell in cells):
                columns.append((f"{column.key}_{part}", [cell.get(part) for cell in cells]))
    check_unique(f"Table {table.name!r} with the bounds of its intervals", "column", [key for key, _ in columns])
    return dict(columns)


def series_table(figure: Figure) -> Table | None:
    """The numbers that a figure draws, one row per point, with the panel and the name of the series.

    Returns:
        None if no panel states its series.

    Example:
        >>> from surefooted.report import Panel
        >>> from surefooted.report.figures import Line
        >>> panel = Panel(print, series={"LS": Line([0, 1], [0.9, 0.1])})
        >>> series_table(Figure("f", "Accuracy", panel)).rows
        ({'series': 'LS', 'x': 0, 'y': 0.9}, {'series': 'LS', 'x': 1, 'y': 0.1})
    """
    rows: list[dict[str, Any]] = []
    for panel in figure.plots:
        where = {"panel": panel.title} if len(figure.plots) > 1 else {}
        for name, given in panel.series.items():
            arrays = {key: np.asarray(values).tolist() for key, values in given._asdict().items() if values is not None}
            if len({len(values) for values in arrays.values()}) > 1:
                lengths = ", ".join(f"{key} {len(values)}" for key, values in arrays.items())
                raise ArgumentError(
                    f"Figure {figure.name!r}: the arrays of series {name!r} differ in length: {lengths}."
                )
            rows += [{**where, "series": name, **dict(zip(arrays, point))} for point in zip(*arrays.values())]
    columns = tuple(Column(key, key) for key in dict.fromkeys(key for row in rows for key in row))
    return Table(figure.name, figure.title, columns, tuple(rows)) if rows else None


def to_csv(table: Table) -> bytes:
    """The table as CSV at full precision.

    Example:
        >>> to_csv(Table("t", "T", (Column("ece", "ECE"),), ({"ece": 1 / 3},)))
        b'ece\\n0.3333333333333333\\n'
    """
    columns = full_precision_columns(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    return text.getvalue().encode()


def to_parquet(table: Table) -> bytes:
    """The table as Parquet at full precision, one type per column; mixed columns hold text.

    Example:
        >>> to_parquet(Table("t", "T", (Column("ece", "ECE"),), ({"ece": 0.3},)))[:4]
        b'PAR1'
    """
    import pyarrow as pa
    import pyarrow.parquet

    arrays = {}
    for key, values in full_precision_columns(table).items():
        types = {type(value) for value in values if value is not None}
        if types == {bool}:
            dtype = pa.bool_()
        elif types == {int}:
            dtype = pa.int64()
        elif types and types <= {int, float}:
            dtype = pa.float64()
        else:
            dtype = pa.string()
            values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        arrays[key] = pa.array(values, dtype)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(arrays), sink)
    return sink.getvalue()
