"""Weighted sums over the bins of a score in [0, 1]; every row is in exactly one bin.

``equal_width``: edges at 0, 1/B, ..., 1. ``closed="right"`` gives intervals (lo, hi], with 0 in the first bin;
``"left"`` gives [lo, hi), with 1 in the last. The exponential of a log-probability differs from the original
probability by a rounding error, so a score within 1e-6 of an edge counts as lying on it.

``equal_mass``: edges are quantiles of the scores; each bootstrap draw has its own. Equal scores share a bin.
``"right"`` puts edge b at the smallest score with at least b/B of the mass at or below it, and scores equal to it below
the edge; ``"left"`` puts it at the smallest score with more than b/B of the mass at or below it, and scores equal to it
above. If no scores are equal and B divides N, the two agree.

Weights have a row per example and a column per draw, so that the values of one example in all draws are adjacent in
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding_bag

Edges = Literal["equal_width", "equal_mass"]
ClosedSide = Literal["right", "left"]
# More bins are of no use, and a typing error must not allocate more memory than there is.
BinCount = Annotated[int, Field(ge=1, le=10_000, description="whole number from 1 to 10,000")]

_EDGE_TOLERANCE = 1e-6
_BLOCK_ROWS = 16  # the search for an edge first sums blocks of this many rows, then looks inside one block


class Bins(NamedTuple):
    """The bins of a score, made by ``make_bins``; with equal mass they depend on the weights.

    Attributes:
        sums: maps weights (N, D) and columns, each (N,) or (N, D), to one (bins, D) tensor of Σ weight · value per
            column.
        index: maps weights (N, D) to the bin of each row: (N, D), or (N, 1) if it is the same in all draws.
    """

    sums: Callable[..., list[Tensor]]
    index: Callable[[Float[Tensor, "n d"]], Int[Tensor, "n _"]]  # type: ignore[assignment]  # hides tuple.index


def make_bins(score: Float[Tensor, " n"], *, bins: int, edges: Edges, closed: ClosedSide) -> Bins:
    """Assign a score to bins; everything that does not depend on the weights is computed once, here."""
    return _equal_width(score, bins, closed) if edges == "equal_width" else _equal_mass(score, bins, closed)


def bin_edges(score: Float[Tensor, " n"], *, bins: int, edges: Edges, closed: ClosedSide) -> Float[Tensor, " edges"]:
    """The edges, from 0 to 1. With equal mass, edges coincide if one score holds the mass of several bins.

    Example:
        >>> score = torch.tensor([0.1, 0.2, 0.9, 1.0], dtype=torch.float64)
        >>> bin_edges(score, bins=2, edges="equal_mass", closed="right").tolist()
        [0.0, 0.2, 1.0]
    """
    inner = torch.arange(1, bins, dtype=torch.float64, device=score.device) / bins
    if edges == "equal_mass":
        ordered = score.sort().values
        share = torch.arange(1, bins, dtype=torch.float64, device=score.device)
        mass = torch.arange(1, len(score) + 1, dtype=torch.float64, device=score.device)
        inner = ordered[torch.searchsorted(mass, share * len(score) / bins, right=closed == "left")]
    return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])


def _equal_width(score: Float[Tensor, " n"], bins: int, closed: ClosedSide) -> Bins:
    place = score * bins
    place = torch.where((place - place.round()).abs() <= _EDGE_TOLERANCE * bins, place.round(), place)
    place = place.ceil() - 1 if closed == "right" else place.floor()
    index = place.clamp(0, bins - 1).long()
    order, count = index.argsort(stable=True), torch.bincount(index, minlength=bins)
    start = count.cumsum(0) - count

    def sums(weights: Float[Tensor, "n d"], *columns: Tensor) -> list[Tensor]:
        return [_segment_sums(weights, column, order, start) for column in columns]

    return Bins(sums, lambda weights: index[:, None])


def _equal_mass(score: Float[Tensor, " n"], bins: int, closed: ClosedSide) -> Bins:
    ordered, order = score.sort()
    n, left = len(ordered), closed == "left"
    # The number of rows below an edge at each row: rows with equal scores are on the same side.
    cut_at = torch.searchsorted(ordered, ordered, right=not left)
    start, inside = torch.arange(0, n, _BLOCK_ROWS, device=score.device), torch.arange(_BLOCK_ROWS, device=score.device)
    share = torch.arange(1, bins, dtype=torch.float64, device=score.device)
    one = torch.ones_like(ordered)

    def block_values(values: Float[Tensor, "n d"], number: Int[Tensor, "d cuts"]) -> Float[Tensor, "d cuts block"]:
        row = number[..., None] * _BLOCK_ROWS + inside
        draw = torch.arange(values.shape[1], device=values.device)[:, None, None]
        return values[order[row.clamp(max=n - 1)], draw].masked_fill(row >= n, 0)

    def cuts(weights: Float[Tensor, "n d"]) -> Int[Tensor, "d cuts"]:
        """The number of the ascending scores that lie below each inner edge."""
        mass = _segment_sums(weights, one, order, start).cumsum(0).T.contiguous()
        target = mass[:, -1:] * share / bins
        number = torch.searchsorted(mass, target, right=left).clamp(max=len(start) - 1)
        below = (mass.gather(1, (number - 1).clamp(min=0))).masked_fill(number == 0, 0)
        near = below[..., None] + block_values(weights, number).cumsum(-1)
        row = number * _BLOCK_ROWS + torch.searchsorted(near, target[..., None], right=left).squeeze(-1)
        return cut_at[row.clamp(max=n - 1)]

    def sums(weights: Float[Tensor, "n d"], *columns: Tensor) -> list[Tensor]:
        cut = cuts(weights)
        number = (cut // _BLOCK_ROWS).clamp(max=len(start) - 1)
        near = block_values(weights, number).masked_fill(number[..., None] * _BLOCK_ROWS + inside >= cut[..., None], 0)
        rows = order[(number[..., None] * _BLOCK_ROWS + inside).clamp(max=n - 1)]
        results = []
        for column in columns:
            up_to = _segment_sums(weights, column, order, start).cumsum(0).T
            below = up_to.gather(1, (number - 1).clamp(min=0)).masked_fill(number == 0, 0)
            row_values = column[rows] if column.ndim == 1 else block_values(column, number)
            below = below + (near * row_values).sum(-1)
            ends = torch.cat([torch.zeros_like(up_to[:, :1]), below, up_to[:, -1:]], 1)
            results.append(ends.diff(dim=1).T)
        return results

    def index(weights: Float[Tensor, "n d"]) -> Int[Tensor, "n d"]:
        rank = torch.empty_like(order)
        rank[order] = torch.arange(n, device=order.device)
        return torch.searchsorted(cuts(weights), rank.expand(weights.shape[1], -1).contiguous(), right=True).T

    return Bins(sums, index)


def _segment_sums(
    weights: Float[Tensor, "n d"], column: Tensor, order: Int[Tensor, " n"], start: Int[Tensor, " b"]
) -> Float[Tensor, "b d"]:
    """Σ weight · value over consecutive segments of the ordered rows; each runs from its start to the next start."""
    if column.ndim == 1:
        return embedding_bag(order, weights, start, mode="sum", per_sample_weights=column[order])
    return embedding_bag(order, weights * column, start, mode="sum")
