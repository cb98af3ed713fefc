"""``surefooted audit``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors
from surefooted.cli.flags import (
    Accelerator,
    AnyModel,
    AsJson,
    ComponentOptions,
    Config,
    DataRoot,
    ImageOrder,
    Layout,
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
from surefooted.cli.options import parse_components, parse_numbers
from surefooted.cli.session import choose_data, choose_model, open_session, own_data

if TYPE_CHECKING:
    from surefooted.auditing import AuditOptions
    from surefooted.pipeline.tasks import ComponentSpec


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def audit(
    *,
    words: ComponentOptions = None,
    model: AnyModel = None,
    weights: Weights = None,
    data: Annotated[str | None, typer.Option(help="A data set; see: surefooted list data.")] = None,
    eps: Annotated[
        str, typer.Option(help="Perturbation radius ε, for pixels in [0, 1]. A sweep from ε/4 to 2ε is also run.")
    ] = "8/255",
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    budget: Annotated[
        str,
        typer.Option(
            help="quick: 256 images, AutoAttack's suite quick (APGD-CE, APGD-T, Square; fewer targets, steps and "
            "queries). standard: 1,000 images, suite lean (the four published attacks; FAB and Square give up on "
            "hopeless images). full: all images, suite full (as published)."
        ),
    ] = "standard",
    mean: Mean = None,
    std: Std = None,
    outputs: Outputs = None,
    layout: Layout = "nchw",
    pixels: Pixels = "float32",
    queries: Annotated[
        int, typer.Option(min=0, help="Queries per image in the audit of a black box; 0 for the budget's number.")
    ] = 0,
    eot: Annotated[
        int,
        typer.Option(min=1, help="Forward passes averaged per prediction (EOT); use 20 for stochastic models."),
    ] = 1,
    levels: Annotated[int, typer.Option(min=1, help="Number of robustness levels.")] = 10,
    corruptions: Annotated[
        str,
        typer.Option(
            help="Also evaluate on corrupted images: benchmark (the 15 types of ImageNet-C), all (19 types), or names "
            "separated by commas."
        ),
    ] = "",
    ood: Annotated[
        str | None, typer.Option(help="Also detect the images of this data set as out of distribution.")
    ] = None,
    temperature: Annotated[
        str, typer.Option(help="Images to fit the temperature on: validation, halves of the audited images, or auto.")
    ] = "auto",
    split: Split = "test",
    limit: Annotated[
        int, typer.Option(min=0, help="Maximum number of images: the first of --order; 0 for the budget's number.")
    ] = 0,
    order: ImageOrder = "official",
    seed: RandomSeed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Directory for the report. The default names model, data, radius and budget: reports/audit_...."
        ),
    ] = None,
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Audit any classifier: accuracy, calibration, robustness, and signs of a faulty evaluation.

    The classifier reads pixels in [0, 1]. The command prints first how long it may take; if killed, the same command
    resumes.

    For example: surefooted audit --model package.module:factory --data digits --eps 0.1 --budget quick
    """
    from surefooted.auditing import audit, audit_options
    from surefooted.components.text import read_text
    from surefooted.core.files import as_input_error
    from surefooted.pipeline.tasks import load_splits
    from surefooted.report.terminal import check_writable, escape, print_json, print_lines

    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    classifier = choose_model(model, session.store, words or [])
    named = {"data": data, "ood": ood}
    given = parse_components(("data", "ood"), named, words or [], config, defaults=own_data(classifier.stored))
    options = audit_options(
        eps=read_text(eps, float),
        norm=norm,
        budget=budget,
        mean=parse_numbers(mean, flag="--mean"),
        std=parse_numbers(std, flag="--std"),
        outputs=outputs,
        layout=layout,
        pixels=pixels,
        queries=queries,
        weights=weights,
        eot=eot,
        levels=levels,
        temperature=temperature,
        split=split,
        limit=limit,
        order=order,
        seed=seed,
        corruptions=corruptions,
        ood=given.get("ood"),
    )
    chosen = choose_data(classifier.stored, given)
    checksum = load_splits(chosen).checksum if chosen else ""
    directory = report or Path("reports") / report_name(classifier.name, chosen, options, checksum)
    result = audit(
        classifier.stored or classifier.name,
        chosen,
        options,
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


def report_name(model: str, data: ComponentSpec | None, options: AuditOptions, checksum: str = "") -> str:
    """The directory of an audit's report: what it is about, and a digest that tells apart what the words do not.

    Args:
        model: as given.
        data: complete spec of the data set; None for the one that the network was trained on.
        options: of the audit.
        checksum: of the data, which may be others in a place of the same name.

    Example:
        >>> from surefooted.auditing import AuditOptions
        >>> report_name("package.module:factory", {"digits": {}}, AuditOptions(eps=0.1))
        'audit_package.module_factory_digits_linf-0.1_standard_...'
    """
    from surefooted.components.spec import base_name, digest
    from surefooted.pipeline.tasks.base import without_location

    about = [model, [without_location(data), checksum] if data else None, {k: str(v) for k, v in vars(options).items()}]
    data_name = [base_name(data)] if data else []
    words = [short_name(model), *data_name, f"{options.norm}-{options.eps:.4g}", options.budget, digest(about)[:8]]
    return "_".join(["audit", *words])


def short_name(model: str) -> str:
    """A name of at most 40 characters for a directory: letters, digits, ``_``, ``.`` and ``-``.

    Example:
        >>> short_name("package.module:factory"), short_name("../Модель.onnx")
        ('package.module_factory', 'onnx')
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", model)[-40:].strip("._-") or "model"
