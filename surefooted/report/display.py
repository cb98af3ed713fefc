"""Results that print themselves: on a terminal, at a Python prompt and in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from surefooted.core.streams import visible
from surefooted.report.page import Finding
from surefooted.report.terminal import Terminal

# Columns of text that ``summary`` fills, and that a notebook shows without wrapping.
WIDTH = 110


class Printable(ABC):
    """Base class of results with a table for people; ``print(result)`` and ``rich.print(result)`` both show it.

    Example:
        >>> class Answer(Printable):
        ...     def lines(self):
        ...         return ["the answer is [bold]42[/]"]
        >>> print(Answer())
        the answer is 42
    """

    @abstractmethod
    def lines(self) -> list[RenderableType]:
        """The summary from top to bottom: tables, and lines of console markup as strings."""

    def summary(self) -> str:
        """The summary as plain text."""
        return self._recorded().export_text().rstrip()

    def __rich__(self) -> Group:
        shown = (
            Text.from_markup(visible(line), emoji=False) if isinstance(line, str) else line for line in self.lines()
        )
        return Group(*shown)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self._recorded().export_html(inline_styles=True, code_format="<pre>{code}</pre>")

    def _recorded(self) -> Console:
        console = Terminal(file=StringIO(), width=WIDTH, record=True)
        console.print(self)
        return console


def finding_line(finding: Finding) -> str:
    """A finding of a report as a line of console markup.

    Example:
        >>> finding_line(Finding("PAT is more robust.", "holds", "+4 points"))
        '[bold]holds[/]: PAT is more robust. [dim](+4 points)[/]'
    """
    return f"[bold]{finding.verdict}[/]: {escape(finding.text)} [dim]({escape(finding.evidence)})[/]"


def flag_line(*, name: str, severity: str, seen: str, cure: str) -> str:
    """A flag of the checks as a line of console markup; arguments are the fields of ``checks.Flag``.

    Example:
        >>> flag_line(name="train_mode", severity="caution", seen="2 modules train.", cure="Call eval().")
        '[yellow]caution: train mode[/] 2 modules train. [bold]Call eval().[/]'
    """
    colour = {"serious": "red", "caution": "yellow"}.get(severity, "cyan")
    return f"[{colour}]{severity}: {name.replace('_', ' ')}[/] {escape(seen)} [bold]{escape(cure)}[/]"
