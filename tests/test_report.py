"""The report: what is written is what was given, escaped, at full precision, and the same bytes every time."""

from __future__ import annotations

import csv
import html.parser
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet
import pytest
from pages import sample, small, written

from surefooted.errors import InputError
from surefooted.report import (
    Column,
    Figure,
    Finding,
    Interval,
    Page,
    Panel,
    Section,
    Spread,
    Table,
    figures,
    tables,
    write_page,
)
from surefooted.report.points import trade_off_plot


class Parsed(NamedTuple):
    tags: list[tuple[str, dict[str, str | None]]]
    text: str


def parsed(page: str) -> Parsed:
    tags, texts = [], []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.handle_startendtag = parser.handle_starttag  # type: ignore[method-assign]
    parser.handle_data = texts.append  # type: ignore[method-assign]
    parser.feed(page)
    parser.close()
    return Parsed(tags, "".join(texts))


def one_table(column: Column, *cells: Any) -> Table:
    return Table("t", "T", (column,), tuple({column.key: cell} for cell in cells))


def test_every_table_and_figure_has_its_files():
    folder = written().parent
    for item in sample().items:
        kind, suffixes = ("tables", ("csv", "parquet")) if isinstance(item, Table) else ("figures", ("svg", "png"))
        for suffix in suffixes:
            assert (folder / kind / f"{item.name}.{suffix}").stat().st_size > 100
            assert f'href="{kind}/{item.name}.{suffix}"' in written().read_text()
    assert not list(folder.rglob(".*")), "a temporary file was left"


def test_ids_are_unique_and_links_lead_somewhere():
    tags = parsed(written().read_text()).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    local = [a["href"][1:] for tag, a in tags if (a.get("href") or "").startswith("#")]
    assert len(local) > 20
    assert set(local) <= set(ids)
    clips = re.findall(r"url\(#([^)]*)\)", written().read_text())
    assert clips
    assert set(clips) <= set(ids)


def test_inline_figures_take_the_colours_of_the_page():
    page = written().read_text()
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == sum(len(item.panels) for item in sample().items if isinstance(item, Figure))
    for svg in svgs:
        colours = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) | set(
            re.findall(r'(?:fill|stroke)="([^"]+)"', svg)
        )
        fixed = {
            c for c in colours if c not in ("none", "currentColor", "var(--paper)") and not c.startswith("var(--c-")
        }
        assert not fixed
        assert re.search(r'<svg[^>]* role="img"', svg)
        assert re.search(r'<svg[^>]* aria-label="[^"]+"', svg)
        assert not re.search(r"<svg[^>]* (width|height)=", svg), "an inline figure scales to the width"
    dark = page[page.index("@media screen and (prefers-color-scheme: dark) {\n  :root { --c-") :]
    for name in set(re.findall(r"var\((--c-[0-9a-f]{6}),", page)):
        assert f"{name}: #" in dark


HOSTILE = "<script>alert(1)</script>"
QUOTED = "\"><img src=x onerror='alert(1)'> & 'so' on"


def test_texts_are_printed_not_obeyed(tmp_path):
    lines = {HOSTILE: figures.Line([0, 1], [0.9, 0.1]), "$\\frac{": figures.Line([0, 1], [0.5, 0.3])}
    lines |= {"_hidden": figures.Line([0, 1], [0.4, 0.2]), "bell\x07 $x$": figures.Line([0, 1], [0.4, 0.1])}
    panels = (
        Panel(lambda ax: figures.accuracy_curves(ax, lines, xlabel=QUOTED), HOSTILE),
        Panel(lambda ax: trade_off_plot(ax, dict.fromkeys(lines, (0.5, 0.1))), QUOTED),
    )
    table = Table(
        "t",
        QUOTED,
        (Column("m", HOSTILE, QUOTED, help=HOSTILE), Column("v", QUOTED)),
        ({"m": HOSTILE, "v": QUOTED}, {"m": QUOTED, "v": 1.0}),
        QUOTED,
    )
    figure = Figure("f", HOSTILE, panels, QUOTED, QUOTED)
    findings = (Finding(HOSTILE, "unclear", QUOTED, "t"),)
    sections = (Section(HOSTILE, f"{QUOTED}\n\n{HOSTILE}", (table, figure)),)
    page = Page(HOSTILE, QUOTED, findings, sections, {HOSTILE: QUOTED, "deep": {QUOTED: [HOSTILE]}})
    tags, text = parsed(write_page(page, tmp_path).read_text())
    assert [tag for tag, _ in tags].count("script") == 1, "only the page's own"
    assert not [tag for tag, _ in tags if tag in ("img", "iframe", "object", "embed")]
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    assert text.count(HOSTILE) >= 8
    assert text.count(QUOTED) >= 8
    assert "$\\frac{" in text
    assert "_hidden" in text
    for svg in (tmp_path / "figures").glob("*.svg"):
        assert b"<script" not in svg.read_bytes()


def test_csv_and_parquet_hold_the_given_values():
    folder = written().parent / "tables"
    for table in (item for item in sample().items if isinstance(item, Table)):
        expected = tables.full_precision_columns(table)
        parquet = pyarrow.parquet.read_table(folder / f"{table.name}.parquet").to_pydict()
        assert parquet == expected
        with open(folder / f"{table.name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for key, values in expected.items():
            for row, value in zip(rows, values, strict=True):
                kind = {float: float, int: int}.get(type(value), str)
                assert row[key] == "" if value is None else kind(row[key]) == (str(value) if kind is str else value)


def test_the_numbers_of_a_figure_are_written_beside_it(tmp_path):
    line = figures.Line(np.array([0, 1]), [1 / 3, math.nan], [0.1, 0.2], [0.5, 0.6])
    bins = figures.ReliabilityBins([0.5], [0.75], [7])
    panels = (Panel(lambda ax: None, "A", series={"LS": line}), Panel(lambda ax: None, "B", series={"PAT": bins}))
    page = write_page(
        Page("P", sections=(Section("S", items=(Figure("f", "F", panels), Figure("g", "G", panels[0]))),)), tmp_path
    )
    first, second = {"panel": "A", "series": "LS"}, {"panel": "B", "series": "PAT"}
    unknown = dict.fromkeys(("x", "y", "low", "high", "confidence", "accuracy", "n"))
    assert pyarrow.parquet.read_table(tmp_path / "figures" / "f.parquet").to_pylist() == [
        {**unknown, **first, "x": 0, "y": 1 / 3, "low": 0.1, "high": 0.5},
        {**unknown, **first, "x": 1, "y": None, "low": 0.2, "high": 0.6},
        {**unknown, **second, "confidence": 0.5, "accuracy": 0.75, "n": 7},
    ]
    assert (tmp_path / "figures" / "g.csv").read_text().splitlines()[0] == "series,x,y,low,high"
    assert 'href="figures/f.csv"' in page.read_text()
    silent = Page("P", sections=(Section("S", items=(Figure("f", "F", Panel(lambda ax: None)),)),))
    assert "csv" not in write_page(silent, tmp_path / "silent").read_text()
    assert not (tmp_path / "silent" / "figures" / "f.csv").exists()


def test_intervals_become_columns_at_full_precision():
    table = one_table(Column("a", "A", digits=1), Interval(1 / 3, 0.1, 2 / 3, 12), np.float32(0.5), None, math.nan)
    assert tables.full_precision_columns(table) == {
        "a": [1 / 3, 0.5, None, None],
        "a_low": [0.1, None, None, None],
        "a_high": [2 / 3, None, None, None],
        "a_n": [12, None, None, None],
    }
    assert list(tables.full_precision_columns(one_table(Column("a", "A"), Spread(1.0, 0.1)))) == ["a", "a_spread"]


def test_numbers_are_printed_as_their_column_specifies():
    def texts(column, *cells):
        return [f"{cell.text} {cell.uncertainty}".strip() for (cell,) in one_table(column, *cells).cells]

    share = Column("a", "A", digits=1, scale=100)
    assert texts(share, Interval(0.931, 0.92, 0.942)) == ["93.1 [92.0, 94.2]"]
    assert texts(share, Spread(0.931, 0.004), None, math.nan) == ["93.1 ± 0.4", "–", "–"]
    assert texts(Column("a", "A"), -0.001, -1.5, math.inf, -math.inf) == ["0.00", "−1.50", "∞", "−∞"]
    assert texts(Column("a", "A"), np.int64(12345), 7) == ["12,345", "7"]
    assert texts(Column("a", "A"), 3, 0.5, "n/a", True, np.True_) == ["3.00", "0.50", "n/a", "yes", "yes"]


def test_notebooks_show_values_escaped():
    table = one_table(Column("a", "<A>", "%", 1, scale=100), Interval(0.931, 0.92, 0.942), "<b>", Spread(0.5, 0.1))
    shown = parsed(table._repr_html_())
    assert shown.text == "T<A> %93.1 [92.0, 94.2]<b> 50.0 ± 10.0"
    assert "b" not in [tag for tag, _ in shown.tags]
    figure = Figure("f", "<F>", Panel(lambda ax: ax.plot([0, 1], [1, 0])))
    assert {"figure", "svg", "figcaption"} <= {tag for tag, _ in parsed(figure._repr_html_()).tags}
    assert parsed(figure._repr_html_()).text.endswith("<F>")
    finding = Finding("a < b", "holds", "1 & 2", see="t")
    page = Page("<P>", findings=(finding,), sections=(Section("S", items=(table, figure)),))
    assert parsed(finding._repr_html_()).text == "holds a < b 1 & 2"
    assert parsed(page._repr_html_()).text == "<P>holds a < b 1 & 21 finding, 1 table, 1 figure"
    assert [repr(value) for value in (table, figure, page, Spread(0.5, 0.1))] == [
        "Table('t', 3 × 1)",
        "Figure('f', 1 panel)",
        "Page('<P>', 1 finding, 1 table, 1 figure)",
        "0.500 ± 0.100",
    ]


@pytest.mark.parametrize(("best", "expected"), [("high", [1, 2]), ("low", [3]), ("", [])])
def test_values_that_print_the_same_are_best_together(best, expected):
    table = one_table(Column("a", "A", digits=1, best=best), None, 0.941, Interval(0.94, 0.9, 1.0), 0.2, math.nan)
    assert [row for row, (cell,) in enumerate(table.cells) if cell.best] == expected


def test_the_same_page_gives_the_same_bytes_in_any_process(tmp_path):
    def contents(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    write_page(small(), tmp_path / "here")
    write_page(small(), tmp_path / "again")
    write_page(small(), tmp_path / "again")  # over what is there
    code = "import sys, test_report as t; t.write_page(t.small(), sys.argv[1])"
    environment = {**os.environ, "PYTHONHASHSEED": "99", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], check=True, env=environment)
    here = contents(tmp_path / "here")
    assert len(here) == 7
    assert contents(tmp_path / "again") == here
    assert contents(tmp_path / "there") == here


def test_importing_the_report_loads_neither_torch_nor_matplotlib():
    code = "import sys, surefooted.report.figures; assert not {'torch', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Table("a/b", "T", (), ()), "table name 'a/b'"),
        (lambda: Figure("../x", "F", Panel(print)), "figure name '../x'"),
        (lambda: Figure("x", "F", ()), "has no panel"),
        (
            lambda: tables.series_table(Figure("x", "F", Panel(print, series={"LS": figures.Line([0, 1], [1])}))),
            "the arrays of series 'LS' differ in length: x 2, y 1",
        ),
        (lambda: Finding("It works.", "perhaps"), "verdict = 'perhaps'"),
        (lambda: Column("a", "A", best="most"), "best = 'most'"),
        (lambda: Table("t", "T", (Column("ece", "E"),), ({"ecee": 1},)), "Did you mean 'ece'"),
        (lambda: Table("t", "T", (Column("a", "A"), Column("a", "B")), ()), "duplicate column 'a'"),
        (lambda: Page("P", findings=(Finding("F", "holds", see="t"),)), "neither a table nor a figure"),
        (lambda: Page("P", sections=(Section("S", items=(one_table(Column("a", "A")),) * 2),)), "duplicate name 't'"),
        (lambda: tables.full_precision_columns(one_table(Column("a", "A"), [1, 2])), "holds [1, 2] of type list"),
        (
            lambda: tables.full_precision_columns(
                Table("t", "T", (Column("a", "A"), Column("a_n", "B")), ({"a": Interval(1, 0, 2, 3), "a_n": 4},))
            ),
            "duplicate column 'a_n'",
        ),
    ],
)
def test_errors_name_the_invalid_value(build, message):
    with pytest.raises(InputError, match=re.escape(message)):
        build()
