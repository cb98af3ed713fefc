"""Transfer: points crafted on a proxy, judged by another classifier. The black-box attack of the EntM paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.cell.attacked import Attacked
from surefooted.cell.base import Cell, Named, Part, Source, before
from surefooted.cell.blocks import ready
from surefooted.cell.predicted import check_kept, check_unlearnt
from surefooted.cell.probed import Probed
from surefooted.cell.tested import own_data
from surefooted.core import Points
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.files import write_tensors
from surefooted.geometry import per_row
from surefooted.machine import Machine, Tick
from surefooted.prediction import predict
from surefooted.records import Adversarial
from surefooted.spec import build, complete, split
from surefooted.store import Store
from surefooted.views import Victim, placed, victim_of


def transfer(
    attack: str | Named | Attack,
    model: nn.Module | Victim,
    proxy: nn.Module | Victim,
    images: Images | Points,
    *,
    seed: int = 0,
    batch: int = 512,
) -> Adversarial:
    """Attack ``proxy`` and see what that does to ``model``, of which nothing but two answers an image is asked.

    Args:
        attack: as for ``surefooted.attack``. One given by name hands on its last iterate where it can: a point that has
            just left its class on the proxy rarely leaves it elsewhere.

    Returns:
        ``found`` says whether ``model`` is wrong, at the clean image (size 0) or where the proxy's attack moved it.
    """
    made = attack if isinstance(attack, Attack) else build("attack", far(attack))
    points = images.points() if isinstance(images, Images) else images
    return judged(model, points, made(proxy, points, seed=seed, batch=batch).x, made)


def judged(model: nn.Module | Victim, points: Points, moved: Tensor, attack: Attack) -> Adversarial:
    """What a classifier says of points that were moved without it."""
    points = placed(victim_of(model), points)
    moved = moved.to(points.x.device)
    answers = predict(model, points), predict(model, points._replace(x=moved), boxed=attack.clip)
    missed, wrong = (p.log_p.argmax(-1) != p.y for p in answers)
    x = torch.where(per_row(missed, moved), points.x, moved)
    return Adversarial(x, missed | wrong, attack.ball.size(x - points.x), torch.full_like(points.y, 2))


def far(attack: Any) -> Named:
    """The attack's complete spec, with ``keep="last"`` where it has a choice and none was made."""
    name, given = split(attack)
    arguments = split(complete("attack", attack))[1]
    if "keep" in arguments and "keep" not in given:
        try:
            return complete("attack", {name: given | {"keep": "last"}})
        except InputError:  # one that knows found, worst and nearest only
            return complete("attack", {name: given | {"keep": "worst"}})
    return complete("attack", attack)


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
