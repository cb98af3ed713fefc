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
from surefooted.core.types import Points, class_scores
from surefooted.data.arrays import as_images
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.models.guard import gives_gradients
from surefooted.models.prediction import map_logits
from surefooted.models.victims import BATCH, Victim, as_victim, check_input, to_device_of, tried_images, try_model


def transfer(
    attack: str | dict[str, Any] | Attack,
    model: nn.Module | Victim,
    proxy: nn.Module | Victim,
    images: Any,
    *,
    seed: int = 0,
    batch: int = BATCH,
) -> AttackResult:
    """Attack ``proxy``, the surrogate, and evaluate ``model``, the victim, on the result: two queries per image.

    Args:
        attack: as for ``surefooted.attack``. An attack given by name uses ``keep="last"`` if it can and if no ``keep``
            was given: a point that has just left its class on the surrogate rarely leaves it on the victim.
        model: the victim, a module from pixels in [0, 1] to logits.
        proxy: the surrogate, on which the attack runs.
        images: images with their labels, as for ``surefooted.attack``.
        seed: keys all draws of the attack.
        batch: images per forward pass at most, of both models.

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
    given = as_images(images)
    points = given.points() if isinstance(given, Images) else given
    return evaluate_transfer(model, points, made(proxy, points, seed=seed, batch=batch).x, made, batch=batch)


def evaluate_transfer(
    model: nn.Module | Victim, points: Points, moved: Tensor, attack: Attack, *, batch: int = BATCH
) -> AttackResult:
    """Evaluate a victim on points that an attack perturbed on a surrogate."""
    victim = as_victim(model)
    points = to_device_of(victim, check_input(victim, points, batch))
    moved = moved.to(points.x.device)
    if gives_gradients(victim.nets):
        try_model(victim, points.x[: tried_images(victim, batch)])
    clean = torch.cat(map_logits(victim, points, class_scores, batch=batch))
    # What is returned is judged: the clean image where that is misclassified.
    x = torch.where(per_row(is_misclassified(clean, points.y), moved), points.x, moved)
    answers = torch.cat(map_logits(victim, points._replace(x=x), class_scores, batch=batch, boxed=attack.clip))
    size, queries = attack.ball.size(x - points.x), torch.full_like(points.y, 2)
    unanswered = (~has_answer(clean)).long() + ~has_answer(answers)
    result = AttackResult(x, is_misclassified(answers, points.y), size, queries, unanswered, torch.zeros_like(queries))
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
