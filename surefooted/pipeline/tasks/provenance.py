"""What made the artefacts behind a report: versions, devices and hours, as each of them has it on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from surefooted.core.files import read_json, with_hint
from surefooted.pipeline.runtime import RECORDED
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import Task


def made_by(tasks: Iterable[Task], store: Store) -> dict[str, Any]:
    """The provenance of a page: not of the machine that writes it, but of all that made its numbers.

    Args:
        cells: what the page is of; what they need counts too.

    Returns:
        How many artefacts there are, every value that any of them has on record, and the hours that they took.
    """
    files = [task.path(store) / "provenance.json" for task in _all_of(tasks)]
    with with_hint("Delete it; a page does without."):
        records = [read_json(file) for file in files if file.exists()]
    hours = sum(record.get("seconds", 0.0) for record in records) / 3600
    values = {name: sorted({str(record[name]) for record in records if name in record}) for name in RECORDED}
    return {
        "artefacts": len(records),
        **{name: ", ".join(seen) for name, seen in values.items() if seen},
        "hours of all processes": f"{hours:.2g}" if hours < 10 else f"{hours:.0f}",
    }


def _all_of(tasks: Iterable[Task]) -> Iterator[Task]:
    """Cells and all that they need, each once."""
    seen: set[str] = set()
    waiting = list(tasks)
    while waiting:
        task = waiting.pop()
        if task.key not in seen:
            seen.add(task.key)
            waiting += task.requires
            yield task
