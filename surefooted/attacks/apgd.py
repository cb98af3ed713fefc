"""Auto-PGD: projected gradient ascent that adapts its step size for each row, and its targeted form."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Literal

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import Keep
from surefooted.components.component import Count, NonNegative, Share, component
from surefooted.core.norms import Norm, ball, per_row
from surefooted.core.scores import cross_entropy, targeted_dlr
from surefooted.core.types import Score

VERSION = {"apgd_t": 2}  # keep="worst" returns the worst of all targets
_MOMENTUM = 0.75


@component
def apgd(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    steps: Count = 100,
    objective: Score = cross_entropy(),  # noqa: B008 - a value without state
    restarts: Count = 1,
    rho: Share = 0.75,
    eot: Count = 1,
    keep: Keep = "found",
    clip: bool = True,
) -> Attack:
    """Auto-PGD (APGD): ascent with momentum that halves its step and returns to its best point when progress stalls.

    From a draw on the edge of the ball,

        x_{k+1} = Π(x_k + 0.75 · (Π(x_k + α · steepest(g_k)) − x_k) + 0.25 · (x_k − x_{k−1})),

    starting with α = 2 · eps. At checkpoints, which come closer and closer, an example halves α in two cases: its score
    rose in at most a share ``rho`` of the steps since the last checkpoint; or its best score has not risen since the
    last checkpoint, at which α was not halved.

    Args:
        norm: norm of the ball, linf or l2.
        eps: radius of the ball, for pixels in [0, 1]: 8/255, not 8.
        steps: gradient steps from each start.
        objective: the score to raise; AutoAttack uses cross_entropy and dlr.
        restarts: searches from fresh draws, on the examples not broken before.
        rho: share of steps in which the score must rise for α to stay.
        eot: forward passes averaged per prediction; above 1 for stochastic victims (AutoAttack: 20).
        keep: found, worst, nearest or last; see ``Keep`` in ``attacks.tracker``.
        clip: keep pixels in [0, 1].

    Reference: Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks*, ICML 2020, algorithm 1; start, momentum and checkpoints as in their code.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.apgd(eps=0.1, steps=5, objective="dlr")(net, points)
        >>> bool((result.size <= 0.1001).all())
        True
    """
    search = apgd_search(steps, rho)
    return Attack(search, ball(norm, eps), objective, (steps + 1) * eot, keep, restarts, clip=clip, eot=eot)


@component
def apgd_t(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    steps: Count = 100,
    targets: Count = 9,
    restarts: Count = 1,
    rho: Share = 0.75,
    eot: Count = 1,
    keep: Literal["found", "worst", "nearest"] = "found",
    clip: bool = True,
) -> Attack:
    """Targeted Auto-PGD (APGD-T): one APGD towards each likely wrong class, on the targeted difference-of-logits ratio.

    On a model with fewer than 4 classes, for which the ratio is not defined, the attack raises an ``InputError``.

    Args:
        norm, eps, steps, restarts, rho, eot, clip: see ``apgd``.
        targets: wrong classes to try, the likeliest at the clean point first; at most all of them. Each attacks only
            the examples that withstood those before.
        keep: found, worst (the greatest margin over all targets) or nearest; see ``Keep`` in ``attacks.tracker``.

    Reference: see ``apgd``.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> attack = sf.attacks.apgd_t(eps=0.1, steps=5, targets=3)
        >>> int(attack(net, points).queries.max()) <= 1 + attack.passes
        True
    """
    search_target = apgd_search(steps, rho)

    def search(oracle: Oracle) -> None:
        for rank in range(1, min(targets, oracle.classes - 1) + 1):
            if oracle.active_count:
                oracle.set_objective(targeted_dlr(rank=rank))
                search_target(oracle)

    passes = targets * (steps + 1) * eot
    return Attack(
        search, ball(norm, eps), targeted_dlr(), passes, keep, restarts, clip=clip, eot=eot, tries_candidates=True
    )


def apgd_search(steps: int, rho: float) -> Callable[[Oracle], None]:
    """The search of APGD, for the current objective of the oracle."""
    window_at = checkpoints(steps)

    def search(oracle: Oracle) -> None:
        x, zeros = _draw_on_edge(oracle), torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        s = oracle.state(x=x, previous=x, value=zeros + inf, rises=zeros, alpha=zeros + 2 * oracle.ball.eps)
        s.best, s.best_gradient, s.best_value, s.checked_value = x, x, zeros - inf, zeros
        s.halved = torch.ones_like(oracle.y, dtype=torch.bool)
        for k in oracle.iterate(steps, s):
            value, g = oracle.value_and_grad(s.x)
            higher = value > s.best_value
            s.best, s.best_gradient = _where(higher, s.x, s.best), _where(higher, g, s.best_gradient)
            s.best_value, s.rises = torch.where(higher, value, s.best_value), s.rises + (value > s.value)
            # As in the authors' code, the first step counts as a rise if its score is above 0.
            s.value = value if k else torch.zeros_like(value)
            x = s.x
            if k in window_at:
                stalled = ~s.halved & (s.best_value <= s.checked_value)
                s.halved, s.checked_value = stalled | (s.rises <= rho * window_at[k]), s.best_value
                s.alpha, s.rises = torch.where(s.halved, s.alpha / 2, s.alpha), torch.zeros_like(s.rises)
                # The previous iterate is not reset: the next momentum points along the way back.
                x, g = _where(s.halved, s.best, x), _where(s.halved, s.best_gradient, g)
            moved = oracle.project(x + per_row(s.alpha, x) * oracle.ball.steepest(g))
            inertia = _MOMENTUM if k else 1.0
            s.x, s.previous = oracle.project(x + inertia * (moved - x) + (1 - inertia) * (x - s.previous)), x
        oracle.finish(s.x)

    return search


def checkpoints(steps: int) -> dict[int, int]:
    """Steps at which APGD checks its progress, each with the number of steps since the check before.

    Example:
        >>> list(checkpoints(100))
        [22, 41, 57, 70, 80, 87, 93, 99]
    """
    window, shortest, decrease = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    window_at, step = {}, window
    while step < steps:
        window_at[step] = window
        window = max(window - decrease, shortest)
        step += window
    return window_at


def _draw_on_edge(oracle: Oracle) -> Tensor:
    """A draw on the edge of the ball, cut to the box."""
    d = oracle.ball.draw(oracle.noise(), oracle.x0.shape[1:])
    return oracle.project(oracle.x0 + d * per_row(oracle.ball.eps / oracle.ball.size(d).clamp_min(1e-12), d))


def _where(rows: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(per_row(rows, a), a, b)
