"""Trainings that are watched while they run: by loggers, and by a function of the caller."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from surefooted.components.code import first_line
from surefooted.components.spec import build
from surefooted.errors import ArgumentError, InputError, Notice
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import TrainTask
from surefooted.training.checkpoint import HistoryEntry
from surefooted.training.loggers import Logger

Watch = Callable[[HistoryEntry, int], None]
"""Called with every history entry, and the number of steps since the last one; 0 if it was not trained just now."""


def run_training(
    task: TrainTask,
    store: Store,
    *,
    runtime: Runtime | None = None,
    quiet: bool = False,
    loggers: Sequence[Any] = (),
    watch: Watch | None = None,
) -> None:
    """Train, or find the training in the store. Loggers and ``watch`` see every epoch once and in order, either way.

    A logger that fails while it logs is dropped with a notice: hours of training must not depend on a server. An error
    that ``watch`` raises ends the training; its checkpoint is kept.

    Args:
        task: the training.
        store: where it is kept.
        runtime: device and processes.
        quiet: no progress bars.
        loggers: names, ``{name: arguments}`` or objects with the methods of ``Logger``.
        watch: called after every epoch.

    Raises:
        ArgumentError: if a logger is none.
        DependencyError: if a package that a logger needs is missing.

    Example:
        >>> from surefooted.pipeline.tasks import train_task
        >>> task = train_task("vanilla", "mlp", {"digits": {"train_limit": 64}}, {"recipe": {"epochs": 2}})
        >>> run_training(task, Store(), watch=lambda entry, steps: print(entry["epoch"]))
        1
        2
    """
    watching = _Watching([_as_logger(given) for given in loggers], watch)
    arguments = task.arguments()
    try:
        for logger in watching.loggers:
            logger.start(task.key, arguments)
        execute([replace(task, watch=watching)], store, runtime=runtime, quiet=quiet)
        for entry in task.history(store)[watching.seen :]:
            watching(entry, 0)
    finally:
        for logger in watching.loggers:
            watching.call(logger, logger.finish)


@dataclass(eq=False)
class _Watching:
    """Passes history entries on, and counts them."""

    loggers: list[Logger]
    watch: Watch | None
    seen: int = 0
    dropped: set[int] = field(default_factory=set)

    def __call__(self, entry: HistoryEntry, steps: int) -> None:
        self.seen += 1
        for logger in self.loggers:
            self.call(logger, logger.log, dict(entry))
        if self.watch:
            self.watch(dict(entry), steps)

    def call(self, logger: Logger, method: Callable[..., None], *arguments: Any) -> None:
        if id(logger) in self.dropped:
            return
        try:
            method(*arguments)
        except Exception as error:
            self.dropped.add(id(logger))
            reason = str(error).rstrip(".") if isinstance(error, InputError) else first_line(error)
            warnings.warn(
                f"The logger {_name(logger)} failed and is not used any more ({reason}). The training goes on.",
                Notice,
                stacklevel=2,
            )


def _as_logger(given: Any) -> Logger:
    logger = build("logger", given) if isinstance(given, str | Mapping) else given
    if isinstance(logger, type) or not isinstance(logger, Logger):
        raise ArgumentError(
            f"`loggers` has {given!r}; expected a name (surefooted list loggers), {{name: arguments}}, or an object "
            "with the methods start, log and finish."
        )
    return logger


def _name(logger: Logger) -> str:
    spec = getattr(logger, "spec", None)
    return spec.name if spec is not None else type(logger).__name__
