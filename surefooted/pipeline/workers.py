"""Processes that work for this one: spread over several, begun alike, ended together, and what the first tells."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefooted.data.paths import data_root, set_data_root
from surefooted.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from lightning_fabric import Fabric

OnProgress = Callable[[int], None]
ENDED = (
    "a process was ended by the system, perhaps for want of memory; use fewer --workers or --devices, or a smaller "
    "--recipe.batch, and run the same command again, it goes on where it was"
)


def launch_workers(
    fabric: Fabric,
    apply_threads: Callable[[], None],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    tick: OnProgress | None,
) -> None:
    """Run ``function(fabric, *arguments, tick)`` in all processes of a Fabric that spawns them.

    Args:
        apply_threads: see ``Beginning``; function and arguments have to be picklable, too.
        tick: is called in this process with what the first of them tells.

    Raises:
        InputError: also where one is raised in a process, or the system ended one.
    """
    from torch.multiprocessing import ProcessExitedException

    receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
    news = _ProgressPipe(receive, tick)
    # One object: Fabric looks into arguments that are collections, and trips over frozen dataclasses.
    process = partial(_in_process, WorkerSetup.here(apply_threads), send, function, arguments)
    try:
        with news, no_orphans():
            fabric.launch(process)
    except Exception as error:
        if news.fault is not None:
            raise InputError(news.fault) from None
        if isinstance(error, ProcessExitedException):
            raise InputError(f"{ENDED} ({error}).") from None
        raise


@dataclass(frozen=True)
class WorkerSetup:
    """What a spawned process takes over from the one that started it.

    Attributes:
        apply_threads: applies what holds for a whole process, such as its number of threads; picklable.
    """

    parent: int
    root: Path | None
    apply_threads: Callable[[], None]

    @staticmethod
    def here(apply_threads: Callable[[], None]) -> WorkerSetup:
        return WorkerSetup(os.getpid(), data_root(), apply_threads)

    def begin(self) -> None:
        """End with the parent, however it ends: a killed study must not go on in the background."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets Ctrl-C too, and ends this process
        threading.Thread(target=self._watch, daemon=True).start()
        if self.root is not None and self.root.is_dir():
            set_data_root(self.root)
        self.apply_threads()

    def _watch(self) -> None:
        while os.getppid() == self.parent:
            time.sleep(0.5)
        os._exit(1)


@contextmanager
def no_orphans() -> Iterator[None]:
    """After an error or Ctrl-C end the processes that the block began; what they write is whole or not there."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise


def _in_process(
    beginning: WorkerSetup, send: Connection, function: Callable, arguments: tuple[Any, ...], fabric: Fabric
) -> None:
    """What each process runs. The first of them speaks for all; where it fails, the parent ends the others."""
    beginning.begin()
    first = fabric.global_rank == 0
    try:
        function(fabric, *arguments, send.send if first else None)
    except InputError as error:
        if not first:
            time.sleep(10)
            raise
        send.send(str(error))
        raise SystemExit(1) from None
    _leave(fabric)


def _leave(fabric: Fabric) -> None:
    """Take leave of the other processes: threads of the collectives must not meet an interpreter that is ending."""
    import torch

    fabric.barrier()
    torch.distributed.destroy_process_group()


class _ProgressPipe(threading.Thread):
    """Reads what the first process tells: how many steps it took, or its InputError."""

    def __init__(self, receive: Connection, tick: OnProgress | None) -> None:
        super().__init__(daemon=True)
        self.receive, self.tick = receive, tick
        self.fault: str | None = None
        self.over = threading.Event()

    def run(self) -> None:
        while True:
            if self.receive.poll(0.1):
                message = self.receive.recv()
                if isinstance(message, str):
                    self.fault = message
                elif self.tick:
                    self.tick(message)
            elif self.over.is_set():
                return

    def __enter__(self) -> _ProgressPipe:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.join()
