"""Where computations run: device, precision and strategy, as arguments."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from surefooted.errors import InputError

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

Accelerator = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Machine:
    """What to run on.

    Attributes:
        accelerator: auto takes a GPU where there is one.
        devices: processes that train data-parallel.
        strategy: Lightning Fabric's name for how they do: auto, ddp, ddp_spawn, ...
        threads: of the CPU, per process; 0 leaves torch's choice.
    """

    accelerator: Accelerator = "auto"
    devices: int = 1
    strategy: str = "auto"
    threads: int = 0

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

    def fabric(self, precision: Precision) -> Fabric:
        """A Fabric with this machine's devices, launched."""
        from lightning_fabric import Fabric

        exact: Any = {"fp32": "32-true", "bf16": "bf16-mixed"}[precision]
        fabric = Fabric(accelerator=self.device().type, devices=self.devices, strategy=self.strategy, precision=exact)
        if self.devices > 1:
            fabric.launch()
        return fabric

    def settle(self) -> None:
        """Apply what holds for the whole process."""
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)


def provenance() -> dict[str, Any]:
    """What numbers may depend on beside their arguments."""
    import torch

    from surefooted import __version__

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "surefooted": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
