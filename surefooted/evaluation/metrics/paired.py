"""Paired comparison of two methods, on the same examples or over the same seeds.

Difficulty that both methods share cancels, so the difference is known more precisely than either value.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, inf, isnan, nan, sqrt
from typing import NamedTuple

import torch

from surefooted.components.component import Count, Whole, component
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.functional import Metric, as_functional
from surefooted.evaluation.metrics.intervals import ConfidenceLevel, central_quantiles, resamples, seed_interval


@printable
class Difference(NamedTuple):
    """First minus second, with its confidence interval; nan if undefined.

    Attributes:
        value: the difference.
        low, high: bounds of the confidence interval.
        p: two-sided p-value of the hypothesis that there is no difference.
        n: number of examples, or of seeds.
    """

    value: float
    low: float
    high: float
    p: float
    n: int


@printable
class McNemar(NamedTuple):
    """Result of McNemar's test.

    Attributes:
        only_first, only_second: number of examples that only this method classifies correctly.
        p: exact two-sided p-value of equal accuracy.
    """

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
    """Paired bootstrap of the difference of a metric, first minus second; each draw uses the same examples for both.

    The interval is the percentile interval, extended to hold the difference. The upward bias of a calibration error
    cancels in the difference if the two methods are similarly calibrated, and not otherwise. The p-value inverts the
    interval: twice the smaller share of draws on either side of 0, and at least 2 / (draws + 1). Entries with equal
    ``rows`` are views of one example and are resampled together.

    Args:
        metric: as for ``bootstrap``.
        first: predictions of one method.
        second: predictions of the other method, for the same rows in the same order.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Raises:
        ArgumentError: if the two do not have the same rows, labels and classes.

    Reference: Davison & Hinkley 1997, chapters 4 and 5.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> y = torch.tensor([0] * 15 + [1] * 5)
        >>> sure, unsure = (predictions(torch.tensor([[q, 1 - q]] * 20).log(), y) for q in (0.99, 0.75))
        >>> difference = paired_bootstrap(sf.metrics.nll, sure, unsure)
        >>> difference.value > 0, difference.n
        (True, 20)
    """
    _check_same(first, second, "paired_bootstrap")
    examples, unit = torch.unique(first.rows, return_inverse=True)
    n, value = len(examples), float(metric(first)) - float(metric(second))
    if n == 1:
        return Difference(value, nan, nan, nan, n)
    one, two = as_functional(metric, first), as_functional(metric, second)
    values = torch.cat([one(w[:, unit]) - two(w[:, unit]) for w in resamples(n, draws, seed, first.log_p.device)])
    if values.isnan().any():  # inf - inf, or a draw without errors to detect
        return Difference(value, nan, nan, nan, n)
    tails = [(int(side.sum()) + 1) / (draws + 1) for side in (values <= 0, values >= 0)]
    low, high = central_quantiles(values, level)
    return Difference(value, min(low, value), max(high, value), min(1.0, 2 * min(tails)), n)


@component
def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """McNemar's exact test of equal accuracy: a binomial test on the examples that exactly one method gets right.

    Args:
        first: predictions of one method.
        second: predictions of the other method, for the same rows in the same order.

    Raises:
        ArgumentError: if the two do not have the same rows and labels, or if a row occurs twice.

    Reference: McNemar 1947; the binomial form is exact for any count.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> y = torch.zeros(8, dtype=torch.int64)
        >>> right, wrong = (predictions(torch.tensor([row] * 8).log(), y) for row in ([0.9, 0.1], [0.1, 0.9]))
        >>> mcnemar(right, wrong)
        McNemar(only_first=8, only_second=0, p=0.00781)
    """
    _check_same(first, second, "mcnemar")
    repeated = len(first.rows) - len(torch.unique(first.rows))
    if repeated:
        raise ArgumentError(
            f"mcnemar needs every example once; {repeated} of {len(first.rows)} rows repeat an example. "
            "Take one row per example, or use paired_bootstrap(accuracy, ...), which resamples them together."
        )
    from scipy.stats import binomtest

    correct, other = (p.top()[1].bool() for p in (first, second))
    only_first, only_second = int((correct & ~other).sum()), int((other & ~correct).sum())
    n = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, n).pvalue) if n else 1.0)


@component
def paired_seeds(first: Sequence[float], second: Sequence[float], *, level: ConfidenceLevel = 0.95) -> Difference:
    """Student's paired t interval and test of the mean difference, first minus second, over runs with the same seeds.

    If all differences are equal, p is 0, or 1 if they are 0; more seeds are needed then.

    Args:
        first, second: one value per seed, seeds in the same order.
        level: confidence level.

    Returns:
        The mean difference; for one seed, the interval and the p-value are nan.

    Raises:
        ArgumentError: if the two differ in length, or are empty.

    Example:
        >>> paired_seeds([0.91, 0.93, 0.90], [0.90, 0.91, 0.88])
        Difference(value=0.0167, low=0.00232, high=0.031, p=0.0377, n=3)
    """
    if len(first) != len(second):
        raise ArgumentError(
            f"paired_seeds needs the same seeds for both methods; got {len(first)} and {len(second)} values. "
            "Leave out the seeds that one method lacks."
        )
    if not first:
        raise ArgumentError("paired_seeds needs the values of at least one seed; got none.")
    differences = [a - b for a, b in zip(first, second)]
    value, low, high, n = seed_interval(differences, level=level)
    if n == 1 or isnan(low):
        return Difference(value, nan, nan, nan, n)
    from scipy.stats import t

    spread = sqrt(sum((d - value) ** 2 for d in differences) / (n - 1) / n)
    statistic = value / spread if spread else copysign(inf, value) if value else 0.0
    return Difference(value, low, high, float(2 * t.sf(abs(statistic), n - 1)), n)


def _check_same(first: Predictions, second: Predictions, caller: str) -> None:
    if first.log_p.shape != second.log_p.shape:
        shapes = tuple(first.log_p.shape), tuple(second.log_p.shape)
        raise ArgumentError(
            f"{caller} needs the same examples and classes from both; got log_p of {shapes[0]} and {shapes[1]}."
        )
    if not torch.equal(first.rows, second.rows):
        if torch.equal(first.rows.sort().values, second.rows.sort().values):
            cure = "They are the same in another order: apply p.take(p.rows.argsort()) to both"
        else:
            cure = "Predict both on the same split"
        differ = int((first.rows != second.rows).sum())
        raise ArgumentError(
            f"{caller} needs the same rows of the data set; {differ} of {len(first.rows)} differ. {cure}."
        )
    if not torch.equal(first.y, second.y):
        differ = int((first.y != second.y).sum())
        raise ArgumentError(
            f"{caller} needs the same labels; {differ} of {len(first.y)} rows are labelled differently. "
            "The two were predicted on different data."
        )
