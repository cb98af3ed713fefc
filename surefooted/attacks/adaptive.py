"""The adaptive attack on models that smooth their labels: cross-entropy with labels smoothed by one γ after another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from surefooted.attacks.base import Attack
from surefooted.attacks.combine import worst_of
from surefooted.attacks.oracle import Start
from surefooted.attacks.pgd import pgd
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import smoothed_cross_entropy
from surefooted.errors import ArgumentError


@component
def adaptive_smoothing(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    steps: Count = 40,
    step_size: Positive | None = None,
    gammas: tuple[Share, ...] = tuple(k / 10 for k in range(11)),
    start: Start = "uniform",
    sigma: NonNegative = 0.005,
    clip: bool = True,
) -> Attack:
    """Adaptive attack on EntM and label smoothing: PGD on cross-entropy smoothed by each γ, the worst γ per example.

    A model trained for high entropy has small gradients of the plain cross-entropy. Labels smoothed like its own are
    the ones that it was trained to predict. EntM reports for each attack the γ that is worst for all examples together.
    Here each example has its own γ, which is never weaker: every γ attacks the examples that withstood those before.

    Args:
        norm, eps, steps, step_size, start, sigma, clip: of each PGD; see ``pgd``.
        gammas: amounts of smoothing, from 0 (plain cross-entropy) to 1 (uniform distribution).

    Raises:
        ArgumentError: if ``gammas`` is empty.

    Reference: EntM, section 5.2.2, with γ from 0 to 1 in steps of 0.1.

    Example:
        >>> import surefooted as sf
        >>> attack = sf.attacks.adaptive_smoothing(eps=0.1, steps=5, gammas=[0, 0.5])
        >>> net, points = sf.nets.mlp((1, 8, 8), 10), sf.digits(test_limit=20).test.points()
        >>> int(attack(net, points).queries.max()) <= 1 + attack.passes
        True
    """
    if not gammas:
        raise ArgumentError("adaptive_smoothing: gammas is empty; give at least one number, such as 0.")
    attack = partial(pgd, norm=norm, eps=eps, steps=steps, step_size=step_size, start=start, sigma=sigma, clip=clip)
    union = worst_of(attacks=tuple(attack(objective=smoothed_cross_entropy(gamma=gamma)) for gamma in gammas))
    return replace(union, expected_share=(0.8, 0.8))
