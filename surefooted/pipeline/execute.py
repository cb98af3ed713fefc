"""Run tasks after those that they require, in this process or in several. What the store holds is not run again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import replace
from graphlib import TopologicalSorter
from heapq import heappop, heappush

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from surefooted.core.streams import visible
from surefooted.errors import WorkerError
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.pipeline.workers import WORKER_LOST, WorkerSetup, terminate_on_error


def execute(
    tasks: Iterable[Task], store: Store, *, runtime: Runtime | None = None, workers: int = 1, quiet: bool = False
) -> int:
    """Make the artifacts of all tasks and of those that they require.

    Args:
        workers: number of processes. Each runs one task at a time, with an equal share of the CPU's threads.
        quiet: no progress bars. There are none either if standard error is not a terminal.

    Returns:
        The number of artifacts that had to be made.
    """
    runtime = runtime or Runtime()
    missing = plan(tasks, store)
    if missing:
        bars = _Bars(len(missing), quiet)
        with bars:
            if workers == 1 or len(missing) == 1:
                runtime.apply_threads()
                for task in missing:
                    bars.begin(task, here=True)
                    task.run(store, runtime, bars.tick)
                    bars.end()
            else:
                _run_in_processes(missing, store, runtime, min(workers, len(missing)), bars)
    return len(missing)


def plan(tasks: Iterable[Task], store: Store) -> list[Task]:
    """The tasks whose artifacts are missing, each once and after those that it requires."""
    ordered: dict[str, Task] = {}

    def visit(task: Task) -> None:
        if task.key not in ordered and not task.is_done(store):
            for required in task.requires:
                visit(required)
            ordered[task.key] = task

    for task in tasks:
        visit(task)
    return list(ordered.values())


def _run_in_processes(missing: list[Task], store: Store, runtime: Runtime, workers: int, bars: _Bars) -> None:
    share = replace(runtime, threads=runtime.threads or max(1, (os.cpu_count() or 1) // workers))
    setup = WorkerSetup.of_this_process(share.apply_threads)
    # Spawned, not forked: a forked child hangs in torch's thread pool.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), setup.apply)
    by_key = {task.key: task for task in missing}
    place = {key: at for at, key in enumerate(by_key)}
    order = TopologicalSorter(
        {key: [required.key for required in task.requires if required.key in by_key] for key, task in by_key.items()}
    )
    order.prepare()
    ready: list[tuple[int, str]] = []  # a heap: of the tasks that can run, the first in the plan
    running: dict[Future[None], str] = {}
    try:
        with terminate_on_error():
            while order.is_active():
                for key in order.get_ready():
                    heappush(ready, (place[key], key))
                # Two tasks per worker are on their way, so that no worker waits for this process.
                while ready and len(running) < 2 * workers:
                    task = by_key[key := heappop(ready)[1]]
                    bars.begin(task, here=False)
                    running[pool.submit(_run, task, store.root, share)] = key
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    future.result()
                    order.done(key)
                    bars.end()
    except BrokenProcessPool:
        raise WorkerError(f"{WORKER_LOST}.") from None
    except BaseException:
        # Ctrl-C or an error in one task: the others stop where they are; their checkpoints stay.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _run(task: Task, root: os.PathLike[str], runtime: Runtime) -> None:
    task.run(Store(root), runtime)


def _as_markup(label: str) -> str:
    """The label of a task as console markup; it may name a file of any name."""
    return escape(visible(label))


class _Bars(AbstractContextManager["_Bars"]):
    """A progress bar over all tasks and, below it, one for the task that runs in this process."""

    def __init__(self, total: int, quiet: bool) -> None:
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
        self.all = self.progress.add_task("tasks", total=total, rate="")
        self.current: TaskID | None = None

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def begin(self, task: Task, *, here: bool) -> None:
        self.progress.update(self.all, description=_as_markup(task.label))
        if here and not self.progress.disable:
            self.current = self.progress.add_task(f"  {_as_markup(task.label)}", total=task.total_ticks(), rate="")

    def tick(self, n: int) -> None:
        if self.current is not None:
            speed = self.progress.tasks[-1].speed
            self.progress.update(self.current, advance=n, rate=f"{speed:,.0f}/s" if speed else "")

    def end(self) -> None:
        self.progress.advance(self.all)
        if self.current is not None:
            self.progress.remove_task(self.current)
            self.current = None
