"""Minimum-norm attacks that move the norm step by step: DDN and FMN."""

from __future__ import annotations

from math import cos, inf, pi
from typing import Literal

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle
from surefooted.components.component import Count, Positive, Share, component
from surefooted.core.norms import L2, Norm, ball, per_row
from surefooted.core.scores import cross_entropy, cw_margin


@component
def ddn(
    *,
    steps: Count = 100,
    gamma: Share = 0.05,
    init: Positive = 1.0,
    away_from: Literal["label", "prediction"] = "label",
) -> Attack:
    """Decoupling direction and norm (DDN): the direction follows the gradient, the L2 norm what the victim answers.

    δ ← ε_k (δ + α_k g) / ‖δ + α_k g‖ with g the unit gradient of the cross-entropy and α from 1 to 0.01 by a cosine;
    then x₀ + δ into the box. ε shrinks by the factor 1 − γ after a point of another class, and grows by 1 + γ
    otherwise. Not rounded to 256 levels as in the authors' code.

    Args:
        gamma: γ; the end is known to some γ of the norm.
        init: ε₀, in pixels' [0, 1].
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Source: Rony et al., *Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and
    defenses*, CVPR 2019.
    """

    def search(oracle: Oracle) -> None:
        s = oracle.state(x=oracle.x0, eps=torch.full_like(oracle.y, init, dtype=oracle.x0.dtype))
        for k in oracle.rounds(steps, s):
            g = _direction(oracle, oracle.gradient(s.x))
            s.eps = s.eps * torch.where(oracle.wrong, 1 - gamma, 1 + gamma)
            d = s.x - oracle.x0 + _cosine(1.0, 0.01, k / steps) * g
            s.x = (oracle.x0 + per_row(s.eps, d) * oracle.ball.steepest(d)).clamp_(*oracle.box)
        oracle.finish(s.x)

    return Attack(search, L2(inf), cross_entropy(), steps + 1, "nearest", away_from=away_from)


@component
def fmn(
    *,
    norm: Norm = "l2",
    steps: Count = 100,
    alpha: Positive = 1.0,
    gamma: Share = 0.05,
    away_from: Literal["label", "prediction"] = "label",
) -> Attack:
    """Fast minimum-norm attack (FMN): steps up the margin, in a ball whose radius closes in on the boundary.

    Until a row is found its radius ε is 1 + γ_k times the sum of the norm so far and of the linearised distance
    |m| / ‖∇m‖ to the boundary; from then on it shrinks by 1 − γ_k beyond the boundary, to no more than the best norm,
    and grows by 1 + γ_k before it. The step length, in L2, goes from α to α / 100 and γ_k from γ to γ / 50, both by a
    cosine.

    Two things differ from the paper, which finds fewer than 60 % of the rows of an MNIST LeNet. The gradient is without
    the coordinates that stand at the box's edge and would leave it: they make the distance seem shorter, and are cut
    off from the step. And the first radius goes beyond the plane, on which a row's class is left to rounding.

    Args:
        norm: l2 or linf.
        alpha: first step length.
        gamma: first rate of the radius.
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Source: Pintor et al., *Fast minimum-norm adversarial attacks through adaptive norm constraints*, NeurIPS 2021.
    """

    def search(oracle: Oracle) -> None:
        zeros = torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        s = oracle.state(x=oracle.x0, eps=zeros, best=zeros + inf)
        for k in oracle.rounds(steps, s):
            m, g = oracle.value_and_grad(s.x)
            g = _inwards(s.x, g, oracle.box)
            d = s.x - oracle.x0
            size, rate = oracle.ball.size(d), _cosine(gamma, gamma / 50, k / steps)
            s.best = torch.where(oracle.wrong, torch.minimum(s.best, size), s.best)
            ahead = torch.where(s.best < inf, s.eps, size + m.abs() / _dual(g, norm)) * (1 + rate)
            s.eps = torch.where(oracle.wrong, torch.minimum(s.eps * (1 - rate), s.best), ahead)
            d = d + _cosine(alpha, alpha / 100, k / steps) * L2(inf).steepest(g)
            s.x = (oracle.x0 + _into(d, s.eps, norm)).clamp_(*oracle.box)
        oracle.finish(s.x)

    return Attack(search, ball(norm, inf), cw_margin(), steps + 1, "nearest", away_from=away_from)


def _direction(oracle: Oracle, g: Tensor) -> Tensor:
    """The unit gradient; where it vanishes, as behind a saturated softmax, a random one as in the authors' code."""
    noise = oracle.noise()
    flat = ~g.flatten(1).any(1)
    if bool(flat.any()):
        g = torch.where(per_row(flat, g), noise.normal(*g.shape[1:]), g)
    return oracle.ball.steepest(g)


def _cosine(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1 + cos(pi * done)) / 2


def _inwards(x: Tensor, g: Tensor, box: tuple[float, float]) -> Tensor:
    """The gradient without what would leave the box."""
    return g.masked_fill(((x <= box[0]) & (g < 0)) | ((x >= box[1]) & (g > 0)), 0)


def _dual(g: Tensor, norm: Norm) -> Tensor:
    """What the margin gains at most by a move of size one."""
    return g.flatten(1).norm(p=1 if norm == "linf" else 2, dim=1).clamp_min(1e-12)


def _into(d: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """Into the ball, where each row has a radius of its own."""
    radius = per_row(eps, d)
    if norm == "linf":
        return torch.minimum(torch.maximum(d, -radius), radius)
    return d * (radius / per_row(d.flatten(1).norm(dim=1), d).clamp_min(1e-12)).clamp_max(1)
