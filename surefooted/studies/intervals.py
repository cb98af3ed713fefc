"""Intervals of claims: of several cases at once, of two groups of images, and of groups of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot, nan, sqrt
from statistics import fmean
from typing import TypeVar

from torch import Tensor

from surefooted.evaluation.metrics.intervals import Interval, mean_interval

LEVEL = 0.95
Member = TypeVar("Member")


def simultaneous(interval: Interval, cases: int, *, level: float = LEVEL) -> Interval:
    """Widen a Student t interval so that ``cases`` of its kind hold at once (Bonferroni).

    Args:
        interval: a t interval of a mean of ``n`` values at the given level.
        cases: number of intervals.
        level: confidence level of each interval before, and of all of them together after.

    Returns:
        The interval at level 1 − (1 − level) / cases.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> wide = simultaneous(Interval(0.0, -1.0, 1.0, 10_000), 10)
        >>> round(wide.high, 2)  # 2.81 / 1.96, as the quantiles of a normal distribution
        1.43
    """
    value, low, high, n = interval
    if cases < 2 or n < 2:
        return interval
    from scipy.stats import t

    factor = float(t.isf((1 - level) / (2 * cases), n - 1) / t.isf((1 - level) / 2, n - 1))
    return Interval(value, value - factor * (value - low), value + factor * (high - value), n)


def mean_difference(first: Tensor, second: Tensor) -> Interval:
    """Difference of the means of two independent groups of examples, with a 95 % interval.

    Args:
        first, second: values of the examples of each group, shape (n,) and (m,).

    Returns:
        The interval; its bounds are nan if a group has fewer than two examples.

    Example:
        >>> import torch
        >>> mean_difference(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 2.0])).value
        2.5
    """
    one, other = mean_interval(first), mean_interval(second)
    value, half = one.value - other.value, hypot(one.high - one.value, other.high - other.value)
    return Interval(value, value - half, value + half, one.n + other.n)


def jackknife_interval(*groups: Jackknife) -> Interval:
    """A statistic of a group of networks, or its difference between two groups, with a 95 % interval over networks.

    A quantity that is measured on a group of networks, such as the variance of their predictions, has one value per
    group. Its standard error comes from the values that the group has without each of its networks.

    Args:
        groups: the statistic of one group, or of two independent groups of which the second is subtracted.

    Returns:
        Student's t interval, with Welch's degrees of freedom for two groups; its bounds are nan if a group has fewer
        than three networks.

    Reference: Efron and Stein 1981 (on average the jackknife does not underestimate a variance).

    Example:
        >>> one, other = Jackknife(3.0, (2.9, 3.0, 3.1)), Jackknife(1.0, (1.0, 1.1, 0.9))
        >>> gain = jackknife_interval(one, other)
        >>> gain.value, gain.low > 0
        (2.0, True)
    """
    from scipy.stats import t

    value = groups[0].value - sum(group.value for group in groups[1:])
    counts = [len(group.without) for group in groups]
    if min(counts) < 3:
        return Interval(value, nan, nan, sum(counts))
    errors = [group.squared_error for group in groups]
    if not (total := sum(errors)):
        return Interval(value, value, value, sum(counts))
    freedom = total**2 / sum(error**2 / (count - 1) for error, count in zip(errors, counts))
    half = float(t.isf((1 - LEVEL) / 2, freedom)) * sqrt(total)
    return Interval(value, value - half, value + half, sum(counts))


@dataclass(frozen=True)
class Jackknife:
    """A statistic of a group of networks.

    Attributes:
        value: of the whole group.
        without: of the group without each of its networks in turn.

    Example:
        >>> from statistics import fmean
        >>> group = Jackknife.of(fmean, [1.0, 2.0, 3.0])
        >>> group.value, group.without, round(group.squared_error, 3)  # of a mean: the variance / n
        (2.0, (2.5, 2.0, 1.5), 0.333)
    """

    value: float
    without: tuple[float, ...]

    @classmethod
    def of(cls, statistic: Callable[[Sequence[Member]], float], members: Sequence[Member]) -> Jackknife:
        """Measure a statistic on a group, and on the group without each member."""
        rest = [[*members[:i], *members[i + 1 :]] for i in range(len(members))] if len(members) > 2 else []
        return cls(statistic(members), tuple(statistic(part) for part in rest))

    @property
    def squared_error(self) -> float:
        """Squared standard error of the statistic over networks."""
        n, mean = len(self.without), fmean(self.without)
        return (n - 1) / n * sum((value - mean) ** 2 for value in self.without)
