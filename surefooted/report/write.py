"""Write a page: ``index.html``, and every table and figure as files of their own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from surefooted.report import tables
from surefooted.report.page import Page, Table
from surefooted.report.svg import RenderedFigure, render_figure


def write_page(page: Page, directory: str | os.PathLike[str]) -> Path:
    """Write a page and its files, each in one move; the same page gives the same bytes. Returns the path of the page.

    ``index.html`` needs no other file and no network. Beside it stand ``tables/<name>.csv`` and ``.parquet`` at full
    precision, and ``figures/<name>.svg`` and ``.png``, with the numbers that are drawn (``.csv``, ``.parquet``) where
    the figure says them.
    """
    folder = Path(directory)
    shades: dict[str, str] = {}
    drawings: dict[str, RenderedFigure] = {}
    for item in page.items:
        if isinstance(item, Table):
            _write_table(item, folder / "tables")
        else:
            drawings[item.name] = drawn = render_figure(item, shades)
            _write(folder / "figures" / f"{item.name}.svg", drawn.svg)
            _write(folder / "figures" / f"{item.name}.png", drawn.png)
            if numbers := tables.series_table(item):
                _write_table(numbers, folder / "figures")
    return _write(folder / "index.html", _render_page(page, drawings, shades).encode())


def _write_table(table: Table, folder: Path) -> None:
    _write(folder / f"{table.name}.csv", tables.to_csv(table))
    _write(folder / f"{table.name}.parquet", tables.to_parquet(table))


def _render_page(page: Page, drawings: Mapping[str, RenderedFigure], shades: Mapping[str, str]) -> str:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    package = resources.files("surefooted.report")
    script = package.joinpath("script.js").read_text("utf-8")
    environment = Environment(
        loader=FunctionLoader(lambda name: package.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    cells = {item.name: tables.format_rows(item) for item in page.items if isinstance(item, Table)}
    environment.filters["paragraphs"] = lambda text: [part for part in re.split(r"\n\s*\n", text.strip()) if part]
    environment.filters["spelt"] = _format_provenance
    environment.tests["table"] = lambda item: isinstance(item, Table)
    return environment.get_template("page.html.j2").render(
        page=page,
        numbers=_item_labels(page),
        cells=cells,
        numeric={name: [any(cell.number for cell in column) for column in zip(*rows)] for name, rows in cells.items()},
        drawings=drawings,
        shades=sorted(shades.items()),
        style=package.joinpath("style.css").read_text("utf-8"),
        script=script,
        # Only this script may run, and nothing may be fetched, whatever the texts of the page say.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _item_labels(page: Page) -> dict[str, str]:
    """``Table 1``, ``Figure 1``, ... in reading order."""
    numbers: dict[str, str] = {}
    counts = {"Table": 0, "Figure": 0}
    for item in page.items:
        kind = type(item).__name__
        counts[kind] += 1
        numbers[item.name] = f"{kind} {counts[kind]}"
    return numbers


def _format_provenance(value: Any) -> str:
    """A value of the provenance: texts and numbers as they are, anything deeper as JSON."""
    if isinstance(value, Mapping | list | tuple):
        line = json.dumps(value, ensure_ascii=False, default=str)
        return line if len(line) <= 80 else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return str(value)


def _write(path: Path, content: bytes) -> Path:
    from surefooted.core import files  # not at the top: it loads torch, and a page needs none

    with files.as_input_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write_file(path, content)
    return path
