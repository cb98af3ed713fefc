"""``surefooted list``."""

from __future__ import annotations

from surefooted.components.describe import describe
from surefooted.components.spec import KINDS, names, plural
from surefooted.errors import InputError, did_you_mean
from surefooted.report.terminal import RichTable, escape, format_value, make_table, print_json, say


def show_components(kind: str | None, name: str | None, as_json: bool) -> None:
    if kind is None:
        counts = {plural(kind): names(kind) for kind in KINDS}
        if as_json:
            return print_json(counts)
        table = make_table("kind", "names")
        for k, known in counts.items():
            table.add_row(k, ", ".join(known))
        return say(
            table, "surefooted list KIND for meanings and arguments; surefooted list KIND NAME for all of one's help"
        )
    singular = {plural(known): known for known in KINDS}
    if kind not in singular:
        raise InputError(f"there is no kind {kind!r}.{did_you_mean(kind, singular)}")
    found = [describe(singular[kind], n) for n in ([name] if name else names(singular[kind]))]
    if as_json:
        return print_json(found)
    for component in found:
        table = RichTable(box=None, padding=(0, 2, 0, 2), show_header=False)
        for argument in component["arguments"]:
            default = "required" if argument["required"] else f"= {format_value(argument['default'])}"
            table.add_row(f"[cyan]{argument['name']}[/]", escape(default), f"[dim]{escape(argument['type'])}[/]")
        text = (f"\n{component['text']}",) if name and component["text"] else ()
        say(
            f"[bold]{component['name']}[/]  {escape(component['summary'])}",
            *map(escape, text),
            *([table] if component["arguments"] else []),
            "",
        )
