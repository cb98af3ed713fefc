"""What an attack found on a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.components.component import Whole, component
from surefooted.components.spec import base_name, build, complete
from surefooted.core.files import write_tensors
from surefooted.data.images import Images
from surefooted.pipeline.runtime import OnProgress, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, data_fields, trainings_of
from surefooted.pipeline.tasks.chunks import load_for_eval, run_in_chunks
from surefooted.pipeline.tasks.evaluation_data import eval_images
from surefooted.pipeline.tasks.sanity import SanityCheckTask

# Row-passes between two writings of an attack's results, and the least rows that keep a device busy.
BLOCK_WORK, BLOCK_LEAST = 2**18, {"cpu": 256, "cuda": 2048}


@dataclass(frozen=True, eq=False)
class AttackTask(Task):
    """Points of a split, moved by an attack on a victim. Make it with ``attacking``."""

    victim: Source
    attack: ComponentSpec
    part: SplitName
    data: ComponentSpec | None = None
    limit: int = 0
    seed: int = 0
    keep_points: bool = True

    kind = "attacked"

    def arguments(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "attack": self.attack,
            "part": self.part,
            "limit": self.limit,
            "seed": self.seed,
            "keep_points": self.keep_points,
            # 2: of several attacks too, every answer is the mean of so many passes.
            **({"eot": [2, self.eot]} if self.eot > 1 else {}),
            **data_fields(self.data),
        }

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    @property
    def label(self) -> str:
        return f"{base_name(self.attack)} on {self.victim} ({self.part})"

    def images(self) -> Images:
        return eval_images(self.victim, self.data, self.part, self.limit)

    @property
    def component(self) -> Attack:
        """Built anew each time: an attack holds functions, which do not travel to other processes."""
        return build("attack", self.attack)

    def total_ticks(self) -> int:
        attack = self.component
        return len(self.images()) * attack.restarts * attack.passes

    def gradient_free_passes(self) -> int:
        """What of it asks for no gradient."""
        attack = self.component
        return len(self.images()) * attack.restarts * attack.gradient_free

    def chunks(self, device: str) -> int:
        """Parts that are attacked one after another, and written down."""
        return -(-len(self.images()) // _block(self.component, torch.device(device)))

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device = runtime.device()
        net, images = load_for_eval(self.victim, store, device), self.images()
        attack = self.component

        def run(rows: slice) -> dict[str, Tensor]:
            points = images.points(rows, device)
            found = attack(net, points, seed=self.seed, progress=tick)
            tensors = {
                "rows": points.rows,
                "y": points.y,
                "found": found.found,
                "size": found.size,
                "queries": found.queries,
            }
            return tensors | ({"x": found.x} if self.keep_points else {})

        passes = attack.restarts * attack.passes
        tensors = run_in_chunks(work, len(images), _block(attack, device), run, lambda rows: tick(rows * passes))
        write_tensors(into / "attacked.safetensors", tensors, {})

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name: rows, y, found, size, queries, and x where points are kept."""
        return self.tensors(store, "attacked.safetensors")

    @property
    def sanity_check(self) -> SanityCheckTask:
        """The checks of the same victim on the same data, whose flags go with the robust accuracy."""
        return SanityCheckTask(self.victim, self.part, self.data)

    @property
    def eot(self) -> int:
        """Forward passes that each answer is the mean of."""
        return self.component.eot

    def distances(self, store: Store) -> Tensor:
        """How far each answer is from another: the size of what changed it, infinite where nothing did."""
        found = self.result(store)
        return torch.where(found["found"], found["size"], torch.inf)


@component
def attack_task(
    victim: Any,
    attack: Any,
    part: SplitName = "test",
    *,
    data: ComponentSpec | None = None,
    limit: Whole = 0,
    seed: Whole = 0,
    keep_points: bool = True,
) -> AttackTask:
    """An attack cell; its options as in ``Attacked``."""
    named = complete("attack", attack)
    return AttackTask(victim, named, part, data, limit, seed, keep_points)


def _block(attack: Attack, device: torch.device) -> int:
    """Rows that are attacked between two writings."""
    least = BLOCK_LEAST.get(device.type, BLOCK_LEAST["cuda"])
    return max(least, BLOCK_WORK // (attack.passes * attack.restarts))
