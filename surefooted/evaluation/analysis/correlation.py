"""Correlation of two numbers per example, with a bootstrap interval."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import Count, Whole, component
from surefooted.core.arrays import AnyArray
from surefooted.errors import ArgumentError
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.functional import Functional
from surefooted.evaluation.metrics.intervals import ConfidenceLevel, central_quantiles, resamples


@printable
class Correlation(NamedTuple):
    """A correlation coefficient with its confidence interval; nan if undefined.

    Attributes:
        value: the coefficient.
        low, high: bounds of the confidence interval.
        n: number of pairs that were used.
        left_out: number of pairs with a number that is not finite.
    """

    value: float
    low: float
    high: float
    n: int
    left_out: int


@component
def correlation(
    x: AnyArray,
    y: AnyArray,
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
    draws: Count = 1000,
    level: ConfidenceLevel = 0.95,
    seed: Whole = 0,
) -> Correlation:
    """Correlation of two numbers per example, with a percentile bootstrap interval over the examples.

    Pairs with a number that is nan or infinite (such as the distance if no attack succeeded) are excluded and counted.
    The value is nan if fewer than two pairs remain or one of the numbers is constant; two pairs have no interval.

    Args:
        x, y: (N,) paired numbers.
        kind: ``pearson`` correlates the numbers (EntM, table 4); ``spearman`` correlates their ranks, with mean ranks
            for ties, and ranks them again in each draw.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Raises:
        ArgumentError: if `x` and `y` are not two vectors of the same length.

    Reference: Davison & Hinkley 1997, chapter 5.

    Example:
        >>> import surefooted as sf
        >>> x = torch.arange(20.0)
        >>> found = sf.analysis.correlation(x, x**2, kind="spearman", draws=100)
        >>> round(found.value, 3), found.n
        (1.0, 20)
    """
    if x.ndim != 1 or x.shape != y.shape:
        raise ArgumentError(
            f"correlation needs two numbers per example, both of shape (n,); got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    x, y = x.double().cpu(), y.double().cpu()
    finite = x.isfinite() & y.isfinite()
    n, left_out = int(finite.sum()), int((~finite).sum())
    if n < 2:
        return Correlation(torch.nan, torch.nan, torch.nan, n, left_out)
    functional = {"pearson": _pearson, "spearman": _spearman}[kind](x[finite], y[finite])
    value = float(functional(torch.ones(1, n, dtype=torch.float64)))
    values = torch.cat([functional(w) for w in resamples(n, draws, seed, x.device)])
    if n < 3 or values.isnan().any():  # the correlation of a draw that repeats a single example is undefined
        return Correlation(value, torch.nan, torch.nan, n, left_out)
    return Correlation(value, *central_quantiles(values, level), n, left_out)


def _pearson(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Functional:
    return lambda w: _weighted_pearson(w, x, y, x, y)


def _spearman(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Functional:
    return lambda w: _weighted_pearson(w, x, y, _ranks(x, w), _ranks(y, w))


def _weighted_pearson(
    w: Float[Tensor, "d n"], x: Float[Tensor, " n"], y: Float[Tensor, " n"], column_x: Tensor, column_y: Tensor
) -> Float[Tensor, " d"]:
    """Pearson's coefficient of two columns made from x and y, in each draw; nan if x or y is constant in it."""
    w = w / w.sum(1, keepdim=True)
    dx, dy = (v - (w * v).sum(1, keepdim=True) for v in (column_x, column_y))
    r = (w * dx * dy).sum(1) / ((w * dx * dx).sum(1) * (w * dy * dy).sum(1)).sqrt()
    drawn, inf = w > 0, torch.inf
    constant = [torch.where(drawn, v, -inf).amax(1) == torch.where(drawn, v, inf).amin(1) for v in (x, y)]
    return r.clamp(-1, 1).masked_fill(constant[0] | constant[1], torch.nan)


def _ranks(v: Float[Tensor, " n"], w: Float[Tensor, "d n"]) -> Float[Tensor, "d n"]:
    """The mean rank of each value in each draw, minus one half: the values below it, plus half of those equal to it."""
    group = torch.unique(v, return_inverse=True)[1]
    mass = w.new_zeros(len(w), int(group.max()) + 1).index_add_(1, group, w)
    return (mass.cumsum(1) - mass / 2)[:, group]
