"""Weighted sums over the bins of a score in [0, 1]: every row lands in exactly one bin.

``equal_width``: edges at 0, 1/B, ..., 1. ``closed="right"`` is (lo, hi] with 0 in the first bin, ``"left"`` is
[lo, hi) with 1 in the last. A log-probability returns from ``exp`` a rounding error beside the number it came
from, so a score within 1e-6 of an edge counts as on it.

``equal_mass``: edges are quantiles of the scores themselves, and of each draw's own scores in a bootstrap. Equal scores
share a bin. ``"right"`` puts edge b at the smallest score with at least b/B of the mass at or below it, and the
scores that equal it below; ``"left"`` puts it at the smallest score with more than b/B of the mass at or below it, and
the scores that equal it above. Where no scores are equal and B divides N the two agree.

Weights come here a row per example and a column per draw: what is done for an example is then done for all draws side
by side in memory.
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
# More bins than that say nothing, and a slip of the finger could ask for more than the memory holds.
BinCount = Annotated[int, Field(ge=1, le=10_000, description="whole number from 1 to 10,000")]

_EDGE_TOLERANCE = 1e-6
_BLOCK_ROWS = 16  # rows whose sums are taken at once, before an edge among them is looked for


class Bins(NamedTuple):
    """The bins of a score, made by ``binned``; for equal mass they depend on the weights.

    Attributes:
        sums: from weights (N, D) and columns, each (N,) or (N, D), one (bins, D) tensor of Σ weight · value per column.
        index: from weights (N, D) the bin of each row, (N, D), or (N, 1) where it is the same in all draws.
    """

    sums: Callable[..., list[Tensor]]
    index: Callable[[Float[Tensor, "n d"]], Int[Tensor, "n _"]]  # type: ignore[assignment]  # hides tuple.index


def make_bins(score: Float[Tensor, " n"], *, bins: int, edges: Edges, closed: ClosedSide) -> Bins:
    """Sort a score into bins, with what does not depend on the weights done once."""
    return _equal_width(score, bins, closed) if edges == "equal_width" else _equal_mass(score, bins, closed)


def bin_edges(score: Float[Tensor, " n"], *, bins: int, edges: Edges, closed: ClosedSide) -> Float[Tensor, " edges"]:
    """The edges, from 0 to 1. Those of equal mass coincide where one score holds the mass of several bins."""
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
    # Where an edge at a row cuts: all rows of an equal score go to the same side.
    cut_at = torch.searchsorted(ordered, ordered, right=not left)
    start, inside = torch.arange(0, n, _BLOCK_ROWS, device=score.device), torch.arange(_BLOCK_ROWS, device=score.device)
    share = torch.arange(1, bins, dtype=torch.float64, device=score.device)
    one = torch.ones_like(ordered)

    def block(values: Float[Tensor, "n d"], number: Int[Tensor, "d cuts"]) -> Float[Tensor, "d cuts block"]:
        row = number[..., None] * _BLOCK_ROWS + inside
        draw = torch.arange(values.shape[1], device=values.device)[:, None, None]
        return values[order[row.clamp(max=n - 1)], draw].masked_fill(row >= n, 0)

    def cuts(weights: Float[Tensor, "n d"]) -> Int[Tensor, "d cuts"]:
        """How many of the ascending scores lie below each inner edge."""
        mass = _segment_sums(weights, one, order, start).cumsum(0).T.contiguous()
        target = mass[:, -1:] * share / bins
        number = torch.searchsorted(mass, target, right=left).clamp(max=len(start) - 1)
        below = (mass.gather(1, (number - 1).clamp(min=0))).masked_fill(number == 0, 0)
        near = below[..., None] + block(weights, number).cumsum(-1)
        row = number * _BLOCK_ROWS + torch.searchsorted(near, target[..., None], right=left).squeeze(-1)
        return cut_at[row.clamp(max=n - 1)]

    def sums(weights: Float[Tensor, "n d"], *columns: Tensor) -> list[Tensor]:
        cut = cuts(weights)
        number = (cut // _BLOCK_ROWS).clamp(max=len(start) - 1)
        near = block(weights, number).masked_fill(number[..., None] * _BLOCK_ROWS + inside >= cut[..., None], 0)
        rows = order[(number[..., None] * _BLOCK_ROWS + inside).clamp(max=n - 1)]
        results = []
        for column in columns:
            up_to = _segment_sums(weights, column, order, start).cumsum(0).T
            below = up_to.gather(1, (number - 1).clamp(min=0)).masked_fill(number == 0, 0)
            of_row = column[rows] if column.ndim == 1 else block(column, number)
            below = below + (near * of_row).sum(-1)
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
    """Σ weight · value over stretches of the rows in an order, each from its start up to the next."""
    if column.ndim == 1:
        return embedding_bag(order, weights, start, mode="sum", per_sample_weights=column[order])
    return embedding_bag(order, weights * column, start, mode="sum")
