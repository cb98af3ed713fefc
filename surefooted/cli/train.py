"""``surefooted train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surefooted.cli.app import OPEN, app, guarded
from surefooted.cli.flags import Accelerator, AsJson, Config, DataRoot, Quiet, Seed, StoreAt, open_store, use_data_root


@app.command(context_settings=OPEN)
@guarded
def train(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="METHOD", help="A training method; see: surefooted list methods.")
    ] = None,
    net: Annotated[str | None, typer.Option(help="A network; see: surefooted list networks.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set; see: surefooted list data.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Optimiser and schedule; see: surefooted list recipes.")] = None,
    record: Annotated[
        str | None, typer.Option(help="What to watch by iteration; see: surefooted list recorders.")
    ] = None,
    seed: Seed = 0,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    accelerator: Accelerator = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes that train data-parallel.")] = 1,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the weights here (.safetensors).")] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network by a method, or find it in the store; a killed run goes on where it was.

    Options of components follow their slot: --method.eps 0.1 --net.width 32 --recipe.epochs 10 --data.validation 0.2
    """
    from surefooted.cli.actions.training import report_training, trained_cell
    from surefooted.pipeline.execute import execute
    from surefooted.pipeline.runtime import Runtime
    from surefooted.report.terminal import check_writable

    use_data_root(data_root)
    check_writable(out)
    runtime = Runtime(accelerator, devices)
    place = open_store(store)
    named = {"net": net, "data": data, "recipe": recipe, "record": record}
    task = trained_cell(named, words or [], config, seed, precision)
    execute([task], place, runtime=runtime, quiet=quiet)
    report_training(task, place, out, as_json)
