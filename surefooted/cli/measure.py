"""``surefooted measure``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors, with_flags
from surefooted.cli.flags import (
    Accelerator,
    AnyModel,
    AsJson,
    ComponentOptions,
    Config,
    DataRoot,
    EvalData,
    ImageOrder,
    Layout,
    Limit,
    Mean,
    Pixels,
    Quiet,
    RandomSeed,
    Split,
    Std,
    StorePath,
    Weights,
)
from surefooted.cli.measure_files import measure_files, refuse_options
from surefooted.cli.options import parse_components
from surefooted.cli.session import Subset, choose_data, choose_model, model_options, open_session, own_data
from surefooted.components.component import CallError
from surefooted.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from surefooted.core.predictions import Predictions
    from surefooted.pipeline.store import Store
    from surefooted.pipeline.tasks import AttackTask, ComponentSpec, PredictTask, Source, Task, UncertaintyTask

Metrics = Mapping[str, Callable[..., float]]
# Metrics per table by robustness level: a terminal of 80 columns shows two with their intervals.
COLUMNS = 2


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def measure(
    *,
    words: ComponentOptions = None,
    model: AnyModel = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = "nchw",
    pixels: Pixels = "float32",
    data: EvalData = None,
    split: Split = "test",
    limit: Limit = 0,
    order: ImageOrder = "official",
    attack: Annotated[str | None, typer.Option(help="Measure under this attack.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Repeat for several; all by default. See: surefooted list metrics.")
    ] = None,
    levels: Annotated[int, typer.Option(min=0, help="Also measure on this many robustness levels.")] = 0,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with this network (a key or a file), image by image; with --predictions, with this file of "
            "predictions, row by row."
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Measure saved predictions instead of a network: a file .npz, .csv, .tsv or .parquet with labels (y) "
            "and logits, probabilities (probs, or columns p0, p1, ...), or pred and confidence. Repeat for several "
            "models of one test set, to measure the variance between them too."
        ),
    ] = None,
    outputs: Annotated[
        str,
        typer.Option(
            help="What the model returns, as for audit, or what --predictions holds if its names do not say: logits, "
            "probabilities, log_probabilities or labels."
        ),
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="Directory for a report on --predictions.")] = None,
    ood: Annotated[
        str | None, typer.Option(help="Data set of out-of-distribution images for the uncertainty measures to detect.")
    ] = None,
    decompose: Annotated[
        bool, typer.Option("--decompose", help="Decompose Brier score and NLL: calibration, resolution, noise.")
    ] = False,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap draws.")] = 1000,
    seed: RandomSeed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure predictions, of a trained network or saved by any program, with 95 % intervals.

    Options of metrics, attack and data: --ece.bins 20 --ece.edges equal_mass --attack.eps 0.1 --ood.path DIR
    """
    from surefooted.components.spec import resolve
    from surefooted.evaluation import metrics
    from surefooted.pipeline.execute import execute
    from surefooted.pipeline.tasks import training_data
    from surefooted.report.terminal import print_json, print_lines

    chosen = metric or metrics.__all__
    for name in chosen:
        resolve("metric", name)
    resampling = {"draws": draws, "seed": seed}
    if predictions:
        models = {"--model": model, "--data": data, "--attack": attack, "--levels": levels, "--ood": ood}
        reading: dict[str, Any] = {"--weights": weights, "--mean": mean, "--std": std}
        reading |= {"--layout": layout != "nchw", "--pixels": pixels != "float32"}
        images: dict[str, Any] = {"--split": split != "test", "--limit": limit, "--order": order != "official"}
        refuse_options(models | reading | images | {"--decompose": decompose}, "--predictions is measured, no network")
        given = parse_components(chosen, {}, words or [], config, defaults={name: name for name in chosen})
        bound = {name: _bind(name, given[name]) for name in chosen}
        document, lines = measure_files(
            predictions, bound, against, outputs, out, explicit=bool(metric), resampling=resampling | {"level": 0.95}
        )
        return print_json(document) if as_json else print_lines(*lines)
    refuse_options({"--out": out}, "it goes with --predictions")
    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    returns = None if outputs == "auto" else outputs
    options = model_options(mean=mean, std=std, outputs=returns, weights=weights, layout=layout, pixels=pixels)
    choice = choose_model(model, session.store, words or [], options)
    rival = choose_model(against, session.store) if against else None
    given = parse_components(
        ("attack", "data", "ood", *chosen),
        {"attack": attack, "data": data, "ood": ood},
        words or [],
        config,
        defaults={name: name for name in chosen} | own_data(choice.stored),
    )
    bound = {name: _bind(name, given[name]) for name in chosen}
    own = choose_data(choice.stored, given)
    network = choice.source(own)
    other = rival.source(own or training_data(network)) if rival else None
    plan = _plan(network, own, given, Subset(split, limit, seed, order), levels=levels, other=other)
    execute(plan.tasks, session.store, runtime=session.runtime, quiet=quiet)
    document = _document(plan, session.store, bound, decompose=decompose, resampling=resampling)
    for name, value in document["metrics"].items():
        value["options"] = given[name][name]
    if as_json:
        return print_json(document)
    _print_document(document)


@dataclass(frozen=True, eq=False)
class _Plan:
    """The tasks of a measurement, and what each is for.

    Attributes:
        predictions: of the network.
        other: of the network to compare with.
        ranking: minimal-norm attack that sorts the images into robustness levels.
        levels: number of robustness levels.
        uncertainty: of the network on its own images and on out-of-distribution images.
    """

    predictions: PredictTask
    other: PredictTask | None
    ranking: AttackTask | None
    levels: int
    uncertainty: tuple[UncertaintyTask, ...]

    @property
    def tasks(self) -> list[Task]:
        tasks = (self.predictions, self.other, self.ranking, *self.uncertainty)
        return [task for task in tasks if task is not None]


def _plan(
    network: Source,
    data: ComponentSpec | None,
    given: Mapping[str, Any],
    subset: Subset,
    *,
    levels: int,
    other: Source | None,
) -> _Plan:
    from surefooted.pipeline.tasks import (
        PredictTask,
        attack_task,
        check_same_data,
        choose_order,
        eval_images,
        training_data,
    )
    from surefooted.studies.ranking import NEAREST_BOUNDARY

    split, limit, seed = subset.split, subset.limit, subset.seed
    order = choose_order(network, data, split, limit, subset.order)
    if levels and levels > (n := len(eval_images(network, data, split, limit))):
        raise ArgumentError(f"--levels is {levels}, but there are only {n} images; each level needs at least one.")

    def attacked(victim: Source, attack: ComponentSpec, data: ComponentSpec | None, *, points: bool) -> AttackTask:
        options: dict[str, Any] = {"data": data, "limit": limit, "seed": seed, "order": order}
        return attack_task(victim, attack, split, keep_points=points, **options)

    def predictions(victim: Source, data: ComponentSpec | None) -> PredictTask:
        moved = attacked(victim, given["attack"], data, points=True) if "attack" in given else None
        return PredictTask(victim, split, moved, data, limit, seed, order)

    if other:
        check_same_data((network, other))
    return _Plan(
        predictions(network, data),
        predictions(other, data or training_data(network)) if other else None,
        attacked(network, NEAREST_BOUNDARY, data, points=False) if levels else None,
        levels,
        _uncertainty(network, data, given["ood"], subset) if "ood" in given else (),
    )


def _uncertainty(
    network: Source, data: ComponentSpec | None, ood: ComponentSpec, subset: Subset
) -> tuple[UncertaintyTask, UncertaintyTask]:
    """The network's uncertainty on its own images and on out-of-distribution images."""
    from surefooted.pipeline.tasks import UncertaintyTask, choose_order, eval_images, resolve_data

    ood = resolve_data(ood) or ood
    own, other = (eval_images(network, one, subset.split, subset.limit).shape for one in (data, ood))
    if own != other:
        raise DataError(f"The images of --ood are {other}, but the network reads {own}; name a data set of that shape.")
    split, limit, seed = subset.split, subset.limit, subset.seed
    inside, outside = (
        UncertaintyTask(network, split, one, limit, seed, choose_order(network, one, split, limit, subset.order))
        for one in (data, ood)
    )
    return inside, outside


def _bind(name: str, given: ComponentSpec) -> Callable[..., float]:
    """The metric with its options, tried on made-up predictions so that a wrong option is refused before any work."""
    import torch

    from surefooted.components.spec import parse_spec, resolve
    from surefooted.components.text import read_text
    from surefooted.core.predictions import predictions

    metric = resolve("metric", name)
    chosen, texts = parse_spec(given)
    hints = get_type_hints(metric)
    options = {option: read_text(text, hints.get(option)) for option, text in texts.items()}
    if chosen != name:
        raise ArgumentError(f"--{name} is {chosen!r}; the options of a metric are written --{name}.OPTION VALUE.")
    if not options:
        return metric
    p = torch.linspace(0.6, 0.9, 64)
    try:
        metric(predictions(torch.stack([p, 1 - p], 1).log(), torch.arange(64) % 2), **options)
    except CallError as error:
        raise ArgumentError(with_flags(error.within(name), {name})) from None
    return partial(metric, **options)


def _document(
    plan: _Plan, store: Store, bound: Metrics, *, decompose: bool, resampling: Mapping[str, int]
) -> dict[str, Any]:
    """All that was measured, as plain data."""
    from surefooted.evaluation.metrics.decompositions import decomposition_intervals
    from surefooted.evaluation.metrics.detection import detection
    from surefooted.evaluation.metrics.levels import levels_of
    from surefooted.evaluation.metrics.measuring import measure_by_level, metric_interval

    task = plan.predictions
    p = task.result(store)
    document: dict[str, Any] = {
        "model": str(task.victim),
        "seed": task.seed,
        "n": len(p.y),
        "no_answer": int((~p.answered).sum()),
        "split": task.split,
        "attack": task.source_attack and task.source_attack.attack,
    }
    document["metrics"] = {name: metric_interval(metric, p, **resampling)._asdict() for name, metric in bound.items()}
    if plan.ranking:
        level = levels_of(plan.ranking.distances(store), levels=plan.levels)
        measured = measure_by_level(p, level, bound, **resampling)
        document["by_level"] = {name: [one._asdict() for one in values] for name, values in measured.items()}
    if decompose and p.answered.any():
        answered = p.take(p.answered)  # what a row without an answer adds to a term is undefined
        document["decompositions"] = {
            score: {term: one._asdict() for term, one in terms.items()}
            for score in ("brier", "nll")
            for terms in [decomposition_intervals(answered, score, **resampling)]
        }
    if plan.other:
        document["against"] = _compare(bound, p, plan.other.result(store), resampling)
    if plan.uncertainty:
        own, other = (task.result(store) for task in plan.uncertainty)
        measures = {name: detection(own[name], other[name])._asdict() for name in own}
        document["ood"] = {"data": plan.uncertainty[1].data, "measures": measures}
    return document


def _compare(bound: Metrics, p: Predictions, q: Predictions, resampling: Mapping[str, int]) -> dict[str, Any]:
    from surefooted.evaluation.metrics.paired import mcnemar, paired_bootstrap

    differences = {name: paired_bootstrap(metric, p, q, **resampling)._asdict() for name, metric in bound.items()}
    values = {name: metric(q) for name, metric in bound.items()}
    return {"values": values, "differences": differences, "mcnemar": mcnemar(p, q)._asdict()}


def _print_document(document: Mapping[str, Any]) -> None:
    from surefooted.report.terminal import escape, format_value, make_table, print_lines

    table = make_table("metric", "value", "95 % interval")
    for name, value in document["metrics"].items():
        table.add_row(name, f"{value['value']:.4f}", _bounds(value))
    attack = f", under {format_value(document['attack'])}" if document["attack"] else ""
    heading = f"{document['model']}, {document['split']} split{attack}, n = {document['n']}, seed {document['seed']}"
    print_lines(f"[bold]{escape(heading)}[/]", *_missing(document), table)
    if "by_level" in document:
        _print_levels(document["by_level"])
    for name, terms in document.get("decompositions", {}).items():
        table = make_table(f"decomposition of {name}", "value", "95 % interval")
        for term, value in terms.items():
            table.add_row(term.replace("_", " "), f"{value['value']:+.4f}", _bounds(value))
        print_lines(table)
    if "against" in document:
        _print_comparison(**document["against"])
    if "ood" in document:
        _print_detection(**document["ood"])


def _missing(document: Mapping[str, Any]) -> list[str]:
    """A line on rows without an answer, if there are any."""
    if not document["no_answer"]:
        return []
    share = f"{document['no_answer']:,} of {document['n']:,}"
    left_out = " Decompositions leave them out." if "decompositions" in document else ""
    return [f"[yellow]{share} rows have no finite answer; they count as wrong, with confidence 1.{left_out}[/]"]


def _print_levels(by_level: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    from surefooted.report.terminal import make_table, print_lines

    names = list(by_level)
    for first in range(0, len(names), COLUMNS):
        shown = names[first : first + COLUMNS]
        table = make_table("robustness level", *shown)
        count = len(by_level[shown[0]])
        for k in range(count):
            end = {0: " (least)", count - 1: " (most)"}.get(k, "")
            table.add_row(f"{k + 1}{end}", *(_cell(by_level[name][k]) for name in shown))
        print_lines(table)


def _print_comparison(values: Mapping[str, float], differences: Mapping[str, Any], mcnemar: Mapping[str, Any]) -> None:
    from surefooted.report.terminal import make_table, print_lines

    table = make_table("metric", "other network", "difference", "95 % interval", "p")
    for name, one in differences.items():
        table.add_row(name, f"{values[name]:.4f}", f"{one['value']:+.4f}", _bounds(one), f"{one['p']:.3g}")
    print_lines(
        "[bold]compared with the other network, on the same images[/]",
        table,
        f"only this network is right: {mcnemar['only_first']}; only the other is right: {mcnemar['only_second']} "
        f"[dim](McNemar's exact p = {mcnemar['p']:.3g})[/]",
    )


def _print_detection(data: Any, measures: Mapping[str, Any]) -> None:
    from surefooted.report.terminal import format_value, make_table, print_lines

    table = make_table("uncertainty", "AUROC", "95 % interval", "FPR at 95 % TPR", "AUPR")
    for name, one in measures.items():
        row = (f"{one['auroc']:.4f}", _bounds(one), f"{one['fpr']:.4f}", f"{one['aupr']:.4f}")
        table.add_row(name.replace("_", " "), *row)
    n = next(iter(measures.values()))
    heading = f"{n['n_outside']} images of {format_value(data)} against {n['n_inside']} in-distribution images"
    print_lines(f"[bold]{heading}[/]", table)


def _cell(value: Mapping[str, float]) -> str:
    from surefooted.report.terminal import escape

    return escape(f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]")


def _bounds(value: Mapping[str, float]) -> str:
    from surefooted.report.terminal import escape

    if value["low"] != value["low"]:  # undefined
        return "–"
    return escape(f"[{value['low']:.4f}, {value['high']:.4f}]")
