"""Write a page: ``index.html``, and files of every table and figure."""

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
    """Write a page and its files, each atomically. The same page gives the same bytes.

    ``index.html`` needs no other file and no network. Beside it are ``tables/<name>.csv`` and ``.parquet`` at full
    precision, and ``figures/<name>.svg`` and ``.png``. If the panels of a figure state their series, its numbers are in
    ``figures/<name>.csv`` and ``.parquet``.

    Returns:
        The path of ``index.html``.

    Raises:
        StoreError: if a file cannot be written.

    Example:
        >>> from surefooted.report import Column, Section
        >>> table = Table("t", "ECE", (Column("ece", "ECE"),), ({"ece": 0.03},))
        >>> write_page(Page("Calibration", sections=(Section("Results", items=(table,)),)), "report").as_posix()
        'report/index.html'
    """
    folder = Path(directory)
    shades: dict[str, str] = {}
    figures: dict[str, RenderedFigure] = {}
    for item in page.items:
        if isinstance(item, Table):
            _write_table(item, folder / "tables")
        else:
            figures[item.name] = rendered = render_figure(item.name, item.plots, item.labels, shades)
            _write(folder / "figures" / f"{item.name}.svg", rendered.svg)
            _write(folder / "figures" / f"{item.name}.png", rendered.png)
            if numbers := tables.series_table(item):
                _write_table(numbers, folder / "figures")
    return _write(folder / "index.html", _render_page(page, figures, shades).encode())


def _render_page(page: Page, figures: Mapping[str, RenderedFigure], shades: Mapping[str, str]) -> str:
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
    cells = {item.name: item.cells for item in page.items if isinstance(item, Table)}
    environment.filters["paragraphs"] = lambda text: [part for part in re.split(r"\n\s*\n", text.strip()) if part]
    environment.filters["provenance_text"] = _provenance_text
    environment.tests["table"] = lambda item: isinstance(item, Table)
    return environment.get_template("page.html.j2").render(
        page=page,
        labels=_numbered_labels(page),
        cells=cells,
        numeric={name: [any(cell.number for cell in column) for column in zip(*rows)] for name, rows in cells.items()},
        figures=figures,
        shades=sorted(shades.items()),
        style=package.joinpath("style.css").read_text("utf-8"),
        script=script,
        # The browser runs only this script and fetches nothing, whatever the texts of the page contain.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _numbered_labels(page: Page) -> dict[str, str]:
    """``Table 1``, ``Figure 1``, ... in reading order."""
    labels: dict[str, str] = {}
    counts = {"Table": 0, "Figure": 0}
    for item in page.items:
        kind = type(item).__name__
        counts[kind] += 1
        labels[item.name] = f"{kind} {counts[kind]}"
    return labels


def _provenance_text(value: Any) -> str:
    """Texts and numbers as they are, nested values as JSON."""
    if isinstance(value, Mapping | list | tuple):
        line = json.dumps(value, ensure_ascii=False, default=str)
        return line if len(line) <= 80 else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return str(value)


def _write_table(table: Table, folder: Path) -> None:
    _write(folder / f"{table.name}.csv", tables.to_csv(table))
    _write(folder / f"{table.name}.parquet", tables.to_parquet(table))


def _write(path: Path, content: bytes) -> Path:
    from surefooted.core import files  # imported here because it loads torch, which a page does not need

    with files.as_input_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write_file(path, content)
    return path
