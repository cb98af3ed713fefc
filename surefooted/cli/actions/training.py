"""``surefooted train``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefooted.cli.options import gather
from surefooted.components.spec import called
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.pipeline.store import Store, default_root
from surefooted.pipeline.tasks import Train, data_of, training
from surefooted.report.terminal import brief, copy, escape, grid, print_json, say


def trained_cell(
    named: Mapping[str, str | None], words: Sequence[str], config: Path | None, seed: int, precision: Any
) -> Train:
    default = {"data": "digits", "recipe": "recipe"}
    given = gather(("method", *named), named, words, config, defaults=default, bare="method")
    for slot, kind, example in (("method", "methods", "pat"), ("net", "networks", "--net lenet")):
        if slot not in given:
            raise InputError(f"which {slot}? Name one (surefooted list {kind}), such as {example}.")
    return training(**given, seed=seed, precision=precision)


def report_training(cell: Train, store: Store, out: Path | None, as_json: bool) -> None:
    weights = cell.path(store) / "weights.safetensors"
    last = cell.history(store)[-1]  # first: it sees to it that the artefact is whole
    if out is not None:
        copy(weights, out)
    document = {"key": cell.key, "weights": str(out or weights), "last_epoch": last, **cell.about()}
    recorded = str(cell.path(store) / "recorded.safetensors") if cell.record else None
    if recorded:
        document["recorded"] = recorded
    if as_json:
        return print_json(document)
    table = grid("", "last epoch")
    for name, value in last.items():
        on = " (validation images)" if name in metrics.__all__ else ""
        table.add_row(f"{name.replace('_', ' ')}{on}", brief(value))
    say(
        f"[bold]{called(cell.method)} on {escape(data_of(cell.data).title)}, seed {cell.seed}[/]",
        table,
        f"[dim]key[/] {cell.key[:12]}   [dim]weights[/] {escape(str(out or weights))}",
        *([f"[dim]recorded[/] {escape(recorded)}"] if recorded else []),
        f"Next: surefooted attack pgd --model {cell.key[:12]}{_where(store)}",
    )


def _where(store: Store) -> str:
    """The option that finds the store again, where a command without it would look elsewhere."""
    return "" if store.root == default_root() else f" --store {escape(shlex.quote(str(store.root)))}"
