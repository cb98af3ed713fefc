"""``surefooted transfer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors
from surefooted.cli.attack import run_attack, task_of
from surefooted.cli.flags import (
    Accelerator,
    AnyModel,
    AsJson,
    Config,
    DataRoot,
    EvalData,
    ImageOrder,
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
from surefooted.cli.session import Subset, choose_model, model_options, open_session
from surefooted.errors import ArgumentError


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def transfer(
    *,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ATTACK", help="An attack; see: surefooted list attacks.")
    ] = None,
    model: AnyModel = None,
    proxy: Annotated[
        str | None, typer.Option(help="The surrogate, on which the examples are crafted (as for --model).")
    ] = None,
    data: EvalData = None,
    split: Split = "test",
    limit: Limit = 0,
    order: ImageOrder = "official",
    seed: RandomSeed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the adversarial examples to this .safetensors file.")] = None,
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
    """Craft adversarial examples on a surrogate and print the robust accuracy of another classifier on them.

    Two queries per image: black boxes are welcome. --weights, --mean, --std, --outputs, --layout and --pixels are of
    --model.
    """
    from surefooted.report.terminal import check_writable

    if proxy is None:
        raise ArgumentError("Which surrogate? Give --proxy with the network that the examples are crafted on.")
    check_writable(out, ".safetensors")
    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    options = model_options(mean=mean, std=std, outputs=outputs, weights=weights, layout=layout, pixels=pixels)
    victim = choose_model(model, session.store, (words or [])[1:], options)
    surrogate, subset = choose_model(proxy, session.store), Subset(split, limit, seed, order)
    task = task_of(victim, words or [], {"data": data}, config=config, subset=subset, surrogate=surrogate)
    run_attack(task, session, out, order)
