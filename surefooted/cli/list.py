"""``surefooted list``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from surefooted.cli.app import app, report_errors
from surefooted.cli.flags import AsJson
from surefooted.errors import ArgumentError, did_you_mean


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
    for component in found:
        _print_component(component, whole=name is not None)


def _print_kinds(names: dict[str, list[str]]) -> None:
    from surefooted.report.terminal import make_table, print_lines

    table = make_table("kind", "names")
    for kind, known in names.items():
        table.add_row(kind, ", ".join(known))
    print_lines(
        table, "surefooted list KIND prints summaries and arguments; surefooted list KIND NAME prints the whole help"
    )


def _print_component(component: dict[str, Any], *, whole: bool) -> None:
    from surefooted.report.terminal import RichTable, escape, format_value, print_lines

    print_lines(f"[bold]{component['name']}[/]  {escape(component['summary'])}")
    if whole and component["text"]:
        print_lines(escape(f"\n{component['text']}"))
    if component["arguments"]:
        table = RichTable(box=None, padding=(0, 2, 0, 2), show_header=False)
        for argument in component["arguments"]:
            default = "required" if argument["required"] else f"= {format_value(argument['default'])}"
            table.add_row(f"[cyan]{argument['name']}[/]", escape(default), f"[dim]{escape(argument['type'])}[/]")
        print_lines(table)
    print_lines("")
