"""The tasks of distribution shift: a split corrupted by one type at five intensities, and predictions on it."""

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
from surefooted.data.order import Order
from surefooted.models.prediction import predict
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, trainings_of
from surefooted.pipeline.tasks.datasets import load_splits, order_fields, split_images
from surefooted.pipeline.tasks.evaluation import batch_size, load_for_eval
from surefooted.pipeline.workers import OnProgress

INTENSITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
# Images corrupted between two updates of the progress bar.
STEP = 1000
# Images that are corrupted and predicted before the next, where corrupted images are not stored.
STREAMED = 512


@dataclass(frozen=True, eq=False)
class CorruptionTask(Task):
    """The images of a split under one type of corruption, at each intensity, with 8 bits per pixel as official sets.

    Attributes:
        type: its name in ``surefooted.corruptions``.
        limit: corrupt the first ``limit`` images of the order; 0 for all.
        seed: keys the random draws, together with the row of each image.
        order: order of the images.
    """

    data: ComponentSpec
    type: str
    split: SplitName = "test"
    limit: int = 0
    seed: int = 0
    order: Order = "split"

    kind: ClassVar[str] = "corrupted"

    def arguments(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "checksum": load_splits(self.data).checksum,
            "corruptions": [complete("corruption", self._component(k)) for k in INTENSITIES],
            "part": self.split,
            "limit": self.limit,
            "seed": self.seed,
            **order_fields(self.order),
        }

    @property
    def label(self) -> str:
        return f"corrupt by {self.type}"

    def images(self) -> Images:
        return split_images(self.data, self.split, self.limit, self.order)

    def total_ticks(self) -> int:
        return len(INTENSITIES) * len(self.images())

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device, images = runtime.device(), self.images()
        levels = [self.level(intensity, images, device, tick) for intensity in INTENSITIES]
        write_tensors(into / "images.safetensors", {"x": torch.stack(levels)}, {})

    def level(
        self, intensity: Count, images: Images, device: torch.device, tick: OnProgress
    ) -> UInt8[Tensor, "n c h w"]:
        """The images at one intensity."""
        corrupt = build("corruption", self._component(intensity))
        parts = []
        for start in range(0, len(images), STEP):
            points = images.points(slice(start, start + STEP), device)
            x = corrupt(points.x, points.rows, seed=self.seed)
            parts.append((x * 255).round().to(torch.uint8).cpu())
            tick(len(points.y))
        return torch.cat(parts)

    def result(self, store: Store) -> UInt8[Tensor, "l n c h w"]:
        """Pixels from 0 to 255, the lowest intensity first."""
        return self.tensors(store, "images.safetensors")["x"]

    def _component(self, intensity: Count) -> ComponentSpec:
        return {self.type: {"severity": intensity}}


@dataclass(frozen=True, eq=False)
class CorruptedPredictTask(Task):
    """Predictions of a victim on corrupted images, at each intensity."""

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
            log_p.append(
                predict(net, Points(x / 255, images.y, images.rows), batch=batch_size(images.shape)).log_p.cpu()
            )
            tick(1)
        tensors = {"log_p": torch.stack(log_p), "y": images.y, "i": images.rows}
        write_tensors(into / "predictions.safetensors", tensors, {})

    def result(self, store: Store) -> list[Predictions]:
        """Predictions at each intensity, the lowest first."""
        stored = self.tensors(store, "predictions.safetensors")
        return [Predictions(log_p, stored["y"], stored["i"]) for log_p in stored["log_p"]]


@dataclass(frozen=True, eq=False)
class StreamedShiftTask(CorruptedPredictTask):
    """The same predictions, from images that are corrupted in passing and not stored: for a single classifier.

    Its key is that of ``CorruptedPredictTask``, so that each finds the results of the other.
    """

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device, images = runtime.device(), self.corrupted.images()
        net, levels = load_for_eval(self.victim, store, device), []
        for intensity in INTENSITIES:
            parts = []
            for start in range(0, len(images), STREAMED):
                part = images.take(slice(start, start + STREAMED))
                x = self.corrupted.level(intensity, part, device, lambda n: None)
                parts.append(predict(net, Points(x / 255, part.y, part.rows)).log_p.cpu())
            levels.append(torch.cat(parts))
            tick(1)
        tensors = {"log_p": torch.stack(levels), "y": images.y, "i": images.rows}
        write_tensors(into / "predictions.safetensors", tensors, {})
