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
from surefooted.pipeline.runtime import Machine, Tick
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attacked import Attacked
from surefooted.pipeline.tasks.base import Cell, Named, Part, Source, about_data, before
from surefooted.pipeline.tasks.blocks import ready
from surefooted.pipeline.tasks.tested import images_of, own_data


@dataclass(frozen=True, eq=False)
class Predicted(Cell):
    """What a victim predicts on a split, or on points that an attack moved (perhaps away from another victim).

    ``seed`` is of the draws of a victim that makes any, such as dropout masks.
    """

    victim: Source
    part: Part = "test"
    moved: Attacked | None = None
    data: Named | None = None
    limit: int = 0
    seed: int = 0

    kind = "predicted"

    def __post_init__(self) -> None:
        if self.moved is not None:
            check_kept(self.moved)
            check_unlearnt(self.victim, self.moved)
            if self.part != self.moved.part:
                raise InputError(f"the attack moved points of the {self.moved.part} split, not of {self.part}.")

    def about(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "part": self.part,
            "moved": self.moved.key if self.moved else None,
            "limit": self.limit,
            **({"seed": self.seed} if self.seed else {}),
            **about_data(self.data),
        }

    @property
    def needs(self) -> tuple[Cell, ...]:
        return (*before(self.victim), *((self.moved,) if self.moved else ()))

    @property
    def label(self) -> str:
        return f"predict {'attacked' if self.moved else 'clean'} {self.part}"

    def work(self) -> int:
        return 1

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        net = ready(self.victim, store, machine.device())
        if self.moved is None:
            p = predict(net, images_of(self.victim, self.data, self.part, self.limit), seed=self.seed)
        else:
            found = self.moved.result(store)
            boxed = self.moved.built.clip
            p = predict(net, Points(found["x"], found["y"], found["rows"]), seed=self.seed, boxed=boxed)
        tick(1)
        write_tensors(into / "predictions.safetensors", p._asdict(), {})

    def result(self, store: Store) -> Predictions:
        return Predictions(**self.tensors(store, "predictions.safetensors"))


def check_unlearnt(victim: Source, moved: Attacked) -> None:
    """Refuse points that were moved for another victim, where this one has learnt the images."""
    if victim is not moved.victim:
        images_of(victim, moved.data or own_data(moved.victim), moved.part, moved.limit)


def check_kept(moved: Attacked) -> None:
    """Refuse an attack whose points nobody will find, before it is run."""
    if not moved.keep_points:
        raise InputError("this attack keeps no points, and a prediction at them needs them; make it with keep_points.")
