"""Confidence intervals: over examples, of proportions, and over training seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, fsum, nan, sqrt
from statistics import fmean
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from surefooted.components.component import Count, Whole, component
from surefooted.core.interval import Interval as Interval
from surefooted.core.interval import wilson_interval
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.functional import GapFunctional, Metric, as_functional

ConfidenceLevel = Annotated[float, Field(gt=0, lt=1, description="number between 0 and 1")]


@component
def bootstrap(
    metric: Metric,
    p: Predictions,
    *,
    draws: Count = 1000,
    level: ConfidenceLevel = 0.95,
    seed: Whole = 0,
    kind: Literal["percentile", "basic"] = "percentile",
) -> Interval:
    """Bootstrap confidence interval of a metric over examples; it does not depend on the order of the rows.

    Entries with equal ``p.rows`` are views of one example (such as a corruption at five severities) and are resampled
    together.

    A calibration error is biased upward, and its resamples are biased once more, because repeated examples enlarge
    chance gaps. Neither interval of ``ece`` and its relatives covers near perfect calibration: the percentile interval
    lies too high, and the basic one can lie below its own estimate. Use ``calibration_interval`` for them, as
    ``measure`` does.

    Args:
        metric: a metric of this package, ``functools.partial`` of one, or any function of ``Predictions``, which is
            then called once per draw.
        p: predictions.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples; the same seed gives the same interval.
        kind: ``percentile`` uses the quantiles of the draws; ``basic`` reflects them at the value,
            (2·value - q_high, 2·value - q_low), and may extend below 0.

    Returns:
        The value with its interval. The bounds are nan for a single example, and if the metric is undefined for some
        draw.

    Reference: Davison & Hinkley 1997, chapter 5.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 15 + [1] * 5))
        >>> interval = sf.bootstrap(sf.metrics.accuracy, p, draws=200)
        >>> interval.low < interval.value == 0.75 < interval.high
        True
    """
    examples, unit = torch.unique(p.rows, return_inverse=True)
    n, value = len(examples), float(metric(p))
    if n == 1:
        return Interval(value, nan, nan, n)
    functional = as_functional(metric, p)
    values = torch.cat([functional(w[:, unit]) for w in resamples(n, draws, seed, p.log_p.device)])
    if values.isnan().any():  # such as a draw without errors to detect
        return Interval(value, nan, nan, n)
    low, high = central_quantiles(values, level)
    if kind == "basic":
        low, high = 2 * value - high, 2 * value - low
    return Interval(value, low, high, n)


@component
def calibration_interval(
    metric: Metric, p: Predictions, *, draws: Count = 1000, level: ConfidenceLevel = 0.95, seed: Whole = 0
) -> Interval:
    """Confidence interval of a calibration error: the true errors under which the one that was seen is not surprising.

    A calibration error is a norm of signed gaps, such as Σ|gap| over bins, and chance alone makes it positive. The
    interval is found by inverting a test. If the true gaps were s times the gaps g that were seen, the error of a
    sample would be ‖s·g + e‖, where e is the noise of the gaps: bootstrap draws minus g. The interval holds s·‖g‖ for
    all s of which neither tail has less than (1 - level) / 2 of the draws on the other side of ‖g‖. It begins at 0 if
    a calibrated model (s = 0) might show such an error. It is extended to hold the metric's own value, which near
    perfect calibration is larger than all errors that are likely to have caused it; coverage then exceeds the level.

    Coverage for models of 10 classes, by n and true error, is printed by ``bench/calibration_intervals.py``.

    Args:
        metric: a calibration error of this package, or ``functools.partial`` of one.
        p: predictions. Entries with equal ``p.rows`` are resampled together.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Returns:
        The value with its interval; for a single example, the bounds are nan.

    Raises:
        ArgumentError: if the metric is no calibration error.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 100).log(), torch.tensor([0] * 92 + [1] * 8))
        >>> interval = calibration_interval(sf.metrics.ece, p)
        >>> round(interval.value, 3), interval.low
        (0.02, 0.0)
    """
    functional = as_functional(metric, p)
    if not isinstance(functional, GapFunctional):
        raise ArgumentError("calibration_interval needs a calibration error, such as metrics.ece; use bootstrap.")
    return invert_gaps(functional, float(metric(p)), p.rows, draws=draws, level=level, seed=seed)


def invert_gaps(
    functional: GapFunctional,
    value: float,
    rows: Int[Tensor, " n"],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of ``calibration_interval`` for any functional of gaps, such as a mean of calibration errors.

    Args:
        functional: the gaps and their norm.
        value: what the functional gives at equal weights.
        rows: (N,) number of each example; entries with equal numbers are resampled together.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Returns:
        The value with its interval; for a single example, the bounds are nan.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 100).log(), torch.tensor([0] * 92 + [1] * 8))
        >>> found = invert_gaps(as_functional(sf.metrics.ece, p), sf.metrics.ece(p), p.rows)
        >>> found == calibration_interval(sf.metrics.ece, p)
        True
    """
    examples, unit = torch.unique(rows, return_inverse=True)
    n, device = len(examples), rows.device
    if n == 1:
        return Interval(value, nan, nan, n)
    gaps = functional.gaps(torch.ones(1, len(unit), dtype=torch.float64, device=device))
    noise = torch.cat([functional.gaps(w[:, unit]) - gaps for w in resamples(n, draws, seed, device)], 1)
    seen, tail = float(functional.norm(gaps)), (1 - level) / 2

    def likely(scale: float, *, larger: bool) -> bool:
        """Whether an error at least as large, or as small, as the one seen is likely under scaled gaps."""
        errors = functional.norm(scale * gaps + noise)
        return float((errors >= seen if larger else errors <= seen).double().mean()) > tail

    def bound(inside: float, outside: float, *, larger: bool) -> float:
        for _ in range(20):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if likely(middle, larger=larger) else (inside, middle)
        return inside

    low = 0.0 if likely(0.0, larger=True) else bound(1.0, 0.0, larger=True)
    high = 1.0
    while likely(high, larger=False) and high * seen < 1:
        high *= 2
    high = bound(0.0, high, larger=False)
    return Interval(value, min(low * seen, value), max(min(high * seen, 1.0), value), n)


@component
def binomial_interval(successes: Whole, n: Count, *, level: ConfidenceLevel = 0.95) -> Interval:
    """Wilson score interval of a proportion, for accuracy and robust accuracy.

    Its average coverage is close to the nominal level, whereas the Clopper-Pearson interval is conservative. It stays
    in [0, 1] and has a positive width at 0 or n successes.

    Args:
        successes: number of successes, at most n.
        n: number of trials.
        level: confidence level.

    Raises:
        ArgumentError: if there are more successes than trials.

    Reference: Wilson 1927; Brown, Cai & DasGupta 2001.

    Example:
        >>> binomial_interval(70, 100).percent()
        '70.00 % [60.42, 78.11]'
    """
    if successes > n:
        raise ArgumentError(f"binomial_interval needs at most n successes; got {successes} of {n}.")
    return wilson_interval(successes, n, level)


@component
def seed_interval(values: Sequence[float], *, level: ConfidenceLevel = 0.95) -> Interval:
    """Student's t interval of the mean over independently seeded training runs.

    Args:
        values: one value per seed.
        level: confidence level.

    Returns:
        The mean with its interval; for one seed the bounds are nan.

    Raises:
        ArgumentError: if there is no value.

    Example:
        >>> interval = seed_interval([0.91, 0.93, 0.90])
        >>> round(interval.value, 3), round(interval.low, 3), round(interval.high, 3)
        (0.913, 0.875, 0.951)
    """
    n = len(values)
    if n == 0:
        raise ArgumentError("seed_interval needs the value of at least one seed; got none.")
    mean = fmean(values)
    if n == 1:
        return Interval(mean, nan, nan, n)
    from scipy.stats import t

    spread = sqrt(fsum((value - mean) ** 2 for value in values) / (n - 1))  # statistics.stdev fails on inf and nan
    half = float(t.ppf((1 + level) / 2, n - 1)) * spread / sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def mean_interval(values: Float[Tensor, " n"], *, level: ConfidenceLevel = 0.95) -> Interval:
    """Student's t interval of a mean over examples; for fewer than two examples the bounds are nan.

    Example:
        >>> interval = mean_interval(torch.tensor([1.0, 2.0, 3.0]))
        >>> interval.value, interval.n
        (2.0, 3)
    """
    n = len(values)
    mean = float(values.double().mean())
    if n < 2:
        return Interval(mean, nan, nan, n)
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, n - 1)) * float(values.double().std()) / sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def resamples(n: int, draws: int, seed: int, device: torch.device) -> Iterator[Float[Tensor, "d n"]]:
    """Bootstrap weights: how often each of n examples was drawn, one row per resample, yielded in batches of rows."""
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, 2**19 // n)  # 4 MB of weights, so that what is computed from them stays in the cache
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        drawn = torch.randint(n, (rows, n), generator=generator)
        one = torch.ones((), dtype=torch.float64).expand(rows, n)
        yield torch.zeros(rows, n, dtype=torch.float64).scatter_add_(1, drawn, one).to(device)


def central_quantiles(values: Float[Tensor, " d"], level: float) -> tuple[float, float]:
    """Order statistics that enclose at least the central share ``level``; values may be infinite: no interpolation."""
    ordered, tail, last = values.sort().values, (1 - level) / 2, len(values) - 1
    return float(ordered[floor(tail * last)]), float(ordered[ceil((1 - tail) * last)])
