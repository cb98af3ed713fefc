"""``surefooted train``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors
from surefooted.cli.flags import Accelerator, AsJson, Config, DataRoot, Quiet, RandomSeed, StorePath
from surefooted.cli.options import parse_components
from surefooted.cli.session import open_session, place_flags
from surefooted.errors import ArgumentError

if TYPE_CHECKING:
    from surefooted.pipeline.store import Store
    from surefooted.pipeline.tasks import TrainTask


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def train(
    *,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="METHOD", help="A training method; see: surefooted list methods.")
    ] = None,
    net: Annotated[
        str | None,
        typer.Option(help="A network (see: surefooted list networks), or your own: MODULE:CLASS or MODULE:FUNCTION."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="A data set; see: surefooted list data.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Optimiser and schedule; see: surefooted list recipes.")] = None,
    record: Annotated[
        str | None,
        typer.Option(
            help="What to record; see: surefooted list recorders. robust_accuracy is a column of the history."
        ),
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="Where the history also goes while training; see: surefooted list loggers.")
    ] = None,
    seed: RandomSeed = 0,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    accelerator: Accelerator = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes for data-parallel training.")] = 1,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the weights to this .safetensors file.")] = None,
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network by a method, or find it in the store; if killed, the same command resumes.

    Options of components follow their slot: --method.eps 0.1 --net.width 32 --recipe.epochs 10 --data.validation 0.2

    Losses: surefooted train custom --method.loss "cross_entropy() - 0.5 * entropy()" --net mlp, or MODULE:FUNCTION.
    """
    from surefooted.pipeline.tasks import train_task
    from surefooted.pipeline.watching import run_training
    from surefooted.report.terminal import check_writable, copy_file

    check_writable(out, ".safetensors")
    session = open_session(store, data_root, accelerator, devices=devices, as_json=as_json, quiet=quiet)
    named = {"net": net, "data": data, "recipe": recipe, "record": record, "log": log}
    default = {"data": "digits", "recipe": "recipe"}
    given = parse_components(("method", *named), named, words or [], config, defaults=default, bare="method")
    for slot, kind, example in (("method", "methods", "pat"), ("net", "networks", "--net lenet")):
        if slot not in given:
            raise ArgumentError(f"Which {slot}? Name one (surefooted list {kind}), such as {example}.")
    chosen: Any = precision  # checked by the task
    logged = [given.pop("log")] if "log" in given else []
    task = train_task(**given, seed=seed, precision=chosen)
    lines = None if quiet or sys.stderr.isatty() else _EpochLines(task)
    run_training(task, session.store, runtime=session.runtime, quiet=quiet, loggers=logged, watch=lines)
    task.history(session.store)  # refuse a damaged artifact before its weights are copied
    if out is not None:
        copy_file(task.path(session.store) / "weights.safetensors", out)
    _print_result(task, session.store, out, data_root, as_json)


class _EpochLines:
    """Prints a line per epoch where there is no progress bar, such as in the log of a batch job."""

    def __init__(self, task: TrainTask) -> None:
        from surefooted.pipeline.tasks.base import component_of

        self.epochs = component_of("recipe", task.recipe).epochs
        self.since = time.monotonic()

    def __call__(self, entry: dict[str, Any], steps: int) -> None:
        from surefooted.report.terminal import print_on_stderr
        from surefooted.training.loggers.base import numbers

        now = time.monotonic()
        if steps:  # an epoch of a checkpoint or of the store was reported when it was trained
            values = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers(entry).items())
            rate = steps / max(now - self.since, 1e-9)
            print_on_stderr(f"epoch {entry['epoch']}/{self.epochs}: {values}, {rate:.3g} steps/s")
        self.since = now


def _print_result(task: TrainTask, store: Store, out: Path | None, data_root: Path | None, as_json: bool) -> None:
    from surefooted.components.spec import base_name
    from surefooted.evaluation import metrics
    from surefooted.pipeline.tasks import load_splits
    from surefooted.report.terminal import escape, format_value, make_table, print_json, print_lines

    weights = str(out or task.path(store) / "weights.safetensors")
    recorded = str(task.path(store) / "recorded.safetensors") if task.record else None
    last = task.history(store)[-1]
    if as_json:
        extra = {"recorded": recorded} if recorded else {}
        return print_json({"key": task.key, "weights": weights, "last_epoch": last, **task.arguments(), **extra})
    table = make_table("", "last epoch")
    for name, value in last.items():
        where = " (validation split)" if name in metrics.__all__ else ""
        table.add_row(f"{name.replace('_', ' ')}{where}", format_value(value))
    print_lines(
        f"[bold]{base_name(task.method)} on {escape(load_splits(task.data).title)}, seed {task.seed}[/]",
        table,
        f"[dim]key[/] {task.key[:12]}   [dim]weights[/] {escape(weights)}",
        *([f"[dim]recorded[/] {escape(recorded)}"] if recorded else []),
        f"Next: surefooted attack pgd --model {task.key[:12]}{escape(place_flags(store, data_root))}",
    )
