"""Attacks as attacks of foolbox 3: tried with 3.3.4."""

from __future__ import annotations

from functools import cache
from itertools import count
from math import isinf
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.core.norms import Linf
from surefooted.core.packages import import_package
from surefooted.errors import ArgumentError, ModelError
from surefooted.evaluation.adapters.shared import with_eps


def foolbox_attack(attack: Attack, *, seed: int = 0) -> Any:
    """An attack as one of foolbox: ``raw, clipped, is_adv = attack(fmodel, inputs, criterion, epsilons=...)``.

    An attack within a ball becomes a ``FixedEpsilonAttack``, which runs once per ε; a minimal-norm attack (``ddn``,
    ``fmn``, ``carlini_wagner``, ``nearest_boundary``) becomes a ``MinimizationAttack``. Radii are in the bounds of the
    foolbox model. Every run draws anew, so ``attack.repeat(3)`` has three different starts.

    Args:
        attack: an attack such as ``sf.attacks.pgd()``; its own radius is not used.
        seed: of the first run's draws; each further run uses the next.

    Raises:
        DependencyError: if foolbox is missing or broken.

    Example:
        >>> import surefooted as sf
        >>> attack = foolbox_attack(sf.attacks.pgd(steps=10))  # doctest: +SKIP
        >>> raw, clipped, is_adv = attack(fmodel, x, y, epsilons=[2 / 255, 8 / 255])  # doctest: +SKIP
    """
    return _attack_class(isinf(attack.ball.eps))(attack, seed)


class _RescaledModel(nn.Module):
    """A foolbox model on pixels in [0, 1]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.model.bounds
        logits: Tensor = self.model((low + (high - low) * x).clamp(low, high))
        return logits


@cache
def _attack_class(minimal: bool) -> type:
    fb = import_package("foolbox", "An attack of foolbox", "foolbox")
    ep = import_package("eagerpy", "An attack of foolbox", "eagerpy")
    base: Any = fb.attacks.base.MinimizationAttack if minimal else fb.attacks.base.FixedEpsilonAttack

    class SurefootedAttack(base):  # type: ignore[misc]
        def __init__(self, attack: Attack, seed: int) -> None:
            self.attack, self.seeds = attack, count(seed)

        @property
        def distance(self) -> Any:
            return fb.distances.linf if isinstance(self.attack.ball, Linf) else fb.distances.l2

        def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: Any = None, early_stop: Any = None) -> Any:
            x, restore = ep.astensor_(inputs)
            criterion = fb.attacks.base.get_criterion(criterion)
            if not isinstance(criterion, fb.criteria.Misclassification):
                raise ArgumentError(
                    f"`criterion` is {criterion}; Surefooted's attacks are untargeted. Pass the labels."
                )
            if not isinstance(x.raw, torch.Tensor):
                raise ModelError(f"The inputs are of {type(x.raw).__module__}; expected tensors of PyTorch.")
            low, high = model.bounds
            attack = self.attack if epsilon is None else with_eps(self.attack, epsilon / (high - low))
            found = attack(
                _RescaledModel(model), (x.raw - low) / (high - low), criterion.labels.raw, seed=next(self.seeds)
            )
            return restore(ep.astensor((low + (high - low) * found.x).clamp(low, high)))

    return SurefootedAttack
