"""The attack on models that smooth their labels: cross-entropy against labels smoothed by every amount in turn."""

from __future__ import annotations

from functools import partial

from surefooted.attacks.base import Attack
from surefooted.attacks.combine import worst_of
from surefooted.attacks.oracle import Start
from surefooted.attacks.pgd import pgd
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import smoothed_cross_entropy
from surefooted.errors import InputError


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
    """Adaptive attack on EntM and label smoothing: PGD on cross-entropy smoothed by each γ; a row's worst γ counts.

    A model trained to keep its entropy high answers the plain cross-entropy with small gradients; labels smoothed as
    its own are what it was made to be sure of. EntM reports for each attack the γ that is worst for all examples
    together; here each row has its own, which is never weaker: γ after γ sees the rows that withstood those before.

    Args:
        norm, eps, steps, step_size, start, sigma, clip: of each PGD; see ``pgd``.
        gammas: amounts of smoothing, 0 = the plain cross-entropy, 1 = the uniform distribution.

    Raises:
        InputError: for no gammas.

    Source: EntM, section 5.2.2, with γ from 0 to 1 by 0.1.
    """
    if not gammas:
        raise InputError("adaptive_smoothing has no gammas; give at least one, such as 0.")
    one = partial(pgd, norm=norm, eps=eps, steps=steps, step_size=step_size, start=start, sigma=sigma, clip=clip)
    return worst_of(attacks=tuple(one(objective=smoothed_cross_entropy(gamma=gamma)) for gamma in gammas))
