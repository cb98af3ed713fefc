"""The L2 attack of Carlini and Wagner: the least perturbation that changes the answer."""

from __future__ import annotations

from math import inf
from typing import Literal

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.checked import Count, Positive, checked
from surefooted.geometry import L2
from surefooted.oracle import Oracle, Rows
from surefooted.scores import cw_margin

# tanh reaches 0 and 1 only at infinity; the clean point is drawn this far towards mid-grey.
INSIDE = 1 - 1e-6
BETAS, TINY = (0.9, 0.999), 1e-8


@checked
def carlini_wagner(
    *,
    search_steps: Count = 3,
    steps: Count = 500,
    lr: Positive = 0.005,
    constant: Positive = 1.0,
    abort_early: bool = True,
    away_from: Literal["label", "prediction"] = "label",
) -> Attack:
    """Carlini and Wagner's L2 attack (CW-L2): Adam on ‖δ‖² + c · max(0, −margin), with a binary search over c.

    The pixels are x = (tanh w + 1) / 2, so that they need no box. Each row has its own constant, Adam state and end: a
    row rests when its loss has not fallen by 1 in 10,000 over a tenth of the steps.

    Args:
        search_steps: constants tried; c grows tenfold until the row is found, then bisects (3 in AR-AdaLS).
        lr: of Adam, in w.
        constant: the first c. From 1, with the iterate kept from constant to constant, three steps find 100 % of the
            rows of an MNIST LeNet; from the customary 0.01 they find 78 %.
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Source: Carlini and Wagner, *Towards evaluating the robustness of neural networks*, S&P 2017.
    """

    def search(oracle: Oracle) -> None:
        low, high = oracle.box
        half = (high - low) / 2
        zeros = torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        w = (((oracle.x0 - low) / half - 1) * INSIDE).atanh()
        s = oracle.state(w=w, c=zeros + constant, least=zeros, most=zeros + inf)
        for _ in range(search_steps):
            s.m, s.v = torch.zeros_like(s.w), torch.zeros_like(s.w)
            s.hit, s.past = torch.zeros_like(s.c, dtype=torch.bool), torch.full_like(s.c, inf)
            for k in oracle.rounds(steps, s):
                t = s.w.tanh()
                x = (t + 1) * half + low
                margin, slope = oracle.value_and_grad(x)
                d = x - oracle.x0
                s.hit = s.hit | (margin > 0)
                ascent = _per_row(s.c * (margin <= 0), d) * slope
                s.w = s.w - lr * _adam(s, (2 * d - ascent) * (1 - t * t) * half, k)
                if abort_early and k % max(1, steps // 10) == 0:
                    loss = d.flatten(1).square().sum(1) + s.c * (-margin).clamp_min(0)
                    oracle.rest(loss > s.past * 0.9999)
                    s.past = loss
            s.most = torch.where(s.hit, torch.minimum(s.most, s.c), s.most)
            s.least = torch.where(s.hit, s.least, torch.maximum(s.least, s.c))
            s.c = torch.where(s.most < inf, (s.least + s.most) / 2, s.c * 10)
        oracle.finish((s.w.tanh() + 1) * half + low)

    return Attack(search, L2(inf), cw_margin(), search_steps * steps + 1, "nearest", away_from=away_from)


def _adam(s: Rows, grad: Tensor, k: int) -> Tensor:
    """Adam's direction; its two moments are updated in the state."""
    s.m = s.m * BETAS[0] + grad * (1 - BETAS[0])
    s.v = s.v * BETAS[1] + grad * grad * (1 - BETAS[1])
    return (s.m / (1 - BETAS[0] ** (k + 1))) / ((s.v / (1 - BETAS[1] ** (k + 1))).sqrt() + TINY)


def _per_row(scale: Tensor, like: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (like.ndim - 1))
