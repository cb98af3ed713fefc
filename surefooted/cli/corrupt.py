"""``surefooted corrupt``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors
from surefooted.cli.flags import (
    Accelerator,
    AnyModel,
    AsJson,
    ComponentOptions,
    Config,
    DataRoot,
    EvalData,
    Layout,
    Limit,
    Mean,
    Outputs,
    Pixels,
    Quiet,
    RandomSeed,
    Split,
    Std,
    StorePath,
    Weights,
)
from surefooted.cli.options import parse_components
from surefooted.cli.session import Subset, choose_data, choose_model, model_options, open_session, own_data

if TYPE_CHECKING:
    from surefooted.api import CorruptionResult


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def corrupt(
    *,
    words: ComponentOptions = None,
    model: AnyModel = None,
    data: EvalData = None,
    type: Annotated[
        list[str] | None,
        typer.Option(
            "--type", help="A corruption; repeat for several, all by default. See: surefooted list corruptions."
        ),
    ] = None,
    split: Split = "test",
    limit: Limit = 0,
    seed: RandomSeed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    outputs: Outputs = None,
    layout: Layout = "nchw",
    pixels: Pixels = "float32",
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a classifier on corrupted images: accuracy and calibration by type and severity."""
    from surefooted.api import corrupt
    from surefooted.pipeline.tasks import training_data
    from surefooted.report.terminal import print_json

    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    options = model_options(mean=mean, std=std, outputs=outputs, weights=weights, layout=layout, pixels=pixels)
    chosen = choose_model(model, session.store, words or [], options)
    given = parse_components(("data",), {"data": data}, words or [], config, defaults=own_data(chosen.stored))
    own = choose_data(chosen.stored, given)
    victim, subset = chosen.source(own), Subset(split, limit, seed)
    result = corrupt(
        victim,
        own or training_data(victim),
        type or "all",
        split=subset.split,
        limit=limit,
        seed=seed,
        store=session.store,
        runtime=session.runtime,
        quiet=quiet,
    )
    if as_json:
        return print_json({"model": str(victim), **result.numbers()})
    _print_result(str(victim), result)


def _print_result(model: str, result: CorruptionResult) -> None:
    from surefooted.report.terminal import escape, make_table, print_lines

    numbers: dict[str, Any] = result.numbers()
    table = make_table("accuracy at severity", *map(str, result.severities), "mean", "ECE, mean")
    for name, one in numbers["types"].items():
        values = [*one["accuracy"], sum(one["accuracy"]) / len(one["accuracy"]), sum(one["ece"]) / len(one["ece"])]
        table.add_row(escape(name), *(f"{value:.3f}" for value in values))
    print_lines(
        f"[bold]{escape(model)}, n = {numbers['n']}[/]",
        table,
        f"clean accuracy {numbers['clean_accuracy']:.3f}; mean corruption error {numbers['mean_corruption_error']:.3f} "
        "[dim](1 − accuracy, averaged over types and severities)[/]",
    )
