"""Minimum-norm attacks that adapt the norm of the perturbation in every step: DDN and FMN."""

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
    """Decoupling direction and norm (DDN): the direction follows the gradient, the L2 norm follows the prediction.

    δ ← ε_k (δ + α_k g) / ‖δ + α_k g‖, then x₀ + δ is cut to the box. g is the unit gradient of the cross-entropy; α
    falls from 1 to 0.01 along a cosine. ε is multiplied by 1 − γ after a misclassified point and by 1 + γ otherwise.
    Pixels are not rounded to 256 levels as in the authors' code.

    Args:
        steps: gradient steps.
        gamma: γ, which limits the accuracy of the norm: about γ, relatively.
        init: ε₀, for pixels in [0, 1].
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Reference: Rony et al., *Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and
    defenses*, CVPR 2019, algorithm 1.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> bool(sf.attacks.ddn(steps=30)(net, points).distance.isfinite().all())
        True
    """

    def search(oracle: Oracle) -> None:
        s = oracle.state(x=oracle.x0, eps=torch.full_like(oracle.y, init, dtype=oracle.x0.dtype))
        for k in oracle.iterate(steps, s):
            g = _unit_direction(oracle, oracle.gradient(s.x))
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
    """Fast minimum-norm attack (FMN): steps up the margin in a ball whose radius approaches the decision boundary.

    Until the attack succeeds, the radius ε of an example is 1 + γ_k times the sum of the norm so far and of the
    linearised distance |m| / ‖∇m‖ to the boundary. After that, ε is multiplied by 1 − γ_k at misclassified points, but
    is at most the best norm, and by 1 + γ_k otherwise. The step length, in L2, falls from α to α / 100 and γ_k from γ
    to γ / 50, both along a cosine.

    Two things differ from the paper, whose version succeeds on fewer than 60 % of the images of an MNIST LeNet.
    Coordinates at the edge of the box whose gradient points outwards are left out of the gradient: the box cancels
    their step, and they make the distance seem shorter. The first radius goes beyond the linearised boundary, since on
    it rounding decides the class.

    Args:
        norm: l2 or linf.
        steps: gradient steps.
        alpha: first step length α.
        gamma: first rate γ of the radius.
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Reference: Pintor et al., *Fast minimum-norm adversarial attacks through adaptive norm constraints*, NeurIPS 2021,
    algorithm 1.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> bool(sf.attacks.fmn(norm="linf", steps=30)(net, points).distance.isfinite().all())
        True
    """

    def search(oracle: Oracle) -> None:
        zeros = torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        s = oracle.state(x=oracle.x0, eps=zeros, best_size=zeros + inf)
        for k in oracle.iterate(steps, s):
            m, g = oracle.value_and_grad(s.x)
            g = _inward_gradient(s.x, g, oracle.box)
            d = s.x - oracle.x0
            size, rate = oracle.ball.size(d), _cosine(gamma, gamma / 50, k / steps)
            s.best_size = torch.where(oracle.wrong, torch.minimum(s.best_size, size), s.best_size)
            larger = torch.where(s.best_size < inf, s.eps, size + m.abs() / _dual_norm(g, norm)) * (1 + rate)
            s.eps = torch.where(oracle.wrong, torch.minimum(s.eps * (1 - rate), s.best_size), larger)
            d = d + _cosine(alpha, alpha / 100, k / steps) * L2(inf).steepest(g)
            s.x = (oracle.x0 + _clip(d, s.eps, norm)).clamp_(*oracle.box)
        oracle.finish(s.x)

    return Attack(search, ball(norm, inf), cw_margin(), steps + 1, "nearest", away_from=away_from)


def _unit_direction(oracle: Oracle, g: Tensor) -> Tensor:
    """The unit gradient, or a random direction where it vanishes (saturated softmax), as in the authors' code."""
    noise = oracle.noise()
    flat = ~g.flatten(1).any(1)
    if bool(flat.any()):
        g = torch.where(per_row(flat, g), noise.normal(*g.shape[1:]), g)
    return oracle.ball.steepest(g)


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + cos(pi * progress)) / 2


def _inward_gradient(x: Tensor, g: Tensor, box: tuple[float, float]) -> Tensor:
    """The gradient without the coordinates that would leave the box."""
    return g.masked_fill(((x <= box[0]) & (g < 0)) | ((x >= box[1]) & (g > 0)), 0)


def _dual_norm(g: Tensor, norm: Norm) -> Tensor:
    """The largest gain in margin of a move of size one."""
    size: Tensor = torch.linalg.vector_norm(g.flatten(1), 1 if norm == "linf" else 2, dim=1)
    return size.clamp_min(1e-12)


def _clip(d: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """Clip each perturbation to a ball of its own radius."""
    radius = per_row(eps, d)
    if norm == "linf":
        return torch.minimum(torch.maximum(d, -radius), radius)
    return d * (radius / per_row(d.flatten(1).norm(dim=1), d).clamp_min(1e-12)).clamp_max(1)
