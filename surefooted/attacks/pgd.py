"""Projected gradient ascent on any score: FGSM, R-FGSM and PGD."""

from __future__ import annotations

from typing import Literal

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle, Start
from surefooted.attacks.tracker import Keep
from surefooted.components.component import Count, NonNegative, Positive, component
from surefooted.core.norms import Norm, ball, check_step
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
    """Projected gradient descent (PGD): steps along the gradient of a score, each projected onto the ball.

    x_{k+1} = Π(x_k + α_k · steepest(∇ score(x_k))), where steepest is the sign for L∞ and the unit gradient for L2.

    Args:
        norm: norm of the ball, linf or l2.
        eps: radius of the ball, for pixels in [0, 1]: 8/255, not 8.
        steps: gradient steps from each start.
        step_size: α; by default 2.5 · eps / steps (Madry et al.).
        schedule: constant, or triangular (UTA: SVHN, latent): α_k = p − (p − α) · |2k / (steps − 1) − 1|, where
            p = max(α, eps / 5). This rises linearly from α to the peak p in the middle and falls back to α. With an odd
            number of steps the middle one has size p. With an even number the middle lies between two steps, and both
            have size p − (p − α) / (steps − 1), which is below p.
        start: clean; uniform in the ball (Madry et al.); or gaussian, a step of standard deviation sigma (EntM).
        sigma: standard deviation of the gaussian start, in pixels (EntM: 0.005; TRADES: 0.001).
        objective: the score to raise: cross_entropy, cw_margin (EntM's CW), kl_from_clean (TRADES), entropy (UTA).
        keep: found, worst, nearest or last; see ``Keep`` in ``attacks.tracker``.
        restarts: searches from fresh draws, on the examples not broken before.
        clip: keep pixels in [0, 1].

    Reference: Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.pgd(eps=0.1, steps=5)(net, points)
        >>> bool((result.size <= 0.1001).all())
        True
    """
    allowed = ball(norm, eps)
    check_step("step_size", step_size)
    alpha = step_size or 2.5 * eps / steps
    peak = max(alpha, eps / 5) if schedule == "triangular" else alpha

    def search(oracle: Oracle) -> None:
        s = oracle.state(x=oracle.draw(start, sigma))
        for k in oracle.iterate(steps, s):
            alpha_k = peak - (peak - alpha) * abs(2 * k / max(steps - 1, 1) - 1)
            s.x = oracle.project(s.x + alpha_k * oracle.ball.steepest(oracle.gradient(s.x)))
        oracle.finish(s.x)

    # Broken rows are dropped between steps, so a single step is taken by all.
    expected_share = (0.6, 0.6) if steps > 1 else (1.0, 1.0)
    return Attack(search, allowed, objective, steps + 1, keep, restarts, clip=clip, expected_share=expected_share)


@component
def fgsm(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    objective: Score = cross_entropy(),  # noqa: B008 - a value without state
    keep: Keep = "found",
    clip: bool = True,
) -> Attack:
    """Fast gradient sign method (FGSM): one step of size eps from the clean point.

    Args:
        norm, eps, objective, keep, clip: see ``pgd``.

    Reference: Goodfellow et al., *Explaining and harnessing adversarial examples*, ICLR 2015.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> int(sf.attacks.fgsm(eps=0.1)(net, points).queries.max()) <= 3
        True
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
    objective: Score = cross_entropy(),  # noqa: B008 - a value without state
    keep: Keep = "found",
    restarts: Count = 1,
    clip: bool = True,
) -> Attack:
    """Random-start FGSM (R-FGSM): one projected step from a uniform draw in the ball.

    The gradient is taken at the draw, as in Wong et al.; UTA's paper prints it at the clean point.

    Args:
        norm, eps, objective, keep, restarts, clip: see ``pgd``.
        step_size: size of the step; 1.25 · eps by default.

    Reference: Wong et al., *Fast is better than free: revisiting adversarial training*, ICLR 2020.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.r_fgsm(eps=0.1, restarts=3)(net, points)
        >>> bool((result.size <= 0.1001).all())
        True
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
