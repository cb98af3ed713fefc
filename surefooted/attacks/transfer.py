"""Transfer: points crafted on a proxy, judged by another classifier. The black-box attack of the EntM paper."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.attacks.tracker import Adversarial
from surefooted.components.spec import build, complete, parse_spec
from surefooted.core.norms import per_row
from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.models.prediction import predict
from surefooted.models.victims import Victim, as_victim, to_device_of


def transfer(
    attack: str | dict[str, Any] | Attack,
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
    made = attack if isinstance(attack, Attack) else build("attack", as_transfer_attack(attack))
    points = images.points() if isinstance(images, Images) else images
    return evaluate_transfer(model, points, made(proxy, points, seed=seed, batch=batch).x, made)


def evaluate_transfer(model: nn.Module | Victim, points: Points, moved: Tensor, attack: Attack) -> Adversarial:
    """What a classifier says of points that were moved without it."""
    points = to_device_of(as_victim(model), points)
    moved = moved.to(points.x.device)
    answers = predict(model, points), predict(model, points._replace(x=moved), boxed=attack.clip)
    missed, wrong = (p.log_p.argmax(-1) != p.y for p in answers)
    x = torch.where(per_row(missed, moved), points.x, moved)
    return Adversarial(x, missed | wrong, attack.ball.size(x - points.x), torch.full_like(points.y, 2))


def as_transfer_attack(attack: Any) -> dict[str, Any]:
    """The attack's complete spec, with ``keep="last"`` where it has a choice and none was made."""
    name, given = parse_spec(attack)
    arguments = parse_spec(complete("attack", attack))[1]
    if "keep" in arguments and "keep" not in given:
        try:
            return complete("attack", {name: given | {"keep": "last"}})
        except InputError:  # one that knows found, worst and nearest only
            return complete("attack", {name: given | {"keep": "worst"}})
    return complete("attack", attack)
