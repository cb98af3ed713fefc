"""Attacks for AttackBench: tried with ``attackbenchlib`` 2.0.2 and the repository's interface of 2025."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.core.norms import L2, Linf
from surefooted.errors import ArgumentError
from surefooted.evaluation.adapters.adversarial_library import adv_lib_attack

_NORMS = {Linf: "linf", L2: "l2"}


def attackbench_attack(attack: Attack, *, seed: int = 0) -> Callable[..., Tensor]:
    """An attack as ``attackbench.run_attack`` takes it. The package itself is not needed to make it.

    AttackBench ranks attacks by the smallest perturbation that they find within 2,000 forward and backward passes per
    image, so minimal-norm attacks (``ddn``, ``fmn``, ``nearest_boundary``, ``carlini_wagner``) are what it is meant
    for. Surefooted's own checks (two images before the attack, all images after it) count among these passes.

    Args:
        attack: an attack such as ``sf.attacks.fmn(norm="l2")``.
        seed: of the first batch's draws; each further batch uses the next.

    Returns:
        A function of ``model, inputs, labels, targets, targeted, threat_model`` that returns the adversarial inputs. It
        refuses targets, and a threat model other than the attack's norm.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> attack = attackbench_attack(sf.attacks.fmn(norm="l2", steps=5))
        >>> net, x, y = sf.nets.mlp((1, 8, 8), 10), torch.rand(4, 1, 8, 8), torch.arange(4)
        >>> attack(model=net, inputs=x, labels=y, threat_model="l2").shape
        torch.Size([4, 1, 8, 8])
    """
    norm, attacked = _NORMS.get(type(attack.ball)), adv_lib_attack(attack, seed=seed)

    def run(
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        targeted: bool = False,
        threat_model: str | None = None,
    ) -> Tensor:
        if threat_model not in (None, norm):
            raise ArgumentError(f"`threat_model` is {threat_model!r}, but the attack's norm is {norm!r}.")
        return attacked(model, inputs, labels, targeted=targeted or targets is not None)

    name = attack.spec.name if attack.spec else "attack"
    run.__name__ = name
    vars(run).update(_attackbench_name=name, _attackbench_lib="surefooted")
    return run
