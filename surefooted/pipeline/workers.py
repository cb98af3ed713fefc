"""Worker processes: launched for data-parallel training, set up alike, ended together, and their progress."""

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

import surefooted.errors as errors
from surefooted.data.paths import data_root, set_data_root
from surefooted.errors import InputError, WorkerError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from lightning_fabric import Fabric

OnProgress = Callable[[int], None]
WORKER_LOST = (
    "The system ended a worker process, perhaps for lack of memory. Use fewer `workers` or `devices`, or a smaller "
    "`recipe.batch`, and run the same command again: it resumes where it was"
)


def launch_workers(
    fabric: Fabric,
    setup: Callable[[], None],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    tick: OnProgress | None,
) -> None:
    """Run ``function(fabric, *arguments, tick)`` in all processes of a Fabric that spawns them.

    Args:
        setup: see ``WorkerSetup``. It, the function and its arguments must be picklable.
        tick: called in this process with the progress of the first worker.

    Raises:
        InputError: if one is raised in a worker.
        WorkerError: if the system ended a worker.
    """
    from torch.multiprocessing.spawn import ProcessExitedException

    receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
    progress = _ProgressPipe(receive, tick)
    # One object: Fabric looks into arguments that are collections, and fails on frozen dataclasses.
    process = partial(_run_in_worker, WorkerSetup.of_this_process(setup), send, function, arguments)
    try:
        with progress, terminate_on_error():
            fabric.launch(process)
    except Exception as error:
        if progress.fault is not None:
            name, text = progress.fault
            raise getattr(errors, name)(text) from None
        if isinstance(error, ProcessExitedException):
            raise WorkerError(f"{WORKER_LOST} ({error}).") from None
        raise


@dataclass(frozen=True)
class WorkerSetup:
    """What a spawned process takes over from its parent.

    Attributes:
        parent: process ID; the worker ends when its parent does.
        root: the data root, if there is one.
        settings: applies process-wide settings, such as the number of threads; picklable.
    """

    parent: int
    root: Path | None
    settings: Callable[[], None]

    @staticmethod
    def of_this_process(settings: Callable[[], None]) -> WorkerSetup:
        return WorkerSetup(os.getpid(), data_root(), settings)

    def apply(self) -> None:
        """Set up a worker. It ends with its parent, however that ends: a killed study must not go on unseen."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives Ctrl-C too, and ends this process
        threading.Thread(target=self._watch_parent, daemon=True).start()
        if self.root is not None and self.root.is_dir():
            set_data_root(self.root)
        self.settings()

    def _watch_parent(self) -> None:
        while os.getppid() == self.parent:
            time.sleep(0.5)
        os._exit(1)


@contextmanager
def terminate_on_error() -> Iterator[None]:
    """After an error or Ctrl-C, end the processes that the block started. Files are written whole or not at all."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise


def _run_in_worker(
    setup: WorkerSetup, send: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], fabric: Fabric
) -> None:
    """The body of each worker. The first one reports for all; if it fails, the parent ends the others."""
    setup.apply()
    first = fabric.global_rank == 0
    try:
        function(fabric, *arguments, send.send if first else None)
    except InputError as error:
        if not first:
            time.sleep(10)
            raise
        send.send((type(error).__name__, str(error)))
        raise SystemExit(1) from None
    _leave_group(fabric)


def _leave_group(fabric: Fabric) -> None:
    """Leave the process group together: threads of the collectives must not outlive the interpreter."""
    import torch

    fabric.barrier()
    torch.distributed.destroy_process_group()


class _ProgressPipe(threading.Thread):
    """Reads what the first worker sends: numbers of steps, or the class and text of its InputError."""

    def __init__(self, receive: Connection, tick: OnProgress | None) -> None:
        super().__init__(daemon=True)
        self.receive, self.tick = receive, tick
        self.fault: tuple[str, str] | None = None
        self.closed = threading.Event()

    def run(self) -> None:
        while True:
            if self.receive.poll(0.1):
                message = self.receive.recv()
                if isinstance(message, tuple):
                    self.fault = message
                elif self.tick:
                    self.tick(message)
            elif self.closed.is_set():
                return

    def __enter__(self) -> _ProgressPipe:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closed.set()
        self.join()
