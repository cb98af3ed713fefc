"""``surefooted trained``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from surefooted.components.describe import non_default
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import TrainTask
from surefooted.report.terminal import escape, format_value, make_table, print_json, say

# The fields of a stored training that name a component, and its kind.
SLOTS = {"method": "method", "net": "network", "data": "data", "recipe": "recipe"}


def show_trained(words: Sequence[str], store: Store, as_json: bool) -> None:
    """The networks of the store whose lines have all of the words, the latest first."""
    every = [(key, when, about, _line(about)) for key, when, about in store.all(TrainTask.kind) if _is_training(about)]
    found = [one for one in every if all(word.lower() in " ".join(one[3]).lower() for word in words)]
    if as_json:
        return print_json([{"key": key, "trained": _date(when), **about} for key, when, about, _ in found])
    if not found:
        place = escape(str(store.root))
        none = f"None of the {len(every)} networks of {place} has all of: {escape(', '.join(words))}"
        return say(none if every else f"No network was trained in {place} yet; see: surefooted train --help")
    table = make_table("key", *SLOTS, "seed", "trained")
    for column in table.columns:
        column.justify, column.overflow, column.no_wrap = "left", "fold", column.header == "key"
    for key, when, _, line in found:
        table.add_row(key[:12], *map(escape, line), _date(when))
    say(table, "Arguments that are not the defaults are in brackets. Next: surefooted attack pgd --model KEY")


def _line(about: Mapping[str, Any]) -> list[str]:
    return [*(format_value(non_default(kind, about[slot])) for slot, kind in SLOTS.items()), str(about["seed"])]


def _is_training(about: Any) -> bool:
    return isinstance(about, dict) and {*SLOTS, "seed"} <= about.keys()


def _date(when: float) -> str:
    return datetime.fromtimestamp(when).isoformat(" ", "minutes")
