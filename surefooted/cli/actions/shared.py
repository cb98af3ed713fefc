"""What several commands read and print alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefooted.components.spec import base_name, complete, parse_spec
from surefooted.errors import InputError
from surefooted.evaluation.checks import Flag
from surefooted.pipeline.tasks import ComponentSpec, Source, SplitName, training_data
from surefooted.report.terminal import escape

PARTS = ("train", "validation", "test")


def part_of(split: str) -> SplitName:
    if split not in PARTS:
        raise InputError(f"--split is {split!r}; expected train, validation or test.")
    return split  # type: ignore[return-value]  # checked above


def own_name(victim: Source | None) -> dict[str, str]:
    """So that options of data given alone are of the set that the network was trained on."""
    own = training_data(victim)
    return {"data": base_name(own)} if own else {}


def data_for(victim: Source | None, given: Mapping[str, Any]) -> ComponentSpec | None:
    """The data asked for; what is left out is as the network was trained with it, where the set is that. None: its own.

    A default of the split would let images that were trained on into the test.
    """
    own = training_data(victim)
    if "data" not in given:
        return None
    (name, arguments), (known, options) = parse_spec(given["data"]), parse_spec(own) if own else ("", {})
    asked = complete("data", {name: (options if name == known else {}) | arguments})
    return None if asked == own else asked


def flagged(flag: Flag) -> str:
    """A flag as printed beside a robust accuracy."""
    colour = "red" if flag.severity == "serious" else "yellow"
    name = flag.name.replace("_", " ")
    return f"[{colour}]{flag.severity}: {name}[/] {escape(flag.seen)} [bold]{escape(flag.cure)}[/]"
