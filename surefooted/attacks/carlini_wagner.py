"""The L2 attack of Carlini and Wagner: the least perturbation that changes the answer."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from typing import Literal

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.attacks.boundary import search_line
from surefooted.attacks.nearest_boundary import SPARE, STRETCH, walk
from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import RowState
from surefooted.components.component import Count, Positive, Whole, component
from surefooted.core.norms import L2, per_row
from surefooted.core.scores import cw_margin

VERSION = 2  # a row that rests comes back as it was, whatever the others do
# The clean point is drawn this far towards mid-grey: at 0 and 1 both variables are flat, and tanh is infinite.
INSIDE = {"sine": 1 - 1e-3, "tanh": 1 - 1e-6, "itself": 1}
FREE: dict[str, Callable[[Tensor], Tensor]] = {"sine": torch.asin, "tanh": torch.atanh, "itself": torch.clone}
BETAS, TINY = (0.9, 0.999), 1e-8
# A row rests when its loss has not fallen by so much over a tenth of the steps.
FALL = 1e-3


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

    The pixels are a function of a free variable w, so that they need no box. Each row has its own constant, Adam state
    and end: a row rests when its loss has not fallen by 1 in 1,000 over a tenth of the steps.

    Args:
        search_steps: constants tried; c grows tenfold until the row is found, then bisects (3 in AR-AdaLS).
        lr: of Adam, in w.
        constant: the first c. From 1, with the iterate kept from constant to constant, three steps find 100 % of the
            rows of an MNIST LeNet; from the customary 0.01 they find 78 %.
        variable: x = (sin w + 1) / 2, or (tanh w + 1) / 2 as published. By tanh a pixel at exactly 0 or 1 (82 % of
            MNIST) needs a thousand steps of 0.005 to move; by the sine 500 steps find smaller perturbations, and rows
            rest sooner. Coordinates without bounds, such as features behind a stage, are their own variable.
        polish: projections on the linearised boundary after the search, from the best point on (see
            ``nearest_boundary``), and a search on the line to the clean point. Not in the paper: Adam's first step is
            some 0.005 a pixel, too long for rows that are nearer than that. 0 leaves it out.
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Source: Carlini and Wagner, *Towards evaluating the robustness of neural networks*, S&P 2017.
    """

    def search(oracle: Oracle) -> None:
        bounded = isfinite(oracle.box[1] - oracle.box[0])  # features behind a stage are not
        (low, high), of = (oracle.box, variable) if bounded else ((-1.0, 1.0), "itself")
        half = (high - low) / 2
        zeros = torch.zeros_like(oracle.y, dtype=oracle.x0.dtype)
        u = ((oracle.x0 - low) / half - 1) * INSIDE[of]
        s = oracle.state(w=FREE[of](u), c=zeros + constant, least=zeros, most=zeros + inf)
        for _ in range(search_steps):
            s.m, s.v = torch.zeros_like(s.w), torch.zeros_like(s.w)
            s.hit, s.past = torch.zeros_like(s.c, dtype=torch.bool), torch.full_like(s.c, inf)
            for k in oracle.rounds(steps, s):
                u, du = _squash(s.w, of)
                x = (u + 1) * half + low
                margin, slope = oracle.value_and_grad(x)
                d = x - oracle.x0
                s.hit = s.hit | (margin > 0)
                ascent = per_row(s.c * (margin <= 0), d) * slope
                _adam(s, (2 * d - ascent) * du * half, lr, k)
                if abort_early and k % max(1, steps // 10) == 0:
                    loss = d.flatten(1).square().sum(1) + s.c * (-margin).clamp_min(0)
                    oracle.rest(loss > s.past * (1 - FALL))
                    s.past = loss
            s.most = torch.where(s.hit, torch.minimum(s.most, s.c), s.most)
            s.least = torch.where(s.hit, s.least, torch.maximum(s.least, s.c))
            s.c = torch.where(s.most < inf, (s.least + s.most) / 2, s.c * 10)
        oracle.finish((_squash(s.w, of)[0] + 1) * half + low)
        if polish and oracle.judging:
            walk(oracle, oracle.now.best.clone(), polish, norm="l2")
            search_line(oracle, stretch=STRETCH, spare=SPARE)

    passes = search_steps * steps + 1 + (polish + 4 if polish else 0)
    return Attack(search, L2(inf), cw_margin(), passes, "nearest", away_from=away_from, proposes=True)


def _squash(w: Tensor, variable: str) -> tuple[Tensor, Tensor]:
    """From a free variable into [-1, 1], and the slope."""
    if variable == "sine":
        return w.sin(), w.cos()
    if variable == "itself":
        return w, torch.ones_like(w)
    t = w.tanh()
    return t, 1 - t * t


def _adam(s: RowState, grad: Tensor, lr: float, k: int) -> None:
    """One step of Adam; variable and moments move in place."""
    s.m.lerp_(grad, 1 - BETAS[0])
    s.v.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
    scale = (s.v / (1 - BETAS[1] ** (k + 1))).sqrt_().add_(TINY)
    s.w.addcdiv_(s.m, scale, value=-lr / (1 - BETAS[0] ** (k + 1)))
