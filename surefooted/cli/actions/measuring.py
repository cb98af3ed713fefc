"""``surefooted measure``: metrics, by level, against another network, and what tells foreign images from its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from surefooted.cli.actions.shared import data_for, own_name, part_of
from surefooted.cli.options import gather
from surefooted.components.spec import complete, parse_spec, resolve
from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.decompositions import brier_decomposition, nll_decomposition
from surefooted.evaluation.metrics.detection import detection
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.measuring import interval_of
from surefooted.evaluation.metrics.paired import mcnemar, paired_bootstrap
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    ComponentSpec,
    PredictTask,
    Source,
    SplitName,
    UncertaintyTask,
    attack_task,
    check_same_data,
    eval_images,
    training_data,
)
from surefooted.report.terminal import escape, format_value, make_table, print_json, say
from surefooted.studies.ranking import NEAREST_BOUNDARY

Bound = Mapping[str, Callable[..., float]]
# Metrics beside each other that a terminal of 80 columns can show by level.
LEVELLED = 4


def measured(
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    victim: Source,
    chosen: Sequence[str],
    store: Store,
    runtime: Runtime,
    quiet: bool,
    as_json: bool,
    *,
    part: str,
    limit: int,
    levels: int,
    draws: int,
    seed: int,
    against: Source | None = None,
    decompose: bool = False,
) -> None:
    chosen = chosen or metrics.__all__
    for name in chosen:
        resolve("metric", name)
    slots = ("attack", "data", "ood", *chosen)
    given = gather(slots, named, words, config, defaults={name: name for name in chosen} | own_name(victim))
    bound = {name: _with_options(name, given[name]) for name in chosen}
    data, on = data_for(victim, given), part_of(part)
    if levels and levels > (n := len(eval_images(victim, data, on, limit))):
        raise InputError(f"--levels is {levels}, and there are {n} images; each level needs one at least.")

    def predicted(one: Source, data: ComponentSpec | None) -> PredictTask:
        attack = given.get("attack")
        moved = attack_task(one, attack, on, data=data, limit=limit, seed=seed) if attack else None
        return PredictTask(one, on, moved, data, limit, seed)

    if against:
        check_same_data((victim, against))
    first = predicted(victim, data)
    second = predicted(against, data or training_data(victim)) if against else None
    ranked = (
        attack_task(victim, NEAREST_BOUNDARY, on, data=data, limit=limit, seed=seed, keep_points=False)
        if levels
        else None
    )
    sides = _sides(victim, on, data, given["ood"], limit, seed) if "ood" in given else ()
    tasks = [task for task in (first, second, ranked, *sides) if task is not None]
    execute(tasks, store, runtime=runtime, quiet=quiet)

    p = first.result(store)
    resampled = {"draws": draws, "seed": seed}
    values = {name: interval_of(name, metric, p, **resampled) for name, metric in bound.items()}
    document: dict[str, Any] = {"n": len(p.y), "split": on, "attack": first.moved and first.moved.attack}
    document["metrics"] = {name: {**value._asdict(), "options": given[name][name]} for name, value in values.items()}
    if ranked:
        level = levels_of(ranked.distances(store), levels=levels)
        document["by_level"] = {name: by_level(metric, p, level).tolist() for name, metric in bound.items()}
    if decompose:
        document["decompositions"] = {"brier": brier_decomposition(p)._asdict(), "nll": nll_decomposition(p)._asdict()}
    if second:
        document["against"] = _against(bound, p, second.result(store), resampled)
    if sides:
        own, foreign = (side.result(store) for side in sides)
        found = {name: detection(own[name], foreign[name])._asdict() for name in own}
        document["ood"] = {"data": sides[1].data, "measures": found}
    if as_json:
        return print_json(document)
    _say(document, levels)


def _sides(
    victim: Source, part: SplitName, data: ComponentSpec | None, other: ComponentSpec, limit: int, seed: int
) -> tuple[UncertaintyTask, UncertaintyTask]:
    """The network's uncertainty on its own images and on others."""
    other = complete("data", other)
    shapes = [eval_images(victim, which, part, limit).shape for which in (data, other)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"the images of --ood are {shapes[1]}, and the network is for {shapes[0]}; name a data set of that shape."
        )
    return UncertaintyTask(victim, part, data, limit, seed), UncertaintyTask(victim, part, other, limit, seed)


def _against(bound: Bound, p: Predictions, q: Predictions, resampled: Mapping[str, int]) -> dict[str, Any]:
    compared = {name: paired_bootstrap(metric, p, q, **resampled)._asdict() for name, metric in bound.items()}
    of = {name: metric(q) for name, metric in bound.items()}
    return {"values": of, "differences": compared, "mcnemar": mcnemar(p, q)._asdict()}


def _say(found: Mapping[str, Any], levels: int) -> None:
    table = make_table("metric", "value", "95 % interval")
    for name, value in found["metrics"].items():
        table.add_row(name, f"{value['value']:.4f}", _between(value))
    attacked = f", attacked by {format_value(found['attack'])}" if found["attack"] else ""
    say(f"[bold]{found['split']} split{attacked}, n = {found['n']}[/]", table)
    for names in _in_rows_of(LEVELLED, list(found.get("by_level", {}))):
        table = make_table("robustness level", *names)
        for k in range(levels):
            ends = {0: " (least)", levels - 1: " (most)"}.get(k, "")
            table.add_row(f"{k + 1}{ends}", *(f"{found['by_level'][name][k]:.3f}" for name in names))
        say(table)
    for name, terms in found.get("decompositions", {}).items():
        table = make_table(f"{name}, taken apart", "")
        for term, value in terms.items():
            table.add_row(term.replace("_", " "), f"{value:+.4f}")
        say(table)
    if "against" in found:
        _say_against(**found["against"])
    if "ood" in found:
        table = make_table("uncertainty", "AUROC", "95 % interval", "FPR at 95 % TPR", "AUPR")
        for name, one in found["ood"]["measures"].items():
            row = (f"{one['auroc']:.4f}", _between(one), f"{one['fpr']:.4f}", f"{one['aupr']:.4f}")
            table.add_row(name.replace("_", " "), *row)
        say(
            f"[bold]{one['n_outside']} images of {format_value(found['ood']['data'])} "
            f"against {one['n_inside']} in-distribution images[/]"
        )
        say(table)


def _say_against(values: Mapping[str, float], differences: Mapping[str, Any], mcnemar: Mapping[str, Any]) -> None:
    table = make_table("metric", "the other's", "difference", "95 % interval", "p")
    for name, one in differences.items():
        table.add_row(name, f"{values[name]:.4f}", f"{one['value']:+.4f}", _between(one), f"{one['p']:.3g}")
    say(
        "[bold]against the other, on the same images[/]",
        table,
        f"right where the other is wrong: {mcnemar['only_first']}; wrong where it is right: {mcnemar['only_second']} "
        f"[dim](McNemar's exact p = {mcnemar['p']:.3g})[/]",
    )


def _in_rows_of(n: int, names: Sequence[str]) -> list[Sequence[str]]:
    return [names[a : a + n] for a in range(0, len(names), n)]


def _between(value: Mapping[str, float]) -> str:
    return escape(f"[{value['low']:.4f}, {value['high']:.4f}]")


def _with_options(name: str, given: ComponentSpec) -> Callable[..., float]:
    """The metric with its options, which are tried on made-up predictions: a fault must not wait for the real ones."""
    metric = resolve("metric", name)
    chosen, options = parse_spec(given)
    if chosen != name:
        raise InputError(f"--{name} is {chosen!r}; the options of a metric are written --{name}.OPTION VALUE.")
    if not options:
        return metric
    log_p = torch.linspace(0.6, 0.9, 64)[:, None].expand(64, 2).clone()
    log_p[:, 1] = 1 - log_p[:, 0]
    metric(predictions(log_p.log(), torch.arange(64) % 2), **options)
    return partial(metric, **options)
