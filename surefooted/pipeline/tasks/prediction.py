"""The task that stores what a victim predicts, on clean images or on adversarial examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefooted.core.files import write_tensors
from surefooted.core.predictions import Predictions
from surefooted.core.types import Points
from surefooted.data.order import Order
from surefooted.errors import ArgumentError
from surefooted.models.prediction import predict
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attack import AttackTask
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, trainings_of
from surefooted.pipeline.tasks.datasets import data_fields, order_fields
from surefooted.pipeline.tasks.evaluation import batch_size, eval_images, load_for_eval
from surefooted.pipeline.workers import OnProgress


@dataclass(frozen=True, eq=False)
class PredictTask(Task):
    """Predictions of a victim on a split, or on the points of an attack, perhaps one on another victim.

    Attributes:
        source_attack: the attack whose points are predicted; None for clean images.
        seed: seed of a victim that draws at random, such as MC dropout.
        order: order of clean images, of which ``limit`` takes the first.
    """

    victim: Source
    split: SplitName = "test"
    source_attack: AttackTask | None = None
    data: ComponentSpec | None = None
    limit: int = 0
    seed: int = 0
    order: Order = "split"

    kind = "predicted"

    def __post_init__(self) -> None:
        if self.source_attack is not None:
            self.source_attack.check_readable_by(self.victim)
            if self.split != self.source_attack.split:
                raise ArgumentError(
                    f"The attack is on the {self.source_attack.split} split, but `split` is {self.split!r}."
                )

    def arguments(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "part": self.split,
            "moved": self.source_attack.key if self.source_attack else None,
            "limit": self.limit,
            **({"seed": self.seed} if self.seed else {}),
            **order_fields(self.order),
            **data_fields(self.data),
        }

    @property
    def requires(self) -> tuple[Task, ...]:
        return (*trainings_of(self.victim), *((self.source_attack,) if self.source_attack else ()))

    @property
    def label(self) -> str:
        return f"predict {'attacked' if self.source_attack else 'clean'} {self.split}"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = load_for_eval(self.victim, store, runtime.device())
        if self.source_attack is None:
            images = eval_images(self.victim, self.data, self.split, self.limit, self.order)
            p = predict(net, images, batch=batch_size(images.shape), seed=self.seed)
        else:
            attacked = self.source_attack.result(store)
            points = Points(attacked["x"], attacked["y"], attacked["rows"])
            batch = batch_size(tuple(points.x.shape[1:]))
            p = predict(net, points, batch=batch, seed=self.seed, boxed=self.source_attack.component.clip)
        tick(1)
        # "i", not "rows": files in older stores use that name.
        write_tensors(into / "predictions.safetensors", {"log_p": p.log_p, "y": p.y, "i": p.rows}, {})

    def result(self, store: Store) -> Predictions:
        stored = self.tensors(store, "predictions.safetensors")
        return Predictions(stored["log_p"], stored["y"], stored["i"])
