"""``surefooted train``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefooted.cli.options import gather
from surefooted.components.spec import base_name
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.pipeline.store import Store, default_root
from surefooted.pipeline.tasks import TrainTask, load_splits, train_task
from surefooted.report.terminal import copy_file, escape, format_value, make_table, print_json, say


def trained_cell(
    named: Mapping[str, str | None], words: Sequence[str], config: Path | None, seed: int, precision: Any
) -> TrainTask:
    default = {"data": "digits", "recipe": "recipe"}
    given = gather(("method", *named), named, words, config, defaults=default, bare="method")
    for slot, kind, example in (("method", "methods", "pat"), ("net", "networks", "--net lenet")):
        if slot not in given:
            raise InputError(f"which {slot}? Name one (surefooted list {kind}), such as {example}.")
    return train_task(**given, seed=seed, precision=precision)


def report_training(task: TrainTask, store: Store, out: Path | None, as_json: bool) -> None:
    weights = task.path(store) / "weights.safetensors"
    last = task.history(store)[-1]  # first: it sees to it that the artefact is whole
    if out is not None:
        copy_file(weights, out)
    document = {"key": task.key, "weights": str(out or weights), "last_epoch": last, **task.arguments()}
    recorded = str(task.path(store) / "recorded.safetensors") if task.record else None
    if recorded:
        document["recorded"] = recorded
    if as_json:
        return print_json(document)
    table = make_table("", "last epoch")
    for name, value in last.items():
        on = " (validation images)" if name in metrics.__all__ else ""
        table.add_row(f"{name.replace('_', ' ')}{on}", format_value(value))
    say(
        f"[bold]{base_name(task.method)} on {escape(load_splits(task.data).title)}, seed {task.seed}[/]",
        table,
        f"[dim]key[/] {task.key[:12]}   [dim]weights[/] {escape(str(out or weights))}",
        *([f"[dim]recorded[/] {escape(recorded)}"] if recorded else []),
        f"Next: surefooted attack pgd --model {task.key[:12]}{_where(store)}",
    )


def _where(store: Store) -> str:
    """The option that finds the store again, where a command without it would look elsewhere."""
    return "" if store.root == default_root() else f" --store {escape(shlex.quote(str(store.root)))}"
