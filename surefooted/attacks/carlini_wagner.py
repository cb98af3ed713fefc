"""The L2 attack of Carlini and Wagner: the smallest perturbation that changes the prediction."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from typing import Literal

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.attacks.boundary import search_line
from surefooted.attacks.nearest_boundary import LINEAR_SHARE, MARGIN_SHARE, walk_to_boundary
from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import RowState
from surefooted.components.component import Count, Positive, Whole, component
from surefooted.core.norms import L2, per_row
from surefooted.core.scores import cw_margin

VERSION = 2  # a deactivated row returns in the state in which it left, whatever the other rows do
# The clean point is scaled towards mid-grey by this factor: at 0 and 1 both variables are flat, and atanh is infinite.
_START_SCALE = {"sine": 1 - 1e-3, "tanh": 1 - 1e-6, "identity": 1}
_INVERSE: dict[str, Callable[[Tensor], Tensor]] = {"sine": torch.asin, "tanh": torch.atanh, "identity": torch.clone}
_ADAM_BETAS, _ADAM_EPS = (0.9, 0.999), 1e-8
# A row is deactivated when its loss has fallen by less than this share over a tenth of the steps.
_MIN_DECREASE = 1e-3
# Adam squares the gradient; larger entries would leave the range of float32.
_LARGEST_SLOPE = 1e18


@component
def carlini_wagner(
    *,
    search_steps: Count = 3,
    steps: Count = 500,
    lr: Positive = 0.005,
    constant: Positive = 1.0,
    variable: Literal["sine", "tanh"] = "sine",
    abort_early: bool = True,
    polish: Whole = 6,
    away_from: Literal["label", "prediction"] = "label",
) -> Attack:
    """Carlini and Wagner's L2 attack (CW-L2): Adam on ‖δ‖² + c · max(0, −margin), with a binary search over c.

    Pixels are a function of a free variable w, so that they need no box. Each example has its own constant and Adam
    state.

    Args:
        search_steps: constants to try: c grows tenfold until the attack succeeds, then bisects (AR-AdaLS: 3).
        steps: steps of Adam per constant.
        lr: learning rate of Adam, in w.
        constant: the first c. From 1, keeping the iterate from constant to constant, three constants succeed on 100 %
            of the images of an MNIST LeNet; from the customary 0.01 they succeed on 78 %.
        variable: x = (sin w + 1) / 2, or (tanh w + 1) / 2 as published. With tanh, a pixel at exactly 0 or 1 (82 % of
            MNIST) needs a thousand steps of 0.005 to move. With the sine, 500 steps find smaller perturbations and
            examples finish sooner. Unbounded coordinates, such as the features of a latent attack, are optimised
            directly.
        abort_early: stop an example when its loss has fallen by less than 0.1 % over a tenth of the steps.
        polish: projections onto the linearised boundary after the search, from the best point (see
            ``nearest_boundary``), followed by a line search towards the clean point; 0 for none. Not in the paper:
            Adam's first step is about 0.005 per pixel, too long for examples nearer to the boundary than that.
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Reference: Carlini and Wagner, *Towards evaluating the robustness of neural networks*, S&P 2017, section V-A.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.carlini_wagner(steps=20)(net, points)
        >>> bool(result.distance.isfinite().all())
        True
    """

    def search(oracle: Oracle) -> None:
        bounded = isfinite(oracle.box[1] - oracle.box[0])  # the features of a latent attack are not
        (low, high), mapping = (oracle.box, variable) if bounded else ((-1.0, 1.0), "identity")
        half = (high - low) / 2
        zeros = torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        u = ((oracle.x0 - low) / half - 1) * _START_SCALE[mapping]
        s = oracle.state(w=_INVERSE[mapping](u), c=zeros + constant, c_low=zeros, c_high=zeros + inf)
        for _ in range(search_steps):
            s.m, s.v = torch.zeros_like(s.w), torch.zeros_like(s.w)
            s.success, s.last_loss = torch.zeros_like(s.c, dtype=torch.bool), torch.full_like(s.c, inf)
            for k in oracle.iterate(steps, s):
                u, du = _squash(s.w, mapping)
                x = (u + 1) * half + low
                margin, slope = oracle.value_and_grad(x)
                d = x - oracle.x0
                s.success = s.success | (margin > 0)
                ascent = (per_row(s.c * (margin <= 0), d) * slope).clamp_(-_LARGEST_SLOPE, _LARGEST_SLOPE)
                _adam(s, (2 * d - ascent) * du * half, lr, k)
                if abort_early and k % max(1, steps // 10) == 0:
                    loss = d.flatten(1).square().sum(1) + s.c * (-margin).clamp_min(0)
                    oracle.deactivate(loss > s.last_loss * (1 - _MIN_DECREASE))
                    s.last_loss = loss
            s.c_high = torch.where(s.success, torch.minimum(s.c_high, s.c), s.c_high)
            s.c_low = torch.where(s.success, s.c_low, torch.maximum(s.c_low, s.c))
            s.c = torch.where(s.c_high < inf, (s.c_low + s.c_high) / 2, s.c * 10)
        oracle.finish((_squash(s.w, mapping)[0] + 1) * half + low)
        if polish and oracle.tracks_best:
            walk_to_boundary(oracle, oracle.best.clone(), polish, norm="l2")
            search_line(oracle, linear_share=LINEAR_SHARE, margin_share=MARGIN_SHARE)

    passes = search_steps * steps + 1 + (polish + 4 if polish else 0)
    return Attack(search, L2(inf), cw_margin(), passes, "nearest", away_from=away_from, tries_candidates=True)


def _squash(w: Tensor, mapping: str) -> tuple[Tensor, Tensor]:
    """Map a free variable into [-1, 1], and return the derivative too."""
    if mapping == "sine":
        return w.sin(), w.cos()
    if mapping == "identity":
        return w, torch.ones_like(w)
    t = w.tanh()
    return t, 1 - t * t


def _adam(s: RowState, grad: Tensor, lr: float, k: int) -> None:
    """One step of Adam, which changes the variable and its moments in place."""
    beta1, beta2 = _ADAM_BETAS
    s.m.lerp_(grad, 1 - beta1)
    s.v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    scale = (s.v / (1 - beta2 ** (k + 1))).sqrt_().add_(_ADAM_EPS)
    s.w.addcdiv_(s.m, scale, value=-lr / (1 - beta1 ** (k + 1)))
