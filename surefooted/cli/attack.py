"""``surefooted attack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surefooted.cli.app import OPEN, app, guarded
from surefooted.cli.flags import (
    Accelerator,
    AsJson,
    Config,
    DataRoot,
    Limit,
    Model,
    OwnData,
    Quiet,
    Seed,
    Split,
    StoreAt,
    find_network,
    open_store,
    runtime_on,
    use_data_root,
)


@app.command(context_settings=OPEN)
@guarded
def attack(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ATTACK", help="An attack; see: surefooted list attacks.")
    ] = None,
    model: Model = None,
    data: OwnData = None,
    split: Split = "test",
    limit: Limit = 0,
    seed: Seed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the perturbed points here (.safetensors).")] = None,
    proxy: Annotated[
        str | None,
        typer.Option(help="Craft the points on this network (a key or a file) and judge them by --model: transfer."),
    ] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack a trained network and print its robust accuracy.

    Options of the attack: --attack.eps 8/255 --attack.steps 40 --attack.objective cw_margin
    """
    from surefooted.cli.actions.attacking import attacked_cell, report_attack
    from surefooted.pipeline.execute import execute
    from surefooted.report.terminal import check_writable

    use_data_root(data_root)
    check_writable(out)
    runtime, place = runtime_on(accelerator), open_store(store)
    victim = find_network(model, place)
    through = find_network(proxy, place) if proxy else None
    task = attacked_cell({"data": data}, words or [], config, victim, split, limit, seed, proxy=through)
    execute([task, task.sanity_check], place, runtime=runtime, quiet=quiet)
    report_attack(task, place, out, as_json)
