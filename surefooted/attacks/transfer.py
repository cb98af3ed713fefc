"""Transfer attacks: adversarial examples crafted on a surrogate, evaluated on the victim. EntM's black-box attack."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack, warn_of_non_finite
from surefooted.attacks.tracker import AttackResult
from surefooted.components.spec import build, complete, parse_spec
from surefooted.core.finite import has_answer, is_misclassified
from surefooted.core.norms import per_row
from surefooted.core.types import Points, log_mean_softmax
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.models.prediction import map_logits
from surefooted.models.victims import Victim, as_victim, to_device_of


def transfer(
    attack: str | dict[str, Any] | Attack,
    model: nn.Module | Victim,
    proxy: nn.Module | Victim,
    images: Images | Points,
    *,
    seed: int = 0,
    batch: int = 512,
) -> AttackResult:
    """Attack ``proxy``, the surrogate, and evaluate ``model``, the victim, on the result: two queries per image.

    Args:
        attack: as for ``surefooted.attack``. An attack given by name uses ``keep="last"`` if it can and if no ``keep``
            was given: a point that has just left its class on the surrogate rarely leaves it on the victim.
        model: the victim, a module from pixels in [0, 1] to logits.
        proxy: the surrogate, on which the attack runs.
        images: images with their labels.
        seed: keys all draws of the attack.
        batch: images per forward pass at most.

    Returns:
        ``found`` is True where ``model`` misclassifies the clean image (size 0) or the perturbed one.

    Example:
        >>> import surefooted as sf
        >>> model, proxy = (sf.nets.mlp((1, 8, 8), 10) for _ in range(2))
        >>> result = sf.transfer({"pgd": {"eps": 0.1, "steps": 5}}, model, proxy, sf.digits(test_limit=20).test)
        >>> result.queries.unique()
        tensor([2])
    """
    made = attack if isinstance(attack, Attack) else build("attack", as_transfer_attack(attack))
    points = images.points() if isinstance(images, Images) else images
    return evaluate_transfer(model, points, made(proxy, points, seed=seed, batch=batch).x, made)


def evaluate_transfer(
    model: nn.Module | Victim, points: Points, moved: Tensor, attack: Attack, *, batch: int = 512
) -> AttackResult:
    """Evaluate a victim on points that an attack perturbed on a surrogate."""
    points = to_device_of(as_victim(model), points)
    moved = moved.to(points.x.device)
    clean = torch.cat(map_logits(model, points, log_mean_softmax, batch=batch))
    # What is returned is judged: the clean image where that is misclassified.
    x = torch.where(per_row(is_misclassified(clean, points.y), moved), points.x, moved)
    log_p = torch.cat(map_logits(model, points._replace(x=x), log_mean_softmax, batch=batch, boxed=attack.clip))
    size, queries = attack.ball.size(x - points.x), torch.full_like(points.y, 2)
    unanswered = (~has_answer(clean)).long() + ~has_answer(log_p)
    result = AttackResult(x, is_misclassified(log_p, points.y), size, queries, unanswered, torch.zeros_like(queries))
    warn_of_non_finite("The transfer", result, points.rows)
    return result


def as_transfer_attack(attack: Any) -> dict[str, Any]:
    """The complete spec of an attack, with ``keep="last"`` if the attack offers it and no ``keep`` was given.

    Example:
        >>> as_transfer_attack("pgd")["pgd"]["keep"], as_transfer_attack("square")["square"]["keep"]
        ('last', 'worst')
    """
    name, given = parse_spec(attack)
    arguments = parse_spec(complete("attack", attack))[1]
    if "keep" in arguments and "keep" not in given:
        try:
            return complete("attack", {name: given | {"keep": "last"}})
        except InputError:  # attacks that offer only found, worst and nearest
            return complete("attack", {name: given | {"keep": "worst"}})
    return complete("attack", attack)
