"""The content of a report as plain values: findings first, then sections of tables and figures, then provenance.

Every text is untrusted and printed as it is. Captions state data set, n, seeds, attack and stopping rule; the caller
that builds the page writes them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, get_args

from surefooted.errors import ArgumentError, did_you_mean
from surefooted.report.cells import Column, TableCell, format_rows
from surefooted.report.panel import Panel
from surefooted.report.svg import render_figure

Verdict = Literal["holds", "does not hold", "suggests it holds", "suggests it does not", "unclear"]
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under columns.

    Attributes:
        name: name of its files and its anchor: up to 80 letters, digits, ``-`` and ``_``.
        title: the heading.
        columns: what is printed, in order.
        rows: values by the keys of the columns: a text, a number, an ``Interval``, a ``Spread``, or None (also: no such
            key).
        caption: printed below.

    Example:
        >>> from surefooted.core.interval import Interval
        >>> columns = (Column("method", "Method"), Column("ece", "ECE", digits=3, best="low"))
        >>> Table("main", "Calibration", columns, ({"method": "PAT", "ece": Interval(0.08, 0.07, 0.09)},))
        Table('main', 1 × 2)
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        _check_name("table", self.name)
        keys = [column.key for column in self.columns]
        check_unique(f"Table {self.name!r}", "column", keys)
        for number, row in enumerate(self.rows, 1):
            if unknown := [key for key in row if key not in keys]:
                hint = did_you_mean(str(unknown[0]), keys)
                raise ArgumentError(f"Table {self.name!r}: row {number} has no column for {unknown[0]!r}.{hint}")

    @property
    def cells(self) -> list[list[TableCell]]:
        """The printed cells, row by row."""
        return format_rows(self.name, self.columns, self.rows)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {len(self.rows)} × {len(self.columns)})"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column.title)} {escape(column.unit)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(c.text)} <small>{escape(c.uncertainty)}</small></td>" for c in row) + "</tr>"
            for row in self.cells
        )
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>"


@dataclass(frozen=True, repr=False)
class Figure:
    """One or more panels, side by side if the width allows.

    Attributes:
        name: name of its files and its anchor: up to 80 letters, digits, ``-`` and ``_``.
        title: the heading.
        panels: the plots.
        caption: printed below.
        alt: what the figure shows, for readers who do not see it.

    Example:
        >>> Figure("f", "Accuracy", Panel(lambda ax: ax.plot([0, 1], [1, 0])))
        Figure('f', 1 panel)
    """

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
            raise ArgumentError(f"Figure {self.name!r} has no panel. Give at least one, or omit the figure.")

    @property
    def plots(self) -> tuple[Panel, ...]:
        """The panels as a tuple, also if one was given by itself."""
        return (self.panels,) if isinstance(self.panels, Panel) else self.panels

    @property
    def labels(self) -> list[str]:
        """For each panel the text that is read to readers who do not see it."""
        several = len(self.plots) > 1
        return [panel.title if several and panel.title else self.alt or self.title for panel in self.plots]

    def __repr__(self) -> str:
        return f"Figure({self.name!r}, {_count(len(self.plots), 'panel')})"

    def _repr_html_(self) -> str:
        svg = render_figure(self.name, self.plots, self.labels, {}).svg.decode()
        return f"<figure>{svg}<figcaption>{escape(self.title)}</figcaption></figure>"


@dataclass(frozen=True)
class Finding:
    """A statement with its verdict.

    Attributes:
        text: the statement.
        verdict: one of ``VERDICTS``.
        evidence: the numbers.
        see: name of the table or figure that shows them.

    Example:
        >>> Finding("Label smoothing lowers ECE.", "holds", "0.041 → 0.032, 3 of 3 seeds.").verdict
        'holds'
    """

    text: str
    verdict: str
    evidence: str = ""
    see: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ArgumentError(
                f"Finding {self.text!r}: verdict = {self.verdict!r}: expected one of {', '.join(VERDICTS)}."
            )

    def _repr_html_(self) -> str:
        return f"<b>{escape(self.verdict)}</b> {escape(self.text)} <small>{escape(self.evidence)}</small>"


@dataclass(frozen=True)
class Section:
    """A heading, a text whose paragraphs are separated by empty lines, and tables and figures in reading order.

    Example:
        >>> Section("Results", "All methods share the network.\\n\\nThe attack is white-box.").items
        ()
    """

    title: str
    text: str = ""
    items: tuple[Table | Figure, ...] = ()


@dataclass(frozen=True, repr=False)
class Page:
    """A whole report. Only the provenance, printed key by key, may depend on time or machine.

    Example:
        >>> table = Table("t", "ECE", (Column("ece", "ECE"),), ({"ece": 0.03},))
        >>> Page("Calibration", sections=(Section("Results", items=(table,)),))
        Page('Calibration', 0 findings, 1 table, 0 figures)
    """

    title: str
    subtitle: str = ""
    findings: tuple[Finding, ...] = ()
    sections: tuple[Section, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [item.name for item in self.items]
        check_unique("Page", "name", names)
        for finding in self.findings:
            if finding.see and finding.see not in names:
                hint = did_you_mean(finding.see, names)
                raise ArgumentError(
                    f"Finding {finding.text!r}: see = {finding.see!r} is neither a table nor a figure.{hint}"
                )

    @property
    def items(self) -> tuple[Table | Figure, ...]:
        """All tables and figures, in reading order."""
        return tuple(item for section in self.sections for item in section.items)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {self._counts()})"

    def _repr_html_(self) -> str:
        findings = "".join(f"<li>{finding._repr_html_()}</li>" for finding in self.findings)
        return f"<h3>{escape(self.title)}</h3><p>{escape(self.subtitle)}</p><ul>{findings}</ul><p>{self._counts()}</p>"

    def _counts(self) -> str:
        tables = sum(isinstance(item, Table) for item in self.items)
        counts = {"finding": len(self.findings), "table": tables, "figure": len(self.items) - tables}
        return ", ".join(_count(n, noun) for noun, n in counts.items())


def check_unique(where: str, what: str, names: Sequence[str]) -> None:
    """Check that names are unique.

    Raises:
        ArgumentError: if a name occurs twice.

    Example:
        >>> check_unique("Page", "name", ["a", "b", "a"])
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: Page: duplicate name 'a'; names must be unique.
    """
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ArgumentError(f"{where}: duplicate {what} {repeated[0]!r}; {what}s must be unique.")


def _check_name(kind: str, name: str) -> None:
    # Names become file names and anchors, so they must need no quoting and must not lead out of the folder.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", name):
        raise ArgumentError(
            f"Invalid {kind} name {name!r}: expected up to 80 letters, digits, '-' and '_', such as 'robust-accuracy'."
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
