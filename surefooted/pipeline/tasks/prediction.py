"""What a victim predicts on a split, or at points that an attack moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefooted.core.files import write_tensors
from surefooted.core.predictions import Predictions
from surefooted.core.types import Points
from surefooted.errors import InputError
from surefooted.models.prediction import predict
from surefooted.pipeline.runtime import OnProgress, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attack import AttackTask
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, data_fields, trainings_of
from surefooted.pipeline.tasks.chunks import load_for_eval
from surefooted.pipeline.tasks.evaluation_data import eval_images, training_data


@dataclass(frozen=True, eq=False)
class PredictTask(Task):
    """What a victim predicts on a split, or on points that an attack moved (perhaps away from another victim).

    ``seed`` is of the draws of a victim that makes any, such as dropout masks.
    """

    victim: Source
    part: SplitName = "test"
    moved: AttackTask | None = None
    data: ComponentSpec | None = None
    limit: int = 0
    seed: int = 0

    kind = "predicted"

    def __post_init__(self) -> None:
        if self.moved is not None:
            check_keeps_points(self.moved)
            check_not_trained_on(self.victim, self.moved)
            if self.part != self.moved.part:
                raise InputError(f"the attack moved points of the {self.moved.part} split, not of {self.part}.")

    def arguments(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "part": self.part,
            "moved": self.moved.key if self.moved else None,
            "limit": self.limit,
            **({"seed": self.seed} if self.seed else {}),
            **data_fields(self.data),
        }

    @property
    def requires(self) -> tuple[Task, ...]:
        return (*trainings_of(self.victim), *((self.moved,) if self.moved else ()))

    @property
    def label(self) -> str:
        return f"predict {'attacked' if self.moved else 'clean'} {self.part}"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = load_for_eval(self.victim, store, runtime.device())
        if self.moved is None:
            p = predict(net, eval_images(self.victim, self.data, self.part, self.limit), seed=self.seed)
        else:
            found = self.moved.result(store)
            boxed = self.moved.component.clip
            p = predict(net, Points(found["x"], found["y"], found["rows"]), seed=self.seed, boxed=boxed)
        tick(1)
        # "i", not "rows": files of older stores have that name.
        write_tensors(into / "predictions.safetensors", {"log_p": p.log_p, "y": p.y, "i": p.rows}, {})

    def result(self, store: Store) -> Predictions:
        stored = self.tensors(store, "predictions.safetensors")
        return Predictions(stored["log_p"], stored["y"], stored["i"])


def check_not_trained_on(victim: Source, moved: AttackTask) -> None:
    """Refuse points that were moved for another victim, where this one has learnt the images."""
    if victim is not moved.victim:
        eval_images(victim, moved.data or training_data(moved.victim), moved.part, moved.limit)


def check_keeps_points(moved: AttackTask) -> None:
    """Refuse an attack whose points nobody will find, before it is run."""
    if not moved.keep_points:
        raise InputError("this attack keeps no points, and a prediction at them needs them; make it with keep_points.")
