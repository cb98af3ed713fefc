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
from surefooted.pipeline.runtime import Machine
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Cell
from surefooted.pipeline.workers import ENDED, Beginning, no_orphans


def execute(
    cells: Iterable[Cell], store: Store, *, machine: Machine | None = None, workers: int = 1, quiet: bool = False
) -> int:
    """Make all artefacts, and those they need.

    Args:
        workers: processes; each takes a cell at a time and an equal share of the CPU's threads.
        quiet: no progress bars; there are none anyway where standard error is not a terminal.

    Returns:
        How many cells had to be made.
    """
    machine = machine or Machine()
    todo = plan(cells, store)
    if todo:
        bars = _Bars(len(todo), quiet)
        with bars:
            if workers == 1 or len(todo) == 1:
                machine.settle()
                for cell in todo:
                    bars.begin(cell, here=True)
                    cell.run(store, machine, bars.tick)
                    bars.end()
            else:
                _in_processes(todo, store, machine, min(workers, len(todo)), bars)
    return len(todo)


def plan(cells: Iterable[Cell], store: Store) -> list[Cell]:
    """What is not in the store, every cell after those it needs, each once."""
    ordered: dict[str, Cell] = {}

    def visit(cell: Cell) -> None:
        if cell.key not in ordered and not cell.done(store):
            for need in cell.needs:
                visit(need)
            ordered[cell.key] = cell

    for cell in cells:
        visit(cell)
    return list(ordered.values())


def _in_processes(todo: list[Cell], store: Store, machine: Machine, workers: int, bars: _Bars) -> None:
    share = replace(machine, threads=machine.threads or max(1, (os.cpu_count() or 1) // workers))
    beginning = Beginning.here(share.settle)
    # Spawned, not forked: a forked child hangs in torch's thread pool.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), beginning.begin)
    waiting, running = list(todo), dict[Future[None], Cell]()
    missing = {cell.key for cell in todo}
    try:
        with no_orphans():
            while waiting or running:
                ready = [cell for cell in waiting if not any(need.key in missing for need in cell.needs)]
                for cell in ready[: 2 * workers - len(running)]:
                    waiting.remove(cell)
                    bars.begin(cell, here=False)
                    running[pool.submit(_run, cell, store.root, share)] = cell
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    cell = running.pop(future)
                    future.result()
                    missing.discard(cell.key)
                    bars.end()
    except BrokenProcessPool:
        raise InputError(f"{ENDED}.") from None
    except BaseException:
        # Ctrl-C or an error in one cell: the others stop where they stand; their checkpoints stay.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _run(cell: Cell, root: os.PathLike[str], machine: Machine) -> None:
    cell.run(Store(root), machine)


class _Bars(AbstractContextManager):
    """One bar over the cells, and below it one for the cell at work in this process."""

    def __init__(self, cells: int, quiet: bool) -> None:
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
        self.all = self.progress.add_task("cells", total=cells, rate="")
        self.cell: TaskID | None = None

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def begin(self, cell: Cell, *, here: bool) -> None:
        self.progress.update(self.all, description=cell.label)
        if here and not self.progress.disable:
            self.cell = self.progress.add_task(f"  {cell.label}", total=cell.work(), rate="")

    def tick(self, n: int) -> None:
        if self.cell is not None:
            speed = self.progress.tasks[-1].speed
            self.progress.update(self.cell, advance=n, rate=f"{speed:,.0f}/s" if speed else "")

    def end(self) -> None:
        self.progress.advance(self.all)
        if self.cell is not None:
            self.progress.remove_task(self.cell)
            self.cell = None
