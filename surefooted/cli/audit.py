"""``surefooted audit``."""

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
    Quiet,
    Seed,
    Split,
    StoreAt,
    Words,
    open_store,
    runtime_on,
    use_data_root,
)


@app.command(context_settings=OPEN)
@guarded
def audit(
    words: Words = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="MODULE:FUNCTION (a factory in Python that takes no arguments, or a module), FILE.pt2 (torch.export), "
            "FILE.onnx, timm:NAME, transformers:NAME, or a network of ours by its key or .safetensors file."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="The factory's weights (.safetensors).")] = None,
    data: Annotated[str | None, typer.Option(help="A data set; see: surefooted list data.")] = None,
    eps: Annotated[str, typer.Option(help="Size of AutoAttack, in pixels' [0, 1]; the ladder is around it.")] = "8/255",
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    budget: Annotated[str, typer.Option(help="quick (256 images), standard (1,000) or full (all).")] = "standard",
    mean: Annotated[str | None, typer.Option(help="Of each channel, for a classifier of normalised pixels.")] = None,
    std: Annotated[str | None, typer.Option(help="Of each channel, likewise: 0.2,0.2,0.2.")] = None,
    outputs: Annotated[str, typer.Option(help="logits, or probabilities if it ends in a softmax.")] = "logits",
    eot: Annotated[int, typer.Option(min=1, help="Draws that each answer is the mean of; 20 if it is random.")] = 1,
    levels: Annotated[int, typer.Option(min=1, help="Adversarial-robustness levels.")] = 10,
    temperature: Annotated[str, typer.Option(help="Fitted on: validation, halves of the images, or auto.")] = "auto",
    split: Split = "test",
    limit: Annotated[int, typer.Option(min=0, help="Only so many images; 0 for the budget's number.")] = 0,
    seed: Seed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    report: Annotated[
        Path | None, typer.Option(help="Directory for the report; reports/audit_MODEL by default.")
    ] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Audit any classifier: accuracy, calibration, robustness, and whether the numbers can be trusted.

    Pixels come in [0, 1]. Says beforehand how long it will take; killed, the same command goes on where it was.
    """
    from surefooted.cli.actions.auditing import report_audit
    from surefooted.cli.options import parse

    use_data_root(data_root)
    report_audit(
        model,
        {"data": data},
        words or [],
        config,
        open_store(store),
        runtime_on(accelerator),
        report,
        quiet,
        as_json,
        weights=weights,
        mean=mean,
        std=std,
        outputs=outputs,
        eps=parse(eps),
        norm=norm,
        budget=budget,
        eot=eot,
        levels=levels,
        temperature=temperature,
        part=split,
        limit=limit,
        seed=seed,
    )
