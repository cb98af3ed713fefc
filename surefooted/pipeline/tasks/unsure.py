"""Cells for what a victim is unsure of, image by image: what tells foreign images from its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surefooted.core.files import write_tensors
from surefooted.evaluation.metrics.uncertainty import unsure
from surefooted.models.prediction import answered
from surefooted.pipeline.runtime import Machine, Tick
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import Cell, Named, Part, Source, about_data, before
from surefooted.pipeline.tasks.blocks import ready
from surefooted.pipeline.tasks.tested import images_of


@dataclass(frozen=True, eq=False)
class Unsure(Cell):
    """Every uncertainty of a victim on a split, of its own data or of others; labels play no part.

    ``seed`` is of the draws of a victim that makes any, such as dropout masks.
    """

    victim: Source
    part: Part = "test"
    data: Named | None = None
    limit: int = 0
    seed: int = 0

    kind = "unsure"

    def about(self) -> dict[str, Any]:
        drawn = {"seed": self.seed} if self.seed else {}
        return {"victim": self.victim.key, "part": self.part, "limit": self.limit, **drawn, **about_data(self.data)}

    @property
    def needs(self) -> tuple[Cell, ...]:
        return before(self.victim)

    @property
    def label(self) -> str:
        return f"uncertainty of {self.victim} ({self.part})"

    def work(self) -> int:
        return 1

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        net = ready(self.victim, store, machine.device())
        images = images_of(self.victim, self.data, self.part, self.limit)
        parts = answered(net, images, unsure, seed=self.seed)
        tick(1)
        tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        write_tensors(into / "uncertainty.safetensors", tensors, {})

    def result(self, store: Store) -> dict[str, Tensor]:
        """By the name of the measure: one number an image, the higher the less sure."""
        return self.tensors(store, "uncertainty.safetensors")
