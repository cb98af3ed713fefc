"""How two numbers per example go together."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import Count, Whole, component
from surefooted.errors import InputError
from surefooted.evaluation.metrics.functional import Functional
from surefooted.evaluation.metrics.intervals import ConfidenceLevel, central_quantiles, resamples


class Correlation(NamedTuple):
    """A coefficient with its confidence interval, of ``n`` pairs; ``left_out`` more were not finite. nan if unknown."""

    value: float
    low: float
    high: float
    n: int
    left_out: int


@component
def correlation(
    x: Tensor,
    y: Tensor,
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
    draws: Count = 1000,
    level: ConfidenceLevel = 0.95,
    seed: Whole = 0,
) -> Correlation:
    """Correlation of two numbers per example, with the percentile interval of a bootstrap over the examples.

    Pairs of which either number is nan or infinite (an example that no attack moved) are left out, and counted. nan
    where fewer than two pairs are left or one of the numbers never changes; with two pairs there is no interval.

    Args:
        x, y: (N,) numbers, pair by pair.
        kind: ``pearson`` of the numbers (EntM, table 4); ``spearman`` of their ranks, equal ones sharing the mean
            rank, ranked anew in each draw.

    Reference: Davison & Hinkley 1997, chapter 5.
    """
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(
            f"correlation needs two numbers per example, both of shape (n,); got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    x, y = x.detach().double().cpu(), y.detach().double().cpu()
    finite = x.isfinite() & y.isfinite()
    n, left_out = int(finite.sum()), int((~finite).sum())
    if n < 2:
        return Correlation(torch.nan, torch.nan, torch.nan, n, left_out)
    functional = {"pearson": _pearson, "spearman": _spearman}[kind](x[finite], y[finite])
    value = float(functional(torch.ones(1, n, dtype=torch.float64)))
    values = torch.cat([functional(w) for w in resamples(n, draws, seed, x.device)])
    if n < 3 or values.isnan().any():  # a draw of one example over and over has no correlation
        return Correlation(value, torch.nan, torch.nan, n, left_out)
    return Correlation(value, *central_quantiles(values, level), n, left_out)


def _pearson(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Functional:
    return lambda w: _weighted_pearson(w, x, y, x, y)


def _spearman(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Functional:
    return lambda w: _weighted_pearson(w, x, y, _ranks(x, w), _ranks(y, w))


def _weighted_pearson(
    w: Float[Tensor, "d n"], x: Float[Tensor, " n"], y: Float[Tensor, " n"], of_x: Tensor, of_y: Tensor
) -> Float[Tensor, " d"]:
    """Pearson's coefficient of what is made of x and of y, in each draw; nan where a draw holds one value only."""
    w = w / w.sum(1, keepdim=True)
    dx, dy = (v - (w * v).sum(1, keepdim=True) for v in (of_x, of_y))
    r = (w * dx * dy).sum(1) / ((w * dx * dx).sum(1) * (w * dy * dy).sum(1)).sqrt()
    drawn, inf = w > 0, torch.inf
    single = [torch.where(drawn, v, -inf).amax(1) == torch.where(drawn, v, inf).amin(1) for v in (x, y)]
    return r.clamp(-1, 1).masked_fill(single[0] | single[1], torch.nan)


def _ranks(v: Float[Tensor, " n"], w: Float[Tensor, "d n"]) -> Float[Tensor, "d n"]:
    """How many of each draw lie below a value, and half of those equal to it: the mean rank, less a half."""
    _, group = v.unique(return_inverse=True)
    held = w.new_zeros(len(w), int(group.max()) + 1).index_add_(1, group, w)
    return (held.cumsum(1) - held / 2)[:, group]
