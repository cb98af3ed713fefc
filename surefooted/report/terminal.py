"""Terminal output of the commands: lines and tables for people, or one JSON document for programs."""

from __future__ import annotations

import json
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from surefooted.core.files import as_input_error, write_file
from surefooted.core.streams import print_document, visible
from surefooted.errors import StoreError

__all__ = [
    "RichTable",
    "Terminal",
    "check_writable",
    "copy_file",
    "escape",
    "format_options",
    "format_value",
    "human_duration",
    "make_table",
    "print_json",
    "print_lines",
    "print_on_stderr",
    "visible",
]

# A table in fewer columns shows letters below each other; a narrower terminal wraps its lines.
MIN_WIDTH = 40


class Terminal(Console):
    """A console that shows control characters instead of sending them: names of files and classes are not ours."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)  # `timm:x:net` holds no emoji
        if self.width < MIN_WIDTH:
            self.width = MIN_WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def print_lines(*items: Any) -> None:
    """Print tables, and lines with markup. Lines are not wrapped, so that a path can be copied.

    Example:
        >>> print_lines("[bold]robust accuracy[/] 0.98")
        robust accuracy 0.98
    """
    console = Terminal()
    for item in items:
        console.print(item, highlight=False, soft_wrap=isinstance(item, str))


def print_on_stderr(line: str) -> None:
    """Print a line on standard error, like progress."""
    Terminal(stderr=True).print(line, highlight=False, soft_wrap=True)


def make_table(*columns: str) -> RichTable:
    """An empty table: the first column is left-aligned, the others right-aligned.

    Example:
        >>> [column.justify for column in make_table("metric", "value").columns]
        ['left', 'right']
    """
    table = RichTable()
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 else "right")
    return table


def print_json(document: Any) -> None:
    """Print plain data as JSON on the standard output; NaN and infinities become null.

    Example:
        >>> print_json({"ece": float("nan")})
        {
         "ece": null
        }
    """
    print_document(json.dumps(_json_value(document), indent=1, allow_nan=False, default=str))


def format_value(value: Any) -> str:
    """A value in few characters; a component as a call.

    Example:
        >>> format_value({"pgd": {"eps": 0.1, "norm": "linf"}})
        'pgd(eps=0.1, norm=linf)'
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return f"{name}({format_options(arguments)})" if isinstance(arguments, dict) and arguments else str(name)
    return "none" if value is None else str(value)


def format_options(arguments: dict[str, Any]) -> str:
    """Arguments as in a call.

    Example:
        >>> format_options({"eps": 8 / 255, "start": None})
        'eps=0.03137, start=none'
    """
    return ", ".join(f"{name}={format_value(value)}" for name, value in arguments.items())


def check_writable(out: Path | None, suffix: str = "") -> None:
    """Check, before any work, that a file can be written after it. No folder is left behind.

    Args:
        suffix: what the name must end with; empty for any name.

    Raises:
        StoreError: if it cannot.

    Example:
        >>> check_writable(Path("weights.safetensors"), ".safetensors")
    """
    if out is None:
        return
    new_folders = [folder for folder in out.parents if not folder.exists()]
    with as_input_error(out):
        if out.is_dir():
            raise StoreError(
                f"`out` {out} is a directory; give the name of a file, such as {out / 'weights.safetensors'}."
            )
        if out.exists() and not out.is_file():
            raise StoreError(f"`out` {out} is a device or a pipe; give the name of a file.")
        if suffix and out.suffix != suffix:
            raise StoreError(f"`out` {out} does not end in {suffix}, the format that is written; add the ending.")
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.with_name(f".{out.name}.probe")
        probe.touch()
        probe.unlink()
        for folder in new_folders:  # work that is refused or killed leaves no empty folder
            with suppress(OSError):  # another process may use it already
                folder.rmdir()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically, into a folder that need not exist."""
    with as_input_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_file(target, source.read_bytes())


def human_duration(seconds: float) -> str:
    """A duration in words.

    Example:
        >>> human_duration(7200), human_duration(0.3)
        ('2 hours', 'a second or two')
    """
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 2 else "a second or two"


def _json_value(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_value(v) for key, v in value.items()}
    return [_json_value(v) for v in value] if isinstance(value, list | tuple) else value
