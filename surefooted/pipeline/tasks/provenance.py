"""The provenance of a report: versions, devices and time of the artifacts behind it, as each has them on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from surefooted.core.files import read_json, with_hint
from surefooted.pipeline.runtime import RECORDED
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import Task
from surefooted.report.terminal import human_duration


def collect_provenance(tasks: Iterable[Task], store: Store) -> dict[str, Any]:
    """The provenance of everything that made a page's numbers, not of the machine that writes the page.

    Args:
        tasks: what the page reads; the tasks that they require count too.

    Returns:
        The number of artifacts, every value that any of them has on record, and the time that they took together.
    """
    files = [task.path(store) / "provenance.json" for task in _with_requirements(tasks)]
    with with_hint("Delete it; a page does without."):
        records = [read_json(file) for file in files if file.exists()]
    seconds = sum(record.get("seconds", 0.0) for record in records)
    values = {name: sorted({str(record[name]) for record in records if name in record}) for name in RECORDED}
    return {
        "artifacts": len(records),
        **{name: ", ".join(several) for name, several in values.items() if several},
        "time of all processes": human_duration(seconds),
    }


def recorded_seconds(task: Task, store: Store) -> float | None:
    """The seconds that an artifact took to make, by its record; None without one."""
    file = task.path(store) / "provenance.json"
    seconds = read_json(file).get("seconds") if file.exists() else None
    return None if seconds is None else float(seconds)


def _with_requirements(tasks: Iterable[Task]) -> Iterator[Task]:
    """Tasks and all that they require, each once."""
    seen: set[str] = set()
    waiting = list(tasks)
    while waiting:
        task = waiting.pop()
        if task.key not in seen:
            seen.add(task.key)
            waiting += task.requires
            yield task
