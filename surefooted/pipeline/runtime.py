"""Where computations run: device, precision and data-parallel processes, as arguments."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from surefooted.errors import InputError, did_you_mean
from surefooted.pipeline.workers import OnProgress, launch_workers

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

ACCELERATORS = ("auto", "cpu", "cuda")
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """What to run on.

    Attributes:
        accelerator: cpu or cuda; auto takes a GPU where there is one. Apple's has no float64, which metrics need.
        devices: processes that train data-parallel. This process spawns them and writes what they make, so that there
            is one holder of the store's lock.
        threads: of the CPU, per process; 0 leaves torch's choice.
    """

    accelerator: str = "auto"
    devices: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            suggested = did_you_mean(str(self.accelerator), ACCELERATORS)
            raise InputError(f"accelerator is {self.accelerator!r}.{suggested}")
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

    def launch(
        self, precision: Precision, function: Callable[..., Any], *arguments: Any, tick: OnProgress | None
    ) -> None:
        """Run ``function(fabric, *arguments, tick)``: here, or in ``devices`` processes, where it must be picklable.

        Raises:
            InputError: also where one is raised in a process, or the system ended one.
        """
        fabric = self._fabric(precision)
        if self.devices == 1:
            return function(fabric, *arguments, tick)
        launch_workers(fabric, self.apply_threads, function, arguments, tick)

    def apply_threads(self) -> None:
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


RECORDED = ("surefooted", "torch", "python", "device", "devices", "threads", "cores")


def provenance(runtime: Runtime) -> dict[str, Any]:
    """What numbers may depend on beside their arguments: a value for each name of ``RECORDED``."""
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
