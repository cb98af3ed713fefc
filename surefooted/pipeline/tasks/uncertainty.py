"""The task that stores every uncertainty of a victim, image by image, for out-of-distribution detection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surefooted.core.files import write_tensors
from surefooted.data.order import Order
from surefooted.evaluation.metrics.uncertainty import uncertainties
from surefooted.models.prediction import map_logits
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, trainings_of
from surefooted.pipeline.tasks.datasets import data_fields, order_fields
from surefooted.pipeline.tasks.evaluation import eval_images, load_for_eval
from surefooted.pipeline.workers import OnProgress


@dataclass(frozen=True, eq=False)
class UncertaintyTask(Task):
    """Every uncertainty of a victim on a split of its own or of another data set. Labels are not used.

    Attributes:
        seed: seed of a victim that draws at random, such as MC dropout.
        order: order of the images, of which ``limit`` takes the first.
    """

    victim: Source
    split: SplitName = "test"
    data: ComponentSpec | None = None
    limit: int = 0
    seed: int = 0
    order: Order = "split"

    kind = "unsure"

    def arguments(self) -> dict[str, Any]:
        seed = {"seed": self.seed} if self.seed else {}
        chosen = {"part": self.split, "limit": self.limit, **order_fields(self.order)}
        return {"victim": self.victim.key, **chosen, **seed, **data_fields(self.data)}

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    @property
    def label(self) -> str:
        return f"uncertainty of {self.victim} ({self.split})"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = load_for_eval(self.victim, store, runtime.device())
        images = eval_images(self.victim, self.data, self.split, self.limit, self.order)
        parts = map_logits(net, images, uncertainties, seed=self.seed)
        tick(1)
        tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        write_tensors(into / "uncertainty.safetensors", tensors, {})

    def result(self, store: Store) -> dict[str, Tensor]:
        """(N,) uncertainties by the name of the measure; higher is less certain."""
        return self.tensors(store, "uncertainty.safetensors")
