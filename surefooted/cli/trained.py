"""``surefooted trained``."""

from __future__ import annotations

from typing import Annotated

import typer

from surefooted.cli.app import app, guarded
from surefooted.cli.flags import AsJson, StoreAt, open_store


@app.command()
@guarded
def trained(
    words: Annotated[list[str] | None, typer.Argument(help="Only networks whose lines have all of these.")] = None,
    store: StoreAt = None,
    as_json: AsJson = False,
) -> None:
    """List the networks of the store: what trained them, and the keys that --model takes."""
    from surefooted.cli.actions.trained import show_trained

    show_trained(words or [], open_store(store), as_json)
