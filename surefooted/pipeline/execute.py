"""Run cells in the order of their needs, in this process or in several; what is in the store is not run again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import replace

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from surefooted.errors import InputError
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.pipeline.workers import ENDED, WorkerSetup, no_orphans


def execute(
    tasks: Iterable[Task], store: Store, *, runtime: Runtime | None = None, workers: int = 1, quiet: bool = False
) -> int:
    """Make all artefacts, and those they need.

    Args:
        workers: processes; each takes a cell at a time and an equal share of the CPU's threads.
        quiet: no progress bars; there are none anyway where standard error is not a terminal.

    Returns:
        How many cells had to be made.
    """
    runtime = runtime or Runtime()
    todo = plan(tasks, store)
    if todo:
        bars = _Bars(len(todo), quiet)
        with bars:
            if workers == 1 or len(todo) == 1:
                runtime.apply_threads()
                for task in todo:
                    bars.begin(task, here=True)
                    task.run(store, runtime, bars.tick)
                    bars.end()
            else:
                _in_processes(todo, store, runtime, min(workers, len(todo)), bars)
    return len(todo)


def plan(tasks: Iterable[Task], store: Store) -> list[Task]:
    """What is not in the store, every cell after those it needs, each once."""
    ordered: dict[str, Task] = {}

    def visit(task: Task) -> None:
        if task.key not in ordered and not task.is_done(store):
            for need in task.requires:
                visit(need)
            ordered[task.key] = task

    for task in tasks:
        visit(task)
    return list(ordered.values())


def _in_processes(todo: list[Task], store: Store, runtime: Runtime, workers: int, bars: _Bars) -> None:
    share = replace(runtime, threads=runtime.threads or max(1, (os.cpu_count() or 1) // workers))
    beginning = WorkerSetup.here(share.apply_threads)
    # Spawned, not forked: a forked child hangs in torch's thread pool.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), beginning.begin)
    waiting, running = list(todo), dict[Future[None], Task]()
    missing = {task.key for task in todo}
    try:
        with no_orphans():
            while waiting or running:
                ready = [task for task in waiting if not any(need.key in missing for need in task.requires)]
                for task in ready[: 2 * workers - len(running)]:
                    waiting.remove(task)
                    bars.begin(task, here=False)
                    running[pool.submit(_run, task, store.root, share)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    future.result()
                    missing.discard(task.key)
                    bars.end()
    except BrokenProcessPool:
        raise InputError(f"{ENDED}.") from None
    except BaseException:
        # Ctrl-C or an error in one cell: the others stop where they stand; their checkpoints stay.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _run(task: Task, root: os.PathLike[str], runtime: Runtime) -> None:
    task.run(Store(root), runtime)


class _Bars(AbstractContextManager):
    """One bar over the cells, and below it one for the cell at work in this process."""

    def __init__(self, tasks: int, quiet: bool) -> None:
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self.all = self.progress.add_task("cells", total=tasks, rate="")
        self.task: TaskID | None = None

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def begin(self, task: Task, *, here: bool) -> None:
        self.progress.update(self.all, description=task.label)
        if here and not self.progress.disable:
            self.task = self.progress.add_task(f"  {task.label}", total=task.total_ticks(), rate="")

    def tick(self, n: int) -> None:
        if self.task is not None:
            speed = self.progress.tasks[-1].speed
            self.progress.update(self.task, advance=n, rate=f"{speed:,.0f}/s" if speed else "")

    def end(self) -> None:
        self.progress.advance(self.all)
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None
