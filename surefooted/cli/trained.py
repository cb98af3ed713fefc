"""``surefooted trained``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from surefooted.cli.app import Command, app, report_errors
from surefooted.cli.flags import AsJson, StorePath
from surefooted.cli.session import open_existing, place_flags

# The fields of a stored training that name a component, and the component's kind.
SLOT_KINDS = {"method": "method", "net": "network", "data": "data", "recipe": "recipe"}


@app.command(cls=Command)
@report_errors
def trained(
    *,
    words: Annotated[list[str] | None, typer.Argument(help="Only networks whose lines contain all of these.")] = None,
    store: StorePath = None,
    as_json: AsJson = False,
) -> None:
    """List the stored networks, the latest first: their training, and the keys that --model takes."""
    from surefooted.pipeline.tasks import TrainTask
    from surefooted.report.terminal import escape, make_table, print_json, print_lines

    opened, wanted = open_existing(store).store, words or []
    every = [one for one in opened.all(TrainTask.kind) if _is_training(one[2])]
    found = [(key, _date(when), spec) for key, when, spec in every if _matches(spec, wanted)]
    if as_json:
        return print_json([{"key": key, "trained": when, **spec} for key, when, spec in found])
    if not found:
        none = f"None of the {len(every)} networks of {opened.root} matches: {', '.join(wanted)}"
        empty = f"No network was trained in {opened.root} yet; see: surefooted train --help"
        return print_lines(escape(none if every else empty))
    table = make_table("key", "trained", "method, network, data, recipe, seed")  # fits 80 columns
    for column, width in zip(table.columns, (12, 16, None), strict=True):
        column.justify, column.overflow, column.min_width = "left", "fold", width
    for key, when, spec in found:
        *components, seed = map(escape, _line(spec))
        table.add_row(key[:12], when, f"{', '.join(components)}, seed {seed}")
    next_command = f"surefooted attack pgd --model KEY{escape(place_flags(opened))}"
    print_lines(table, f"Arguments in brackets differ from the defaults. Next: {next_command}")


def _matches(spec: Mapping[str, Any], words: list[str]) -> bool:
    line = " ".join(_line(spec)).lower()
    return all(word.lower() in line for word in words)


def _line(spec: Mapping[str, Any]) -> list[str]:
    from surefooted.components.describe import non_default
    from surefooted.report.terminal import format_value

    return [*(format_value(non_default(kind, spec[slot])) for slot, kind in SLOT_KINDS.items()), str(spec["seed"])]


def _is_training(spec: Any) -> bool:
    return isinstance(spec, dict) and {*SLOT_KINDS, "seed"} <= spec.keys()


def _date(when: float) -> str:
    return datetime.fromtimestamp(when).isoformat(" ", "minutes")
