"""``surefooted study run`` and ``surefooted report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from surefooted.cli.app import app, guarded, study_app
from surefooted.cli.flags import Accelerator, AsJson, DataRoot, Quiet, StoreAt, open_store, runtime_on, use_data_root

Only = Annotated[
    list[str] | None,
    typer.Option(help="A chapter of a study that has some, such as latent of uta; once for each that you want."),
]


@study_app.command("run")
@guarded
def study_run(
    name: Annotated[str, typer.Argument(help="A study; see: surefooted list studies.")],
    size: Annotated[str | None, typer.Option(help="Such as smoke, cpu or paper; see: surefooted list studies.")] = None,
    only: Only = None,
    report: Annotated[
        Path | None, typer.Option(help="Directory for the report; reports/NAME_SIZE(_CHAPTERS) by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    accelerator: Accelerator = "auto",
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run all that a study needs and the store lacks, then write its report. Killed, it goes on where it was."""
    from surefooted.cli.actions.studying import run_study

    use_data_root(data_root)
    count = workers or os.cpu_count() or 1
    run_study(name, size, only or [], open_store(store), runtime_on(accelerator), count, report, quiet, as_json)


@app.command()
@guarded
def report(
    name: Annotated[str, typer.Argument(help="A study that was run.")],
    size: Annotated[str | None, typer.Option(help="One of the study's sizes.")] = None,
    only: Only = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the report; reports/NAME_SIZE(_CHAPTERS) by default.")
    ] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Write a study's report from what is in the store; computes nothing anew."""
    from surefooted.cli.actions.studying import write_report

    use_data_root(data_root)
    write_report(name, size, only or [], open_store(store), out, as_json)
