"""What several commands read and print alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefooted.cell import Named, Part
from surefooted.checks import Flag
from surefooted.console import escape
from surefooted.errors import InputError
from surefooted.spec import complete

PARTS = ("train", "validation", "test")


def part_of(split: str) -> Part:
    if split not in PARTS:
        raise InputError(f"--split is {split!r}; expected train, validation or test.")
    return split  # type: ignore[return-value]  # checked above


def data_in(given: Mapping[str, Any]) -> Named | None:
    return complete("surefooted.data", given["data"]) if "data" in given else None


def percent(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.2f} % [{100 * share['low']:.2f}, {100 * share['high']:.2f}]"


def flagged(flag: Flag) -> str:
    """A flag as printed beside a robust accuracy."""
    colour = "red" if flag.severity == "serious" else "yellow"
    name = flag.name.replace("_", " ")
    return f"[{colour}]{flag.severity}: {name}[/] {escape(flag.seen)}; [bold]{escape(flag.cure)}[/]"
