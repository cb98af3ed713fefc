"""Attacks in the calling convention of adversarial-library (``adv_lib``): tried with 0.2.8."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.errors import ArgumentError
from surefooted.evaluation.adapters.shared import with_eps


def adv_lib_attack(attack: Attack, *, seed: int = 0, batch: int = 512) -> Callable[..., Tensor]:
    """An attack as a function ``(model, inputs, labels, targeted=False, eps=None) -> adversarial inputs``.

    It goes where an attack of adversarial-library goes, such as ``adv_lib.utils.attack_utils.run_attack``. The package
    itself is not needed. Every call draws anew.

    Args:
        attack: an attack such as ``sf.attacks.pgd(eps=8 / 255)``.
        seed: of the first call's draws; each further call uses the next.
        batch: images per forward pass at most.

    Returns:
        The function. Its ``eps`` (or ``ε``) replaces the radius of the attack. It refuses ``targeted=True``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> attack = adv_lib_attack(sf.attacks.pgd(eps=0.1, steps=3))
        >>> net, x, y = sf.nets.mlp((1, 8, 8), 10), torch.rand(4, 1, 8, 8), torch.arange(4)
        >>> bool(((attack(net, x, y) - x).abs() <= 0.1001).all())
        True
    """
    seeds = count(seed)

    def run(
        model: nn.Module, inputs: Tensor, labels: Tensor, targeted: bool = False, eps: float | None = None, **ε: float
    ) -> Tensor:
        if targeted:
            raise ArgumentError("`targeted` is True, but Surefooted's attacks are untargeted. Leave it out.")
        if unknown := ε.keys() - {"ε"}:
            raise ArgumentError(f"`{min(unknown)}` is no argument of this call. Set it when the attack is built.")
        radius = ε.get("ε", eps)
        chosen = attack if radius is None else with_eps(attack, float(radius))
        return chosen(model, inputs, labels, seed=next(seeds), batch=batch).x

    run.__name__ = attack.spec.name if attack.spec else "attack"
    return run
