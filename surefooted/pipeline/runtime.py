"""Where computations run: device, precision, and the number of data-parallel processes."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from surefooted.errors import ArgumentError, did_you_mean
from surefooted.pipeline.workers import OnProgress, launch_workers

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

ACCELERATORS = ("auto", "cpu", "cuda")
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """The device and processes that computations run on.

    Attributes:
        accelerator: cpu or cuda; auto takes a GPU if there is one. Apple GPUs are not supported: they have no float64,
            which metrics need.
        devices: number of processes that train data-parallel. This process spawns them and writes what they make, so
            that a single process holds the store's lock.
        threads: CPU threads per process; 0 for torch's default.

    Example:
        >>> import surefooted as sf
        >>> sf.Runtime("cpu", threads=1).device()
        device(type='cpu')
    """

    accelerator: str = "auto"
    devices: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            suggestion = did_you_mean(str(self.accelerator), ACCELERATORS)
            raise ArgumentError(f"`accelerator` is {self.accelerator!r}.{suggestion}")
        for name, minimum in (("devices", 1), ("threads", 0)):
            if not isinstance(value := getattr(self, name), int) or value < minimum:
                raise ArgumentError(f"`{name}` is {value!r}; expected a whole number of at least {minimum}.")

    def device(self) -> torch.device:
        """The device of a single process."""
        import torch

        name = self.accelerator
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and not torch.cuda.is_available():
            raise ArgumentError("torch sees no CUDA device. Set `accelerator=cpu`, or install a CUDA build of torch.")
        return torch.device(name)

    def launch(
        self, precision: Precision, function: Callable[..., Any], *arguments: Any, tick: OnProgress | None
    ) -> None:
        """Run ``function(fabric, *arguments, tick)`` here, or in ``devices`` processes (it must be picklable then).

        Raises:
            InputError: if one is raised in a process.
            WorkerError: if the system ended a process.
        """
        fabric = self._fabric(precision)
        if self.devices == 1:
            function(fabric, *arguments, tick)
        else:
            launch_workers(fabric, self.apply_threads, function, arguments, tick)

    def apply_threads(self) -> None:
        """Apply process-wide settings: the number of threads, and how freed memory is kept."""
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        _keep_freed_memory()

    def _fabric(self, precision: Precision) -> Fabric:
        import torch
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy

        fabric_precision: Any = {"fp32": "32-true", "bf16": "bf16-mixed"}[precision]
        accelerator = self.device().type
        if self.devices == 1:
            return Fabric(accelerator=accelerator, devices=1, precision=fabric_precision)
        available = {"cpu": self.devices, "cuda": torch.cuda.device_count()}.get(accelerator, 1)
        if self.devices > available:
            raise ArgumentError(f"`devices` is {self.devices}, but {available} ({accelerator}) are available.")
        # With an explicit environment Fabric does not look for a cluster's launcher.
        strategy: Any = DDPStrategy(start_method="spawn", cluster_environment=LightningEnvironment())
        return Fabric(accelerator=accelerator, devices=self.devices, strategy=strategy, precision=fabric_precision)


def _keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: returning large blocks and faulting them in again costs a fifth of a small step.

    Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for threshold in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        mallopt(threshold, 2**30)


RECORDED = ("surefooted", "torch", "python", "device", "devices", "threads", "cores")


def provenance(runtime: Runtime) -> dict[str, Any]:
    """What numbers may depend on besides their arguments: a value for each name in ``RECORDED``."""
    import torch

    from surefooted import __version__

    device = runtime.device()
    return {
        "surefooted": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "devices": runtime.devices,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
