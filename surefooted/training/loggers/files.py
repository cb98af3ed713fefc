"""Loggers to plain files: comma-separated values and lines of JSON. Every artifact of a training has both."""

from __future__ import annotations

import csv as csv_format
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefooted.components.component import component
from surefooted.core.files import as_input_error, write_file
from surefooted.training.loggers.base import NamedLogger, numbers


class FileLogger(NamedLogger):
    """Writes the whole history to a file after every epoch, so that the file is complete at any moment.

    Args:
        path: the file; folders are made, and an older file is replaced.
        to_text: the content of the file, from the history.
    """

    def __init__(self, path: Path, to_text: Callable[[Sequence[Mapping[str, Any]]], str]) -> None:
        self.path, self.to_text = path, to_text
        self.history: list[Mapping[str, Any]] = []

    def start(self, key: str, arguments: Mapping[str, Any]) -> None:
        self.history = []
        with as_input_error(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def log(self, entry: Mapping[str, Any]) -> None:
        self.history.append(entry)
        write_file(self.path, self.to_text(self.history))

    def finish(self) -> None:
        pass


@component
def csv(*, path: Path = Path("history.csv")) -> FileLogger:
    """History as comma-separated values, one line per epoch.

    Args:
        path: the file, which is replaced.

    Example:
        >>> logger = csv(path="runs/a.csv")
        >>> logger.start("key", {}); logger.log({"epoch": 1, "loss": 0.5}); logger.finish()
        >>> Path("runs/a.csv").read_text()
        'epoch,loss\\n1,0.5\\n'
    """
    return FileLogger(path, csv_text)


@component
def jsonl(*, path: Path = Path("history.jsonl")) -> FileLogger:
    """History as one JSON document per line and epoch.

    Args:
        path: the file, which is replaced.

    Example:
        >>> logger = jsonl(path="a.jsonl")
        >>> logger.start("key", {}); logger.log({"epoch": 1, "loss": 0.5}); logger.finish()
        >>> Path("a.jsonl").read_text()
        '{"epoch": 1, "loss": 0.5}\\n'
    """
    return FileLogger(path, jsonl_text)


def csv_text(history: Sequence[Mapping[str, Any]]) -> str:
    """The history as comma-separated values; of learnt labels one column each.

    Example:
        >>> csv_text([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
        'epoch,loss\\n1,0.5\\n2,0.25\\n'
    """
    rows = [{"epoch": entry["epoch"], **numbers(entry)} for entry in history]
    text = io.StringIO()
    writer = csv_format.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def jsonl_text(history: Sequence[Mapping[str, Any]]) -> str:
    """The history as lines of JSON.

    Example:
        >>> jsonl_text([{"epoch": 1}, {"epoch": 2}])
        '{"epoch": 1}\\n{"epoch": 2}\\n'
    """
    return "".join(f"{json.dumps(dict(entry))}\n" for entry in history)
