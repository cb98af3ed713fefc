"""The task that reads an official release of corrupted test images, such as CIFAR-10-C, in place of our corruptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from surefooted.components.component import Count
from surefooted.core.files import sha256_of
from surefooted.data.corruption_releases import cifar_c, find_release
from surefooted.data.images import Images
from surefooted.data.paths import directory, locate
from surefooted.pipeline.tasks.corruption import CorruptionTask
from surefooted.pipeline.workers import OnProgress


@dataclass(frozen=True, eq=False)
class ReleasedCorruptionTask(CorruptionTask):
    """The images of a test set as an official release corrupted them, at each intensity.

    Attributes:
        folder: the folder of the release, below the data root.
        first: row of the first test image.
    """

    folder: str = "CIFAR-10-C"
    first: int = 50_000

    def arguments(self) -> dict[str, Any]:
        arguments = super().arguments()
        del arguments["corruptions"], arguments["seed"]
        file = find_release(directory(locate(self.folder)), f"{self.type}.npy", "type of corruption")
        return arguments | {"released": self.type, "file": sha256_of(file), "first": self.first}

    @property
    def label(self) -> str:
        return f"read {self.type}"

    def level(
        self, intensity: Count, images: Images, device: torch.device, tick: OnProgress
    ) -> UInt8[Tensor, "n c h w"]:
        corrupted = cifar_c(self.folder, self.type, intensity, images, first=self.first).x[:]
        tick(len(images))
        return corrupted
