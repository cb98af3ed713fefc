"""Weighted sums over the bins of a score in [0, 1]: every row lands in exactly one bin.

``equal_width``: edges at 0, 1/B, ..., 1. ``closed="right"`` is (lo, hi] with 0 in the first bin, ``"left"`` is
[lo, hi) with 1 in the last. A log-probability returns from ``exp`` a rounding error beside the number it came
from, so a score within 1e-6 of an edge counts as on it.

``equal_mass``: edges are quantiles of the scores themselves, and of each draw's own scores in a bootstrap. Equal scores
share a bin. ``"right"`` puts edge b at the smallest score with at least b/B of the mass at or below it, and the
scores that equal it below; ``"left"`` puts it at the smallest score with more than b/B of the mass at or below it, and
the scores that equal it above. Where no scores are equal and B divides N the two agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Edges = Literal["equal_width", "equal_mass"]
Closed = Literal["right", "left"]

NEAR = 1e-6


def bin_sums(score: Float[Tensor, " n"], *, bins: int, edges: Edges, closed: Closed) -> Callable[..., list[Tensor]]:
    """Prepare the bins of ``score``; the result takes weights (D, N) and columns (N,), and sums each column by bin.

    Returns:
        ``sums(weights, *columns)``: one (D, bins) tensor of Σ weight · value per column.
    """
    if edges == "equal_width":
        return _equal_width_sums(score, bins, closed)
    return _equal_mass_sums(score, bins, closed)


def bin_edges(score: Float[Tensor, " n"], *, bins: int, edges: Edges, closed: Closed) -> Float[Tensor, " edges"]:
    """The edges, from 0 to 1. Those of equal mass coincide where one score holds the mass of several bins."""
    inner = torch.arange(1, bins, dtype=torch.float64, device=score.device) / bins
    if edges == "equal_mass":
        ordered = score.sort().values
        mass = torch.arange(1, len(score) + 1, dtype=torch.float64, device=score.device)
        cut = _cuts(ordered, mass[None], bins, closed)[0]
        inner = ordered[cut - 1 if closed == "right" else cut]
    return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])


def _equal_width_sums(score: Float[Tensor, " n"], bins: int, closed: Closed) -> Callable[..., list[Tensor]]:
    place = score * bins
    place = torch.where((place - place.round()).abs() <= NEAR * bins, place.round(), place)
    place = place.ceil() - 1 if closed == "right" else place.floor()
    index = place.clamp(0, bins - 1).long()

    def sums(weights: Float[Tensor, "d n"], *columns: Float[Tensor, " n"]) -> list[Tensor]:
        empty = weights.new_zeros(len(weights), bins)
        return [empty.scatter_add(1, index.expand_as(weights), weights * column) for column in columns]

    return sums


def _equal_mass_sums(score: Float[Tensor, " n"], bins: int, closed: Closed) -> Callable[..., list[Tensor]]:
    ordered, order = score.sort()

    def sums(weights: Float[Tensor, "d n"], *columns: Float[Tensor, " n"]) -> list[Tensor]:
        weights = weights[:, order]
        cut = _cuts(ordered, weights.cumsum(1), bins, closed)
        return [_between(cut, (weights * column[order]).cumsum(1)) for column in columns]

    return sums


def _cuts(ordered: Float[Tensor, " n"], mass: Float[Tensor, "d n"], bins: int, closed: Closed) -> Int[Tensor, "d cuts"]:
    """How many of the ascending scores lie below each inner edge, given the mass up to and with each of them."""
    share = torch.arange(1, bins, dtype=torch.float64, device=mass.device)
    at_edge = torch.searchsorted(mass, share * mass[:, -1:] / bins, right=closed == "left")
    return torch.searchsorted(ordered, ordered[at_edge], right=closed == "right")


def _between(cut: Int[Tensor, "d cuts"], cumulated: Float[Tensor, "d n"]) -> Float[Tensor, "d bins"]:
    below = cumulated.gather(1, (cut - 1).clamp(min=0)).masked_fill(cut == 0, 0)
    return torch.cat([torch.zeros_like(cumulated[:, :1]), below, cumulated[:, -1:]], 1).diff(dim=1)
