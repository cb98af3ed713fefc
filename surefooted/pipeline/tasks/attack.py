"""The tasks that attack a victim and check that its robust accuracy can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.attacks.tracker import AttackResult
from surefooted.components.component import Whole, component, in_slot
from surefooted.components.spec import base_name, complete, digest
from surefooted.core.files import read_json, write_json, write_tensors
from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.data.order import Order
from surefooted.errors import ArgumentError
from surefooted.evaluation.checks import SANITY_CHECK_IMAGES, Flag, SanityCheck, sanity_check, sanity_flags
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.victims import BATCH
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import (
    ComponentSpec,
    Source,
    SplitName,
    Task,
    component_of,
    trainings_of,
)
from surefooted.pipeline.tasks.datasets import data_fields, order_fields, training_data
from surefooted.pipeline.tasks.evaluation import batch_size, eval_images, images_to_check, load_for_eval, run_in_chunks
from surefooted.pipeline.workers import OnProgress

# Columns of a result that count, per image, what was not finite during the attack.
COUNTERS = ("non_finite_answers", "non_finite_gradients")
# Forward passes × images between two chunks, and the fewest images that keep a device busy.
CHUNK_PASSES, SMALLEST_CHUNK = 2**18, {"cpu": 256, "cuda": 2048}
# Chunks consist of whole batches, so that the verdict is given in the same batches as predictions on the result.
CHUNK_BATCH = BATCH


@dataclass(frozen=True, eq=False)
class AttackTask(Task):
    """Adversarial examples that an attack finds for a victim on a split. Made by ``attack_task``."""

    victim: Source
    attack: ComponentSpec
    split: SplitName
    data: ComponentSpec | None = None
    limit: int = 0
    seed: int = 0
    keep_points: bool = True
    order: Order = "split"

    kind = "attacked"

    def arguments(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "attack": self.attack,
            "part": self.split,
            "limit": self.limit,
            "seed": self.seed,
            "keep_points": self.keep_points,
            # 2: unions of attacks average every answer over the forward passes as well.
            **({"eot": [2, self.eot]} if self.eot > 1 else {}),
            **order_fields(self.order),
            **data_fields(self.data),
        }

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    @property
    def label(self) -> str:
        return f"{base_name(self.attack)} on {self.victim} ({self.split})"

    @cached_property
    def component(self) -> Attack:
        """The attack itself."""
        attack: Attack = component_of("attack", self.attack)
        return attack

    @property
    def eot(self) -> int:
        """Forward passes averaged per prediction (expectation over transformation)."""
        return self.component.eot

    @property
    def sanity_check(self) -> SanityCheckTask:
        """The checks of the same victim on the same data, whose flags go with the robust accuracy."""
        return SanityCheckTask(self.victim, self.split, self.data)

    def images(self) -> Images:
        return eval_images(self.victim, self.data, self.split, self.limit, self.order)

    def total_ticks(self) -> int:
        return len(self.images()) * self.component.restarts * self.component.passes

    def gradient_free_passes(self) -> int:
        """Of the progress ticks, forward passes × images that ask for no gradient."""
        return len(self.images()) * self.component.restarts * self.component.gradient_free

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device, attack = runtime.device(), self.component
        net, images = load_for_eval(self.victim, store, device), self.images()
        batch = batch_size(images.shape)

        def run(rows: slice) -> dict[str, Tensor]:
            points = images.points(rows, device)
            result = attack(net, points, seed=self.seed, batch=batch, progress=tick)
            return columns_of(points, result, keep_points=self.keep_points)

        passes = attack.restarts * attack.passes
        tensors = run_in_chunks(work, len(images), _chunk_size(attack, device), run, lambda rows: tick(rows * passes))
        write_tensors(into / "attacked.safetensors", without_idle_counters(tensors), {})

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name, one entry per image: rows, y, found, size, queries, and x if points are kept.

        ``COUNTERS`` are among them where logits or gradients were not finite.
        """
        return self.tensors(store, "attacked.safetensors")

    def distances(self, store: Store) -> Tensor:
        """(N,) size of the perturbation that changes each answer, infinite where none was found."""
        result = self.result(store)
        return torch.where(result["found"], result["size"], torch.inf)

    def check_readable_by(self, victim: Source) -> None:
        """Refuse, before it runs, an attack whose points another task cannot use.

        Raises:
            ArgumentError: if it keeps no points.
            DataError: if ``victim`` is another one and was trained on the images.
        """
        if not self.keep_points:
            raise ArgumentError("This attack keeps no points, but a later task reads them. Set `keep_points=True`.")
        if victim is not self.victim:
            eval_images(victim, self.data or training_data(self.victim), self.split, self.limit, self.order)


def columns_of(points: Points, result: AttackResult, *, keep_points: bool) -> dict[str, Tensor]:
    """What an artifact holds of an attack's result, one entry per image."""
    columns = {"rows": points.rows, "y": points.y, **result._asdict()}
    return {name: t for name, t in columns.items() if t is not None and (keep_points or name != "x")}


def without_idle_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without those ``COUNTERS`` that counted nothing, as for every ordinary model."""
    return {name: t for name, t in tensors.items() if name not in COUNTERS or bool(t.any())}


@component
def attack_task(
    victim: Any,
    attack: Any,
    split: SplitName = "test",
    *,
    data: ComponentSpec | None = None,
    limit: Whole = 0,
    seed: Whole = 0,
    keep_points: bool = True,
    order: Order = "split",
) -> AttackTask:
    """The task of an attack.

    Args:
        victim: a task or source that a network is loaded from.
        attack: a name, ``{name: arguments}`` or an ``Attack``.
        split: train, validation or test.
        data: complete spec of a data set; None for the one that the victim was trained on.
        limit: attack the first ``limit`` images of the order; 0 for all.
        keep_points: store the perturbed images.
        order: order of the images; see ``data.order``.
    """
    with in_slot("attack"):
        spec = complete("attack", attack)
    return AttackTask(victim, spec, split, data, limit, seed, keep_points, order)


@dataclass(frozen=True, eq=False)
class SanityCheckTask(Task):
    """Answers of a victim to a few clean images: the flags that go with every robust accuracy."""

    victim: Source
    split: SplitName = "test"
    data: ComponentSpec | None = None

    kind = "probed"

    def arguments(self) -> dict[str, Any]:
        return {"victim": self.victim.key, "part": self.split, **self._mode(), **data_fields(self.data)}

    def _mode(self) -> dict[str, str]:
        """The mode in which somebody else's module came: the check compares it with evaluation mode."""
        if not isinstance(self.victim, ExternalModel | InMemoryModel):
            return {}  # our own networks are loaded in evaluation mode
        training = [name for name, module in self.victim.load().named_modules() if module.training]
        return {"mode": f"training {digest(training)[:16]}" if training else "evaluation"}

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    @property
    def label(self) -> str:
        return f"sanity checks of {self.victim}"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = self.victim.load(store).to(runtime.device())
        images = eval_images(self.victim, self.data, self.split, SANITY_CHECK_IMAGES)
        points = images.points(slice(0, images_to_check(self.victim, images.shape)), runtime.device())
        write_json(into / "probe.json", sanity_check(net, points).json())
        tick(1)

    def result(self, store: Store) -> SanityCheck:
        with store.reading(self.kind, self.key) as place:
            return SanityCheck(**read_json(place / "probe.json"))

    def flags(self, store: Store, *, eot: int = 1) -> list[Flag]:
        """All flags that the checks raise.

        Args:
            eot: forward passes averaged per prediction by the attack that the flags go with.
        """
        return sanity_flags(self.result(store), eot=eot)


def _chunk_size(attack: Attack, device: torch.device) -> int:
    """Images that are attacked between two writings."""
    smallest = SMALLEST_CHUNK.get(device.type, SMALLEST_CHUNK["cuda"])
    images = max(smallest, CHUNK_PASSES // (attack.passes * attack.restarts))
    return -(-images // CHUNK_BATCH) * CHUNK_BATCH
