"""What attacks that look for the nearest boundary share: the move to a plane, and the search on the last line."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import ROUNDING
from surefooted.core.norms import Norm, per_row
from surefooted.core.scores import cw_margin


def to_plane(
    z: Float[Tensor, "b *d"],
    w: Float[Tensor, "b *d"],
    gap: Float[Tensor, " b"],
    *,
    box: tuple[float, float],
    norm: Norm,
) -> Float[Tensor, "b *d"]:
    """The least move d that keeps z + d in the box and has w · d = −gap; where none has, the least of the nearest.

    All coordinates go the way that closes the gap, by min(r, room) for L∞ and by min(r |w|, room) for L2, with one
    reach r for the row. What they gain together is concave and piecewise linear in r, so Newton's method from 0 stays
    below the answer and ends at it exactly, after some five sweeps and no sorting.
    """
    shape, z, w = z.shape, z.flatten(1), w.flatten(1)
    pull = w.abs()
    scale = pull.amax(1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny)
    pull = pull / scale
    need = (gap.abs()[:, None] / scale).clamp_max(1e12)
    toward = w.sign() * -gap.sign()[:, None]
    room = torch.where(toward > 0, box[1] - z, z - box[0])
    gain = pull * pull if norm == "l2" else pull
    reach = torch.zeros_like(need)
    while True:
        move = torch.minimum(reach * pull if norm == "l2" else reach, room)
        short = need - (pull * move).sum(1, keepdim=True)
        rate = (gain * (move < room)).sum(1, keepdim=True)
        step = torch.where(rate > 0, short / rate, 0).clamp_min_(0)
        reach = reach + step
        if not bool((step > 1e-6 * reach).any()):
            return (move * toward).view(shape)


def search_line(oracle: Oracle, *, stretch: float, spare: float) -> None:
    """Go back on the line from the best point to the clean one, to where it crosses the boundary: three passes.

    Args:
        stretch: the share of the way in which the margin is taken for linear.
        spare: the share of the margin that is left, no less than rounding: short of the crossing.
    """
    if not (oracle.judging and oracle.active):
        return
    oracle.pursue(cw_margin())
    best, x0 = oracle.now.best.clone(), oracle.x0
    beyond, before = oracle.value(best), oracle.value(torch.lerp(best, x0, stretch))
    # Where the margin is flat, far back.
    left = beyond - torch.maximum(spare * beyond, torch.full_like(beyond, 2 * ROUNDING))
    back = stretch * left.clamp_min(0) / (beyond - before).clamp_min(1e-12)
    oracle.finish(torch.lerp(best, x0, per_row(back.clamp(0, 4 * stretch), x0)))
