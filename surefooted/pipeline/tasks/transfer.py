"""The task of a transfer attack: points crafted on a surrogate, evaluated on the victim (EntM's black-box attack)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from surefooted.attacks.transfer import evaluate_transfer
from surefooted.core.files import write_tensors
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attack import AttackTask, SanityCheckTask, columns_of, without_idle_counters
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, trainings_of
from surefooted.pipeline.tasks.datasets import training_data
from surefooted.pipeline.tasks.evaluation import batch_size, load_for_eval
from surefooted.pipeline.workers import OnProgress


@dataclass(frozen=True, eq=False)
class TransferTask(Task):
    """Whether the points that an attack crafted on a surrogate mislead a victim.

    Attributes:
        source_attack: the attack on the surrogate.
    """

    victim: Source
    source_attack: AttackTask
    keep_points: bool = True

    kind = "transferred"

    def __post_init__(self) -> None:
        self.source_attack.check_readable_by(self.victim)

    def arguments(self) -> dict[str, Any]:
        kept = {} if self.keep_points else {"keep_points": False}
        return {"victim": self.victim.key, "moved": self.source_attack.key, **kept}

    @property
    def requires(self) -> tuple[Task, ...]:
        return (*trainings_of(self.victim), self.source_attack)

    @property
    def label(self) -> str:
        return f"transfer {self.source_attack.label}"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device = runtime.device()
        net, points = load_for_eval(self.victim, store, device), self.source_attack.images().points(device=device)
        crafted = self.source_attack.result(store)["x"].to(device)
        result = evaluate_transfer(
            net, points, crafted, self.source_attack.component, batch=batch_size(points.x.shape[1:])
        )
        tensors = columns_of(points, result, keep_points=self.keep_points)
        write_tensors(into / "attacked.safetensors", without_idle_counters(tensors), {})
        tick(1)

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name: rows, y, found, size, queries, and x if points are kept; one entry per image."""
        return self.tensors(store, "attacked.safetensors")

    @property
    def attack(self) -> ComponentSpec:
        return self.source_attack.attack

    @property
    def split(self) -> SplitName:
        return self.source_attack.split

    @property
    def eot(self) -> int:
        """1: the victim is asked once per image."""
        return 1

    @property
    def sanity_check(self) -> SanityCheckTask:
        return SanityCheckTask(
            self.victim, self.source_attack.split, self.source_attack.data or training_data(self.source_attack.victim)
        )
