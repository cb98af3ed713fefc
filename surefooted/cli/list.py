"""``surefooted list``."""

from __future__ import annotations

from typing import Annotated

import typer

from surefooted.cli.app import app, guarded
from surefooted.cli.flags import AsJson


@app.command("list")
@guarded
def list_components(
    kind: Annotated[str | None, typer.Argument(help="methods, attacks, networks, data, metrics, scores, ...")] = None,
    name: Annotated[str | None, typer.Argument(help="One of them, with all its help.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the components, each with its meaning and its arguments."""
    from surefooted.cli.actions.listing import show_components

    show_components(kind, name, as_json)
