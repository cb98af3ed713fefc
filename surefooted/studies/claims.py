"""A claim and what was measured of it, as one finding: its 95 % interval gives the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import hypot, isnan
from typing import Protocol, runtime_checkable

from torch import Tensor

from surefooted.evaluation.metrics.intervals import Interval, mean_interval, seed_interval
from surefooted.report import Finding
from surefooted.report.page import Verdict

# Units of shares, and of variances of shares, which are printed a hundredfold.
POINTS, HUNDREDTHS = " points", " hundredths"
# A share as good as none: what one run of an attack may miss, or find by luck.
ZERO_TOLERANCE = 0.01
AGAINST = f"against {100 * ZERO_TOLERANCE:g} %"
# Two networks of one method are a first idea of how trainings differ, and a rough one: were there nothing else, a
# difference would still be above three times theirs in a fifth of the cases.
SEED_SPREAD_FACTOR = 3


@runtime_checkable
class Gain(Protocol):
    """An interval of whatever kind: above 0 where the claim is borne out."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def claim_gain(
    text: str, gain: Gain, measure: str, *, see: str = "", over: str = "", margin: float = 0.0, unit: str = POINTS
) -> Finding:
    """A claim judged by the interval of its gain: it holds if that lies above the margin.

    Args:
        measure: what the gain is a gain of.
        over: what the interval is over.
        margin: what the gain must exceed; below 0 for "not worse by more than".
        unit: of what is printed; points and hundredths are a hundred times the gain.
    """
    verdict: Verdict = "holds" if gain.low > margin else "does not hold" if gain.high < margin else "unclear"
    beyond = f", against {_told(margin, unit)}" if margin else ""
    told = f"; {over}" if over else ""
    return Finding(text, verdict, f"{measure}: {spelled(gain, unit)}{beyond}{told}", see)


def claim_equal(text: str, gain: Gain, measure: str, *, within: float, see: str = "", over: str = "") -> Finding:
    """A claim of no difference: it holds if the whole interval is within so much of 0, either way."""
    lies = -within < gain.low and gain.high < within
    verdict: Verdict = "holds" if lies else "does not hold" if gain.low > within or gain.high < -within else "unclear"
    return Finding(text, verdict, f"{measure}: {spelled(gain)}, against ±{100 * within:g}; {over}", see)


def claim_at_most(text: str, accuracy: Interval, guess: float, who: str, *, see: str = "", over: str = "") -> Finding:
    """A claim that an accuracy is no better than a guess: it holds if its whole interval lies below."""
    short = Interval(guess - accuracy.value, guess - accuracy.high, guess - accuracy.low, accuracy.n)
    return claim_gain(text, short, f"{100 * guess:g} % less {who}", see=see, over=over)


def claim_zero(text: str, shares: Sequence[Interval], evidence: str, *, see: str = "") -> Finding:
    """A claim that shares are 0: it holds if all of their intervals lie below ``LITTLE``, not if one lies above."""
    gone, left = (
        all(share.high < ZERO_TOLERANCE for share in shares),
        any(share.low > ZERO_TOLERANCE for share in shares),
    )
    return Finding(text, "holds" if gone else "does not hold" if left else "unclear", evidence, see)


def claim_all(text: str, gains: Mapping[str, Gain], measure: str, *, see: str = "", over: str = "") -> Finding:
    """A claim on every one of several settings: it fails where one is surely lost, and needs one that is surely won.

    Args:
        gains: by setting.
    """
    won, lost = sum(gain.low > 0 for gain in gains.values()), sum(gain.high < 0 for gain in gains.values())
    verdict: Verdict = "does not hold" if lost else "holds" if won else "unclear"
    each = ", ".join(f"{100 * gain.value:+.1f} {where}" for where, gain in gains.items())
    told = f"{measure}, points: {each}; surely ahead in {won} of {len(gains)}, surely behind in {lost}; {over}"
    return Finding(text, verdict, told, see)


def discount_by_seed_spread(found: Finding, by: float, apart: float, told: str) -> Finding:
    """Unclear, where the gain is little beside what two trainings of one kind differ by.

    Args:
        by: the gain.
        apart: how far apart the two are.
        told: which two they are, and by what.
    """
    said = f"{found.evidence}; two networks of {told} are {100 * apart:.2f} points apart"
    if abs(by) > SEED_SPREAD_FACTOR * apart:
        return replace(found, evidence=said)
    return replace(found, verdict="unclear", evidence=f"{said}, which is not little beside it")


def over_seeds(
    text: str, gains: Sequence[float], measure: str, *, see: str = "", margin: float = 0.0, unit: str = POINTS
) -> Finding:
    """A claim judged by its gain on every seed: the t interval of their mean."""
    gain, over = seed_interval(gains), f"over {len(gains)} seeds"
    return claim_gain(text, gain, measure, see=see, over=over, margin=margin, unit=unit)


def spelled(gain: Gain, unit: str = POINTS) -> str:
    """``+1.20 points [+0.80, +1.60]``."""
    value, low, high = (_told(float(part), unit) for part in (gain.value, gain.low, gain.high))
    return f"{value}{unit}, too few for an interval" if isnan(gain.low) else f"{value}{unit} [{low}, {high}]"


def apart(first: Tensor, second: Tensor) -> Interval:
    """Difference of the means of two groups of examples, with its interval; of fewer than two there is none."""
    one, other = mean_interval(first), mean_interval(second)
    value, half = one.value - other.value, hypot(one.high - one.value, other.high - other.value)
    return Interval(value, value - half, value + half, one.n + other.n)


def _told(value: float, unit: str) -> str:
    return f"{100 * value:+.2f}" if unit in (POINTS, HUNDREDTHS) else f"{value:+.3g}"
