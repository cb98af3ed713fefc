"""Steps that boundary attacks share: the move to a plane, and the line search between the best and the clean point."""

from __future__ import annotations

from math import inf

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import MARGIN_ROUNDING
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
    """The smallest move d with w · d = −gap that keeps z + d in the box; without one, the move that comes nearest.

    All coordinates move in the direction that closes the gap, by min(r, room) for L∞ and by min(r |w|, room) for L2,
    with one reach r per row. Their total gain is concave and piecewise linear in r, so Newton's method from 0 stays
    below the solution and ends exactly there, after about five sweeps and without sorting.

    Args:
        z: points in the box.
        w: normals of the planes.
        gap: what w · d must close, one number per row.
        box: smallest and largest value of a coordinate.
        norm: the norm that is minimised, linf or l2.

    Example:
        >>> import torch
        >>> z, w, gap = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), torch.tensor([-1.0])
        >>> to_plane(z, w, gap, box=(0.0, 1.0), norm="l2")  # 1/5 along (3, 4)/5
        tensor([[0.1200, 0.1600]])
    """
    shape, z, w = z.shape, z.flatten(1), w.flatten(1)
    gap = gap.nan_to_num(0.0, inf, -inf)  # w · d beyond the range of floats: there is no plane to move to
    slope = w.abs()
    scale = slope.amax(1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny)
    slope = slope / scale
    need = (gap.abs()[:, None] / scale).clamp_max(1e12)
    direction = w.sign() * -gap.sign()[:, None]
    room = torch.where(direction > 0, box[1] - z, z - box[0])
    gain = slope * slope if norm == "l2" else slope
    reach = torch.zeros_like(need)
    while True:
        move = torch.minimum(reach * slope if norm == "l2" else reach, room)
        missing = need - (slope * move).sum(1, keepdim=True)
        rate = (gain * (move < room)).sum(1, keepdim=True)
        step = torch.where(rate > 0, missing / rate, 0).clamp_min_(0)
        reach = reach + step
        if not bool((step > 1e-6 * reach).any()):
            return (move * direction).view(shape)


def search_line(oracle: Oracle, *, linear_share: float, margin_share: float) -> None:
    """Move from the best point towards the clean one, up to just before the decision boundary. Costs three passes.

    Args:
        linear_share: share of the way in which the margin is assumed to be linear.
        margin_share: share of the margin that remains. At least twice the rounding of a margin remains.
    """
    if not (oracle.tracks_best and oracle.active_count):
        return
    oracle.set_objective(cw_margin())
    best, x0 = oracle.best.clone(), oracle.x0
    margin, margin_back = oracle.value(best), oracle.value(torch.lerp(best, x0, linear_share))
    removable = margin - torch.maximum(margin_share * margin, torch.full_like(margin, 2 * MARGIN_ROUNDING))
    # Where the margin is flat this is large; it is limited below. Where it is infinite (a masked class), no move is.
    back = (linear_share * removable.clamp_min(0) / (margin - margin_back).clamp_min(1e-12)).nan_to_num(0.0)
    oracle.finish(torch.lerp(best, x0, per_row(back.clamp(0, 4 * linear_share), x0)))
