"""What commands print: a heading and a table for people, or one JSON document for machines."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from surefooted.core.files import as_input_error, write_file
from surefooted.errors import InputError

__all__ = [
    "RichTable",
    "check_writable",
    "copy_file",
    "escape",
    "format_options",
    "format_value",
    "make_table",
    "print_json",
    "say",
    "say_on_stderr",
]


def say(*what: Any) -> None:
    """Tables, and lines with markup that are left whole: a path broken in two cannot be copied."""
    console = Console()
    for one in what:
        console.print(one, highlight=False, soft_wrap=isinstance(one, str))


def say_on_stderr(line: str) -> None:
    """A line on standard error, where progress goes."""
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)


def make_table(*columns: str) -> RichTable:
    table = RichTable()
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 else "right")
    return table


def print_json(document: Any) -> None:
    print(json.dumps(_json_value(document), indent=1, allow_nan=False, default=str))


def format_value(value: Any) -> str:
    """A value in few characters; a component as ``pgd(eps=0.1)``."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return f"{name}({format_options(arguments)})" if isinstance(arguments, dict) and arguments else str(name)
    return "none" if value is None else str(value)


def format_options(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={format_value(value)}" for name, value in arguments.items())


def check_writable(out: Path | None) -> None:
    """Refuse before any work what could not be written after it."""
    if out is None:
        return
    with as_input_error(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_dir():
            raise InputError(
                f"--out {out} is a directory; give the name of a file, such as {out / 'weights.safetensors'}."
            )
        probe = out.with_name(f".{out.name}.probe")
        probe.touch()
        probe.unlink()


def copy_file(source: Path, target: Path) -> None:
    write_file(target, source.read_bytes())


def _json_value(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null stands for both."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_value(v) for key, v in value.items()}
    return [_json_value(v) for v in value] if isinstance(value, list | tuple) else value


def human_duration(seconds: float) -> str:
    """Seconds as people say them."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 2 else "a second or two"
