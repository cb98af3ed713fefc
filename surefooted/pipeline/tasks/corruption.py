"""Cells of distribution shift: a split corrupted by one type at five intensities, and what a victim says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from surefooted.components.component import Count
from surefooted.components.spec import build, complete
from surefooted.core.files import write_tensors
from surefooted.core.predictions import Predictions
from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.models.prediction import predict
from surefooted.pipeline.runtime import OnProgress, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, load_splits, trainings_of
from surefooted.pipeline.tasks.chunks import load_for_eval
from surefooted.pipeline.tasks.evaluation_data import images_in

INTENSITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
# Images corrupted between two words to the progress bar.
STEP = 1000


@dataclass(frozen=True, eq=False)
class CorruptionTask(Task):
    """The images of a split under one type of corruption, at each intensity; 8 bits a pixel, as official sets have.

    Attributes:
        type: its name in ``surefooted.data.corruptions``.
        limit: the first so many images; 0 for all.
        seed: of the draws, keyed by it and by the row of each image.
    """

    data: ComponentSpec
    type: str
    part: SplitName = "test"
    limit: int = 0
    seed: int = 0

    kind: ClassVar[str] = "corrupted"

    def arguments(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "checksum": load_splits(self.data).checksum,
            "corruptions": [complete("corruption", self._at(k)) for k in INTENSITIES],
            "part": self.part,
            "limit": self.limit,
            "seed": self.seed,
        }

    @property
    def label(self) -> str:
        return f"corrupt by {self.type}"

    def images(self) -> Images:
        return images_in(self.data, self.part, self.limit)

    def total_ticks(self) -> int:
        return len(INTENSITIES) * len(self.images())

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device, images = runtime.device(), self.images()
        levels = [self.level(intensity, images, device, tick) for intensity in INTENSITIES]
        write_tensors(into / "images.safetensors", {"x": torch.stack(levels)}, {})

    def level(
        self, intensity: Count, images: Images, device: torch.device, tick: OnProgress
    ) -> UInt8[Tensor, "n c h w"]:
        corrupt = build("corruption", self._at(intensity))
        parts = []
        for a in range(0, len(images), STEP):
            points = images.points(slice(a, a + STEP), device)
            x = corrupt(points.x, points.rows, seed=self.seed)
            parts.append((x * 255).round().to(torch.uint8).cpu())
            tick(len(points.y))
        return torch.cat(parts)

    def result(self, store: Store) -> UInt8[Tensor, "l n c h w"]:
        """Pixels from 0 to 255, the least intensity first."""
        return self.tensors(store, "images.safetensors")["x"]

    def _at(self, intensity: Count) -> ComponentSpec:
        return {self.type: {"severity": intensity}}


@dataclass(frozen=True, eq=False)
class CorruptedPredictTask(Task):
    """What a victim predicts on corrupted images, at each intensity."""

    victim: Source
    corrupted: CorruptionTask

    kind: ClassVar[str] = "shifted"

    def arguments(self) -> dict[str, Any]:
        return {"victim": self.victim.key, "corrupted": self.corrupted.key}

    @property
    def requires(self) -> tuple[Task, ...]:
        return (*trainings_of(self.victim), self.corrupted)

    @property
    def label(self) -> str:
        return f"predict under {self.corrupted.type}"

    def total_ticks(self) -> int:
        return len(INTENSITIES)

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = load_for_eval(self.victim, store, runtime.device())
        images, log_p = self.corrupted.images(), []
        for x in self.corrupted.result(store):
            log_p.append(predict(net, Points(x / 255, images.y, images.rows)).log_p.cpu())
            tick(1)
        tensors = {"log_p": torch.stack(log_p), "y": images.y, "i": images.rows}
        write_tensors(into / "predictions.safetensors", tensors, {})

    def result(self, store: Store) -> list[Predictions]:
        """One for each intensity, the least first."""
        held = self.tensors(store, "predictions.safetensors")
        return [Predictions(log_p, held["y"], held["i"]) for log_p in held["log_p"]]
