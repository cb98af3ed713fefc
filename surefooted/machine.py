"""Where computations run: device, precision and data-parallel processes, as arguments."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from surefooted.data.paths import data_root, set_data_root
from surefooted.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import torch
    from lightning_fabric import Fabric

ACCELERATORS = ("auto", "cpu", "cuda")
Precision = Literal["fp32", "bf16"]
STRATEGIES = ("auto", "ddp", "ddp_spawn")
Tick = Callable[[int], None]


@dataclass(frozen=True)
class Machine:
    """What to run on.

    Attributes:
        accelerator: cpu or cuda; auto takes a GPU where there is one. Apple's has no float64, which metrics need.
        devices: processes that train data-parallel. This process spawns them and writes what they make, so that there
            is one holder of the store's lock.
        strategy: Lightning Fabric's name for how they do: ddp, ddp_spawn, or auto; all spawn the processes.
        threads: of the CPU, per process; 0 leaves torch's choice.
    """

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("accelerator", ACCELERATORS), ("strategy", STRATEGIES)):
            if (value := getattr(self, name)) not in choices:
                raise InputError(f"{name} is {value!r}.{did_you_mean(str(value), choices)}")
        for name, least in (("devices", 1), ("threads", 0)):
            if not isinstance(value := getattr(self, name), int) or value < least:
                raise InputError(f"{name} is {value!r}; expected a whole number from {least}.")

    def device(self) -> torch.device:
        """The device of a single process."""
        import torch

        name = self.accelerator
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and not torch.cuda.is_available():
            raise InputError(
                "no CUDA device is visible to torch; use --accelerator cpu, or install a CUDA build of torch."
            )
        return torch.device(name)

    def launch(self, precision: Precision, function: Callable[..., Any], *arguments: Any, tick: Tick | None) -> None:
        """Run ``function(fabric, *arguments, tick)``: here, or in ``devices`` processes, where it must be picklable.

        Raises:
            InputError: also where one is raised in a process, or the system ended one.
        """
        fabric = self._fabric(precision)
        if self.devices == 1:
            return function(fabric, *arguments, tick)
        from torch.multiprocessing import ProcessExitedException

        receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
        news = _News(receive, tick)
        # One object: Fabric looks into arguments that are collections, and trips over frozen dataclasses.
        process = partial(_in_process, Beginning.here(self.threads), send, function, arguments)
        try:
            with news, no_orphans():
                fabric.launch(process)
        except Exception as error:
            if news.fault is not None:
                raise InputError(news.fault) from None
            if isinstance(error, ProcessExitedException):
                raise InputError(f"{ENDED} ({error}).") from None
            raise

    def settle(self) -> None:
        """Apply what holds for the whole process."""
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        _keep_memory()

    def _fabric(self, precision: Precision) -> Fabric:
        import torch
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import LightningEnvironment
        from lightning_fabric.strategies import DDPStrategy

        exact: Any = {"fp32": "32-true", "bf16": "bf16-mixed"}[precision]
        kind = self.device().type
        if self.devices == 1:
            return Fabric(accelerator=kind, devices=1, precision=exact)
        there = {"cpu": self.devices, "cuda": torch.cuda.device_count()}.get(kind, 1)
        if self.devices > there:
            raise InputError(f"--devices is {self.devices}, and there are {there} ({kind}); use at most so many.")
        # Told that nobody else starts processes, Fabric does not look for a cluster's launcher.
        spawned: Any = DDPStrategy(start_method="spawn", cluster_environment=LightningEnvironment())
        return Fabric(accelerator=kind, devices=self.devices, strategy=spawned, precision=exact)


def _keep_memory() -> None:
    """Have glibc keep what is freed: to hand large blocks back and fault them in anew is a fifth of a small step."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # another C library
    for threshold in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        mallopt(threshold, 2**30)


ENDED = (
    "a process was ended by the system, perhaps for want of memory; use fewer --workers or --devices, or a smaller "
    "--recipe.batch, and run the same command again, it goes on where it was"
)


@dataclass(frozen=True)
class Beginning:
    """What a spawned process takes over from the one that started it."""

    parent: int
    root: Path | None
    threads: int

    @staticmethod
    def here(threads: int) -> Beginning:
        return Beginning(os.getpid(), data_root(), threads)

    def begin(self) -> None:
        """End with the parent, however it ends: a killed study must not go on in the background."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets Ctrl-C too, and ends this process
        threading.Thread(target=self._watch, daemon=True).start()
        if self.root is not None and self.root.is_dir():
            set_data_root(self.root)
        Machine(threads=self.threads).settle()

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
    beginning: Beginning, send: Connection, function: Callable, arguments: tuple[Any, ...], fabric: Fabric
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


class _News(threading.Thread):
    """Reads what the first process tells: how many steps it took, or its InputError."""

    def __init__(self, receive: Connection, tick: Tick | None) -> None:
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

    def __enter__(self) -> _News:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.join()


RECORDED = ("surefooted", "torch", "python", "device", "devices", "threads", "cores")


def provenance(machine: Machine) -> dict[str, Any]:
    """What numbers may depend on beside their arguments: a value for each name of ``RECORDED``."""
    import torch

    from surefooted import __version__

    device = machine.device()
    return {
        "surefooted": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "devices": machine.devices,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
