"""Is one method better than another? Compared on the same examples, or over the same seeds.

What both find hard cancels, so a difference is known better than either value.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, inf, isnan, nan, sqrt
from typing import NamedTuple

import torch

from surefooted.components.component import Count, Whole, component
from surefooted.core.predictions import Predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics.functional import Metric, as_functional
from surefooted.evaluation.metrics.intervals import ConfidenceLevel, central_quantiles, resamples, seed_interval


class Difference(NamedTuple):
    """First minus second, with its confidence interval and two-sided p of "no difference"; nan where unknown."""

    value: float
    low: float
    high: float
    p: float
    n: int


class McNemar(NamedTuple):
    """How many examples only the first and only the second got right, and the exact two-sided p."""

    only_first: int
    only_second: int
    p: float


@component
def paired_bootstrap(
    metric: Metric,
    first: Predictions,
    second: Predictions,
    *,
    draws: Count = 1000,
    level: ConfidenceLevel = 0.95,
    seed: Whole = 0,
) -> Difference:
    """Bootstrap of the difference of a metric, first minus second, each draw the same examples for both.

    The interval is the percentile one: the bias that a calibration error has on both sides cancels in the difference
    where the two are alike, and not otherwise. p inverts it: twice the smaller share of draws on either side of 0,
    never below 2 / (draws + 1). Rows with equal ``i`` are one example and are drawn together.

    Args:
        metric: as for ``bootstrap``.
        first: predictions of one method.
        second: of the other, for the same rows in the same order.

    Reference: Davison & Hinkley 1997, chapters 4 and 5.
    """
    _check_same(first, second, "paired_bootstrap")
    examples, unit = first.rows.unique(return_inverse=True)
    n, value = len(examples), float(metric(first)) - float(metric(second))
    if n == 1:
        return Difference(value, nan, nan, nan, n)
    one, two = as_functional(metric, first), as_functional(metric, second)
    values = torch.cat([one(w[:, unit]) - two(w[:, unit]) for w in resamples(n, draws, seed, first.log_p.device)])
    if values.isnan().any():  # inf - inf, or a draw without errors to detect: no order among such draws
        return Difference(value, nan, nan, nan, n)
    tails = [(int(side.sum()) + 1) / (draws + 1) for side in (values <= 0, values >= 0)]
    return Difference(value, *central_quantiles(values, level), min(1.0, 2 * min(tails)), n)


@component
def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """McNemar's exact test of equal accuracy: among the examples that one alone gets right, each is as often the one.

    Reference: McNemar 1947; the binomial form is exact for any count.
    """
    _check_same(first, second, "mcnemar")
    repeated = len(first.rows) - len(first.rows.unique())
    if repeated:
        raise InputError(
            f"mcnemar needs every example once; {repeated} of {len(first.rows)} rows repeat one. "
            "Take one row per example, or use paired_bootstrap(accuracy, ...), which draws them together."
        )
    from scipy.stats import binomtest

    right, other = (p.top()[1].bool() for p in (first, second))
    alone, alone_other = int((right & ~other).sum()), int((other & ~right).sum())
    both = alone + alone_other
    return McNemar(alone, alone_other, float(binomtest(alone, both).pvalue) if both else 1.0)


@component
def paired_seeds(first: Sequence[float], second: Sequence[float], *, level: ConfidenceLevel = 0.95) -> Difference:
    """Paired Student t interval and test of the mean difference, first minus second, over runs of the same seeds.

    One seed has no interval. Where all differences are equal, p is 0, or 1 if they are 0: more seeds would tell more.
    """
    if len(first) != len(second):
        raise InputError(
            f"paired_seeds needs the same seeds of both methods; got {len(first)} and {len(second)} values. "
            "Leave out seeds that one of them lacks."
        )
    if not first:
        raise InputError("paired_seeds needs the values of at least one seed; got none.")
    differences = [a - b for a, b in zip(first, second)]
    value, low, high, n = seed_interval(differences, level=level)
    if n == 1 or isnan(low):
        return Difference(value, nan, nan, nan, n)
    from scipy.stats import t

    spread = sqrt(sum((d - value) ** 2 for d in differences) / (n - 1) / n)
    statistic = value / spread if spread else copysign(inf, value) if value else 0.0
    return Difference(value, low, high, float(2 * t.sf(abs(statistic), n - 1)), n)


def _check_same(first: Predictions, second: Predictions, who: str) -> None:
    if first.log_p.shape != second.log_p.shape:
        shapes = tuple(first.log_p.shape), tuple(second.log_p.shape)
        raise InputError(
            f"{who} needs the same examples and classes of both; got log_p of {shapes[0]} and {shapes[1]}."
        )
    if not torch.equal(first.rows, second.rows):
        if torch.equal(first.rows.sort().values, second.rows.sort().values):
            cure = "They are the same in another order: take(p.rows.argsort()) of both"
        else:
            cure = "Predict both on the same split"
        differ = int((first.rows != second.rows).sum())
        raise InputError(f"{who} needs the same rows of the data set; {differ} of {len(first.rows)} differ. {cure}.")
    if not torch.equal(first.y, second.y):
        differ = int((first.y != second.y).sum())
        raise InputError(
            f"{who} needs the same labels; {differ} of {len(first.y)} rows are labelled differently. "
            "The two were predicted on different data."
        )
