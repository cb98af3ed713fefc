"""Transfer: points crafted on a proxy, judged by another classifier. The black-box attack of the EntM paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from surefooted.attacks.transfer import judged
from surefooted.core.files import write_tensors
from surefooted.pipeline.runtime import Machine, Tick
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attacked import Attacked
from surefooted.pipeline.tasks.base import Cell, Named, Part, Source, before
from surefooted.pipeline.tasks.blocks import ready
from surefooted.pipeline.tasks.predicted import check_kept, check_unlearnt
from surefooted.pipeline.tasks.probed import Probed
from surefooted.pipeline.tasks.tested import own_data


@dataclass(frozen=True, eq=False)
class Transferred(Cell):
    """Points that an attack moved on a proxy, and whether they mislead a victim."""

    victim: Source
    moved: Attacked
    keep_points: bool = True

    kind = "transferred"

    def __post_init__(self) -> None:
        check_kept(self.moved)
        check_unlearnt(self.victim, self.moved)

    def about(self) -> dict[str, Any]:
        kept = {} if self.keep_points else {"keep_points": False}
        return {"victim": self.victim.key, "moved": self.moved.key, **kept}

    @property
    def needs(self) -> tuple[Cell, ...]:
        return (*before(self.victim), self.moved)

    @property
    def label(self) -> str:
        return f"judge {self.moved.label}"

    def work(self) -> int:
        return 1

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        device = machine.device()
        net, points = ready(self.victim, store, device), self.moved.images().points(device=device)
        moved = self.moved.result(store)["x"].to(device)
        found = judged(net, points, moved, self.moved.built)
        tensors = {"rows": points.i, "y": points.y, **found._asdict()}
        if not self.keep_points:
            del tensors["x"]
        write_tensors(into / "attacked.safetensors", tensors, {})
        tick(1)

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name: rows, y, found, size, queries, and x where points are kept."""
        return self.tensors(store, "attacked.safetensors")

    @property
    def attack(self) -> Named:
        return self.moved.attack

    @property
    def part(self) -> Part:
        return self.moved.part

    @property
    def eot(self) -> int:
        return 1

    @property
    def probed(self) -> Probed:
        return Probed(self.victim, self.moved.part, self.moved.data or own_data(self.moved.victim))
