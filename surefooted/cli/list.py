"""``surefooted list``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from surefooted.cli.app import app, report_errors
from surefooted.cli.flags import AsJson
from surefooted.errors import ArgumentError, did_you_mean

WIDEST_DEFAULT = 26


@app.command("list")
@report_errors
def list_components(
    *,
    kind: Annotated[str | None, typer.Argument(help="methods, attacks, networks, data, metrics, scores, ...")] = None,
    name: Annotated[str | None, typer.Argument(help="One component, to print its whole help.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the components with their summaries and arguments."""
    from surefooted.components.describe import describe
    from surefooted.components.spec import KINDS, names, plural
    from surefooted.report.terminal import print_json

    kinds = {plural(known): known for known in KINDS}
    if kind is None:
        counts = {word: names(known) for word, known in kinds.items()}
        return print_json(counts) if as_json else _print_kinds(counts)
    if kind not in kinds:
        raise ArgumentError(f"There is no kind {kind!r}.{did_you_mean(kind, kinds)}")
    found = [describe(kinds[kind], n) for n in ([name] if name else names(kinds[kind]))]
    if as_json:
        return print_json(found)
    widths = _widths(found)
    for component in found:
        _print_component(component, widths, whole=name is not None)


def _widths(components: list[dict[str, Any]]) -> tuple[int, int]:
    """Widths of names and defaults that align the arguments of all components; longer defaults are wrapped."""
    every = [argument for component in components for argument in component["arguments"]]
    names, defaults = ([len(text) for text in texts] for texts in ([a["name"] for a in every], map(_default, every)))
    return max(names, default=0), min(max(defaults, default=0), WIDEST_DEFAULT)


def _default(argument: dict[str, Any]) -> str:
    from surefooted.report.terminal import format_value

    return "required" if argument["required"] else f"= {format_value(argument['default'])}"


def _plain(text: str) -> str:
    """A docstring without its markup for code."""
    return text.replace("``", "")


def _print_kinds(names: dict[str, list[str]]) -> None:
    from surefooted.report.terminal import make_table, print_lines

    table = make_table("kind", "names")
    for kind, known in names.items():
        table.add_row(kind, ", ".join(known))
    print_lines(
        table, "surefooted list KIND prints summaries and arguments; surefooted list KIND NAME prints the whole help"
    )


def _print_component(component: dict[str, Any], widths: tuple[int, int], *, whole: bool) -> None:
    from surefooted.report.terminal import RichTable, escape, print_lines

    print_lines(f"[bold]{component['name']}[/]  {escape(_plain(component['summary']))}")
    if whole and component["text"]:
        print_lines(escape(f"\n{_plain(component['text'])}\n"))
    if component["arguments"]:
        table = RichTable(box=None, padding=(0, 1, 0, 2), show_header=False)
        for width in (*widths, None):
            table.add_column(width=width, overflow="fold")
        for argument in component["arguments"]:
            kind = f"[dim]{escape(argument['type'])}[/]"
            table.add_row(f"[cyan]{argument['name']}[/]", escape(_default(argument)), kind)
        print_lines(table)
    print_lines("")
