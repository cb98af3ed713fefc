"""``surefooted analyse``."""

from __future__ import annotations

from typing import Annotated, Any

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
    ImageOrder,
    Mean,
    Outputs,
    Quiet,
    RandomSeed,
    Report,
    Split,
    Std,
    StorePath,
    Weights,
)
from surefooted.cli.options import parse_components, parse_number, parse_numbers
from surefooted.cli.session import choose_data, choose_model, open_session, own_data, report_directory


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def analyse(
    *,
    words: ComponentOptions = None,
    model: AnyModel = None,
    weights: Weights = None,
    data: EvalData = None,
    eps: Annotated[
        str, typer.Option(help="L2 radius of the attack at whose points the non-linearity is measured.")
    ] = "0.5",
    reach: Annotated[str, typer.Option(help="Largest offset of the loss surfaces, for pixels in [0, 1].")] = "8/255",
    surfaces: Annotated[int, typer.Option(min=0, help="Number of images with a loss surface; 0 for none.")] = 2,
    mean: Mean = None,
    std: Std = None,
    outputs: Outputs = None,
    split: Split = "test",
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of images: the first of --order; 0 for all.")] = 500,
    order: ImageOrder = "official",
    seed: RandomSeed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    report: Report = None,
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Analyse a classifier around single images: margin, Jacobian, linearity and loss surfaces (EntM, section 6)."""
    from surefooted.auditing import analyse as evaluate
    from surefooted.core.files import as_input_error
    from surefooted.report.terminal import check_writable, escape, print_json, print_lines

    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    classifier = choose_model(model, session.store, words or [])
    given = parse_components(("data",), {"data": data}, words or [], config, defaults=own_data(classifier.stored))
    chosen = choose_data(classifier.stored, given)
    options: dict[str, Any] = {
        **{"mean": parse_numbers(mean, flag="--mean"), "std": parse_numbers(std, flag="--std"), "outputs": outputs},
        **{"weights": weights, "split": split, "limit": limit, "order": order, "seed": seed},
        **{"eps": parse_number(eps, flag="--eps"), "reach": parse_number(reach, flag="--reach"), "surfaces": surfaces},
    }
    directory = report or report_directory("analyse", classifier.name, chosen, options)
    result = evaluate(
        classifier.stored or classifier.name,
        chosen,
        **options,
        store=session.store,
        runtime=session.runtime,
        quiet=quiet,
        before_run=lambda: check_writable(directory / "index.html"),
    )
    with as_input_error(directory):
        index = result.write(directory)
    if as_json:
        return print_json(result.numbers | {"report": str(index)})
    print_lines(*result.lines(), f"report: {escape(str(index))}")
