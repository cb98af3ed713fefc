"""Auto-PGD: projected gradient ascent that sets its own step size, row by row, and its targeted form."""

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

VERSION = {"apgd_t": 2}  # what keep="worst" hands back is the worst of all targets
MOMENTUM = 0.75


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
    """Auto-PGD (APGD): ascent with momentum that halves its step and returns to its best point where progress stalls.

    From a draw on the edge of the ball,

        x_{k+1} = Π(x_k + 0.75 · (Π(x_k + α · steepest(g_k)) − x_k) + 0.25 · (x_k − x_{k−1})),

    with α = 2 · eps at first. At checkpoints ever closer to each other a row halves α where its score rose in at most
    ``rho`` of the steps since the last one, or where its best score stands still though α was left alone there.

    Args:
        norm: of the ball, linf or l2.
        eps: its radius, in pixels' [0, 1]: 8/255, not 8.
        objective: the score to raise; AutoAttack has cross_entropy and dlr.
        eot: forward passes that each answer is the mean of; above 1 for victims that draw at random (AutoAttack: 20).
        keep: found, worst, nearest or last; see ``Oracle``.

    Source: Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks*, ICML 2020; start, momentum and checks as in their code.
    """
    return Attack(climb(steps, rho), ball(norm, eps), objective, (steps + 1) * eot, keep, restarts, clip=clip, eot=eot)


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

    Args:
        targets: wrong classes tried, the likeliest at the clean point first; no more than there are. Each sees only
            the rows that withstood the former.
        keep: found, worst (the greatest margin that any target led to) or nearest; see ``Oracle``.
        eps, eot: see ``apgd``.

    Raises:
        InputError: when run on a model of fewer than 4 classes, for which the ratio is not defined.

    Source: as ``apgd``.
    """
    ascend = climb(steps, rho)

    def search(oracle: Oracle) -> None:
        for rank in range(1, min(targets, oracle.classes - 1) + 1):
            if oracle.active:
                oracle.pursue(targeted_dlr(rank=rank))
                ascend(oracle)

    passes = targets * (steps + 1) * eot
    return Attack(search, ball(norm, eps), targeted_dlr(), passes, keep, restarts, clip=clip, eot=eot, proposes=True)


def climb(steps: int, rho: float) -> Callable[[Oracle], None]:
    """The search of APGD, for whatever objective the oracle pursues."""
    windows = checkpoints(steps)

    def search(oracle: Oracle) -> None:
        x, zeros = _edge(oracle), torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        s = oracle.state(x=x, past=x, best=x, ascent=x, value=zeros + inf, top=zeros - inf, rises=zeros)
        s.alpha, s.checked, s.halved = zeros + 2 * oracle.ball.eps, zeros, torch.ones_like(oracle.y, dtype=torch.bool)
        for k in oracle.rounds(steps, s):
            value, g = oracle.value_and_grad(s.x)
            higher = value > s.top
            s.best, s.ascent = _where(higher, s.x, s.best), _where(higher, g, s.ascent)
            s.top, s.rises = torch.where(higher, value, s.top), s.rises + (value > s.value)
            # As in the authors' code, the first step counts as a rise where it leads above 0.
            s.value = value if k else torch.zeros_like(value)
            x = s.x
            if k in windows:
                stuck = ~s.halved & (s.top <= s.checked)
                s.halved, s.checked = stuck | (s.rises <= rho * windows[k]), s.top
                s.alpha, s.rises = torch.where(s.halved, s.alpha / 2, s.alpha), torch.zeros_like(s.rises)
                # The previous iterate stays what it was: the next momentum points along the way back.
                x, g = _where(s.halved, s.best, x), _where(s.halved, s.ascent, g)
            moved = oracle.project(x + per_row(s.alpha, x) * oracle.ball.steepest(g))
            inertia = MOMENTUM if k else 1.0
            s.x, s.past = oracle.project(x + inertia * (moved - x) + (1 - inertia) * (x - s.past)), x
        oracle.finish(s.x)

    return search


def checkpoints(steps: int) -> dict[int, int]:
    """Steps taken at each check, with the steps since the one before: 22, 41, 57, 70, 80, 87, 93, 99 of 100."""
    window, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    found, at = {}, window
    while at < steps:
        found[at] = window
        window = max(window - less, least)
        at += window
    return found


def _edge(oracle: Oracle) -> Tensor:
    """A draw on the edge of the ball, cut to the box."""
    d = oracle.ball.draw(oracle.noise(), oracle.x0.shape[1:])
    return oracle.project(oracle.x0 + d * per_row(oracle.ball.eps / oracle.ball.size(d).clamp_min(1e-12), d))


def _where(rows: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(per_row(rows, a), a, b)
