"""Projected gradient ascent on any score: FGSM, R-FGSM and PGD."""

from __future__ import annotations

from typing import Literal

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle, Start
from surefooted.attacks.tracker import Keep
from surefooted.components.component import Count, NonNegative, Positive, component
from surefooted.core.norms import Norm, ball
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Score


@component
def pgd(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    steps: Count = 40,
    step_size: Positive | None = None,
    schedule: Literal["constant", "triangular"] = "constant",
    start: Start = "uniform",
    sigma: NonNegative = 0.005,
    objective: Score = cross_entropy(),  # noqa: B008 - a value without state
    keep: Keep = "found",
    restarts: Count = 1,
    clip: bool = True,
) -> Attack:
    """Projected gradient descent (PGD): steps up the gradient of a score, each brought back into the ball.

    x_{k+1} = Π(x_k + α_k · steepest(∇ score(x_k))), where steepest is the sign for L∞ and the unit gradient for L2.

    Args:
        norm: of the ball, linf or l2.
        eps: its radius, in pixels' [0, 1]: 8/255, not 8.
        step_size: α; by default 2.5 · eps / steps (Madry).
        schedule: triangular goes linearly from α to max(α, eps / 5) at half the steps and back (UTA: SVHN, latent).
        start: clean, uniform in the ball (Madry), or a Gaussian step (EntM: sigma 0.005; TRADES: 0.001).
        objective: the score to raise: cross_entropy, cw_margin (EntM's CW), kl_from_clean (TRADES), entropy (UTA).
        keep: found, worst, nearest or last; see ``surefooted.attacks.oracle.Oracle``.

    Source: Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018.
    """
    first = step_size or 2.5 * eps / steps
    peak = max(first, eps / 5) if schedule == "triangular" else first

    def search(oracle: Oracle) -> None:
        s = oracle.state(x=oracle.draw(start, sigma))
        for k in oracle.rounds(steps, s):
            alpha = peak - (peak - first) * abs(2 * k / max(steps - 1, 1) - 1)
            s.x = oracle.project(s.x + alpha * oracle.ball.steepest(oracle.gradient(s.x)))
        oracle.finish(s.x)

    return Attack(search, ball(norm, eps), objective, steps + 1, keep, restarts, clip=clip)


@component
def fgsm(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    objective: Score = cross_entropy(),  # noqa: B008
    keep: Keep = "found",
    clip: bool = True,
) -> Attack:
    """Fast gradient sign method (FGSM): one step of size eps from the clean point.

    Source: Goodfellow et al., *Explaining and harnessing adversarial examples*, ICLR 2015.
    """
    return pgd(
        norm=norm, eps=eps, steps=1, step_size=eps or None, start="clean", objective=objective, keep=keep, clip=clip
    )


@component
def r_fgsm(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    step_size: Positive | None = None,
    objective: Score = cross_entropy(),  # noqa: B008
    keep: Keep = "found",
    restarts: Count = 1,
    clip: bool = True,
) -> Attack:
    """Random-start FGSM (R-FGSM): one step from a uniform draw in the ball, projected.

    The gradient is taken at the draw, as in Wong et al.; UTA's paper prints it at the clean point.

    Args:
        step_size: 1.25 · eps by default (Wong et al., *Fast is better than free*, ICLR 2020).
    """
    return pgd(
        norm=norm,
        eps=eps,
        steps=1,
        step_size=step_size or 1.25 * eps or None,
        objective=objective,
        keep=keep,
        restarts=restarts,
        clip=clip,
    )
