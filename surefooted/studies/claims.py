"""Claims and their verdicts: a 95 % interval of what was measured decides whether a claim holds.

A claim *holds* if its interval lies above the margin, *does not hold* if it lies below, and is *unclear* otherwise.

One rule applies to all studies: a claim about methods is a claim about trainings. Where there are several trainings per
method, the interval is over trainings. Where there is one, the interval covers test images only, and the verdict is at
most *suggests it holds* or *suggests it does not*. If a second training of a method is known, a gain that is not more
than ``SEED_SPREAD_FACTOR`` times the difference of the two is *unclear*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Protocol, runtime_checkable

from surefooted.evaluation.metrics.intervals import Interval, seed_interval
from surefooted.report import Finding
from surefooted.report.page import Verdict
from surefooted.studies.intervals import simultaneous

# Units of shares, and of variances of shares. Both are printed multiplied by 100.
POINTS, HUNDREDTHS = " points", " hundredths"
# A share below this counts as 0: one run of an attack may miss that many images, or break them by chance.
ZERO_TOLERANCE = 0.01
TOLERANCE_NOTE = f"tolerance {100 * ZERO_TOLERANCE:g} %"
# The difference of two seeds is a rough estimate of the spread over seeds. Without any effect, a difference would still
# exceed three times this estimate in about a fifth of the cases.
SEED_SPREAD_FACTOR = 3
_FROM_ONE_TRAINING: dict[Verdict, Verdict] = {"holds": "suggests it holds", "does not hold": "suggests it does not"}


@dataclass(frozen=True)
class Sampling:
    """What an interval covers.

    Attributes:
        text: in words, for captions and evidence.
        trainings: independent trainings per method that the numbers rest on; None for a claim about one given network,
            as in an audit.

    Example:
        >>> str(over_seeds(3)), str(over_images())
        ('95 % interval over 3 seeds', 'one training per method, 95 % interval over test images')
    """

    text: str
    trainings: int | None

    def __str__(self) -> str:
        return self.text


def over_seeds(seeds: int) -> Sampling:
    """Intervals over several trainings per method."""
    return Sampling(f"95 % interval over {seeds} seeds", seeds)


def over_images() -> Sampling:
    """Intervals over test images, of one training per method."""
    return Sampling("one training per method, 95 % interval over test images", 1)


def judge(text: str, verdict: Verdict, evidence: str, sampling: Sampling, *, see: str = "") -> Finding:
    """A finding whose verdict goes no further than its trainings: from a single one it is at most *suggests*.

    Args:
        text: the claim.
        verdict: what the numbers say.
        evidence: the numbers, in words.
        sampling: what their interval covers, and the trainings that they rest on.
        see: name of the table or figure that shows the numbers.

    Example:
        >>> judge("A beats B.", "holds", "+2 points", over_images()).verdict
        'suggests it holds'
        >>> judge("A beats B.", "holds", "+2 points", over_seeds(3)).verdict
        'holds'
    """
    limited = _FROM_ONE_TRAINING.get(verdict, verdict) if sampling.trainings == 1 else verdict
    return Finding(text, limited, f"{evidence}; {sampling}", see)


@runtime_checkable
class Gain(Protocol):
    """A difference with its interval, of whatever type: above 0 if the claim is true.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> isinstance(Interval(0.02, 0.01, 0.03, 100), Gain)
        True
    """

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def claim_gain(
    text: str,
    gain: Gain,
    measure: str,
    sampling: Sampling,
    *,
    see: str = "",
    margin: float = 0.0,
    unit: str = POINTS,
) -> Finding:
    """Judge a claim of a gain: it holds if the whole interval lies above the margin.

    Args:
        text: the claim.
        gain: the measured difference with its interval.
        measure: the quantity and its two sides, such as "accuracy, UTA-AT minus PGD-AT".
        sampling: what the interval covers.
        see: name of the table or figure that shows the numbers.
        margin: what the gain must exceed; below 0 for "not worse by more than".
        unit: unit of the printed numbers. Points and hundredths are printed multiplied by 100.

    Returns:
        The claim with its verdict and evidence.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> finding = claim_gain("A beats B.", Interval(0.02, 0.01, 0.03, 3), "accuracy, A minus B", over_seeds(3))
        >>> finding.verdict, finding.evidence
        ('holds', 'accuracy, A minus B: +2.00 points [+1.00, +3.00]; 95 % interval over 3 seeds')
    """
    verdict: Verdict = "holds" if gain.low > margin else "does not hold" if gain.high < margin else "unclear"
    threshold = f", margin {_format_number(margin, unit)}" if margin else ""
    return judge(text, verdict, f"{measure}: {format_gain(gain, unit)}{threshold}", sampling, see=see)


def claim_equal(text: str, gain: Gain, measure: str, sampling: Sampling, *, within: float, see: str = "") -> Finding:
    """Judge a claim of equivalence: it holds if the whole interval lies within ±``within``.

    Args:
        text, gain, measure, sampling, see: as for ``claim_gain``.
        within: largest difference, as a share, that still counts as equal.

    Returns:
        The claim; it does not hold if the whole interval lies outside on one side.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> claim_equal("A equals B.", Interval(0.0, -0.004, 0.004, 3), "A minus B", over_seeds(3), within=0.01).verdict
        'holds'
    """
    inside, outside = -within < gain.low and gain.high < within, gain.low > within or gain.high < -within
    verdict: Verdict = "holds" if inside else "does not hold" if outside else "unclear"
    evidence = f"{measure}: {format_gain(gain)}, equivalence margin ±{100 * within:g} points"
    return judge(text, verdict, evidence, sampling, see=see)


def claim_at_most(
    text: str, accuracy: Interval, chance: float, subject: str, sampling: Sampling, *, see: str = ""
) -> Finding:
    """Judge a claim that an accuracy is no better than chance: it holds if the whole interval lies below.

    Args:
        text, sampling, see: as for ``claim_gain``.
        accuracy: the measured accuracy with its interval.
        chance: accuracy of a random guess.
        subject: what the accuracy is of, such as "EntM under PGD40-48".

    Returns:
        The claim; it does not hold if the whole interval lies above chance.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> above = Interval(0.15, 0.13, 0.17, 3)
        >>> claim_at_most("EntM is at chance.", above, 0.1, "EntM under PGD", over_seeds(3)).evidence
        'EntM under PGD is 5.00 points above chance (10 %) [+3.00, +7.00]; 95 % interval over 3 seeds'
    """
    low, high = accuracy.low - chance, accuracy.high - chance
    verdict: Verdict = "holds" if high < 0 else "does not hold" if low > 0 else "unclear"
    distance = accuracy.value - chance
    bounds = "" if isnan(low) else f" [{_format_number(low, POINTS)}, {_format_number(high, POINTS)}]"
    side = "below" if distance < 0 else "above"
    evidence = f"{subject} is {100 * abs(distance):.2f} points {side} chance ({100 * chance:g} %){bounds}"
    return judge(text, verdict, evidence, sampling, see=see)


def claim_zero(text: str, shares: Sequence[Interval], evidence: str, sampling: Sampling, *, see: str = "") -> Finding:
    """Judge a claim that shares are 0: it holds if all intervals lie below ``ZERO_TOLERANCE``.

    Args:
        text, sampling, see: as for ``claim_gain``.
        shares: the shares with their intervals.
        evidence: the numbers, in words.

    Returns:
        The claim; it does not hold if any interval lies above ``ZERO_TOLERANCE``.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> claim_zero("Nothing withstands.", [Interval(0.0, 0.0, 0.004, 3)], "0 of 1000", over_seeds(3)).verdict
        'holds'
    """
    zero = all(share.high < ZERO_TOLERANCE for share in shares)
    positive = any(share.low > ZERO_TOLERANCE for share in shares)
    return judge(text, "holds" if zero else "does not hold" if positive else "unclear", evidence, sampling, see=see)


def claim_all(
    text: str,
    gains: Mapping[str, Interval],
    measure: str,
    sampling: Sampling,
    *,
    see: str = "",
    margin: float = 0.0,
) -> Finding:
    """Judge a claim on every one of several cases: it holds if every case is significantly better.

    "Every case is better" needs no correction for the number of cases: all tests must reject (an intersection-union
    test). "Some case is worse" does, because one of many cases looks worse by chance; its intervals are widened to
    simultaneous ones (Bonferroni).

    Args:
        text, measure, sampling, see: as for ``claim_gain``.
        gains: the gain in each case, with its Student t interval of 95 %, by the case's name.
        margin: what every gain must exceed; below 0 for "nowhere worse by more than".

    Returns:
        The claim; it does not hold if at least one case is significantly worse, and is unclear otherwise.

    Reference: Berger 1982, theorem 1 (intersection-union tests).

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> better, unclear = Interval(0.02, 0.01, 0.03, 100), Interval(0.0, -0.01, 0.01, 100)
        >>> claim_all("A beats B.", {"at 0.1": better, "at 0.2": unclear}, "A minus B", over_seeds(3)).verdict
        'unclear'
    """
    better = sum(gain.low > margin for gain in gains.values())
    worse = sum(simultaneous(gain, len(gains)).high < margin for gain in gains.values())
    verdict: Verdict = "does not hold" if worse else "holds" if gains and better == len(gains) else "unclear"
    values = ", ".join(f"{100 * gain.value:+.1f} {case}" for case, gain in gains.items())
    threshold = f", margin {_format_number(margin, POINTS)}" if margin else ""
    counts = f"significantly better in {better} of {len(gains)} cases, worse in {worse}"
    corrected = f" (corrected for {len(gains)} comparisons)" if len(gains) > 1 else ""
    return judge(text, verdict, f"{measure}, points: {values}{threshold}; {counts}{corrected}", sampling, see=see)


def claim_gain_over_seeds(
    text: str, gains: Sequence[float], measure: str, *, see: str = "", margin: float = 0.0, unit: str = POINTS
) -> Finding:
    """Judge a claim by its gain in every seed, with the Student t interval of the mean over seeds.

    Args:
        text, measure, see, margin, unit: as for ``claim_gain``.
        gains: the gain of each seed.

    Returns:
        The claim; with a single seed it is unclear.

    Example:
        >>> claim_gain_over_seeds("A beats B.", [0.010, 0.011, 0.009], "accuracy, A minus B").verdict
        'holds'
    """
    return claim_gain(text, seed_interval(gains), measure, over_seeds(len(gains)), see=see, margin=margin, unit=unit)


def discount_by_seed_spread(finding: Finding, gain: float, seed_difference: float, networks: str) -> Finding:
    """Turn a verdict into *unclear* if the gain is not large compared with the difference of two seeds.

    Args:
        finding: a claim judged by an interval that does not cover training seeds.
        gain: the gain that the claim is about.
        seed_difference: absolute difference of two trainings that differ in their seed only.
        networks: which two they are, such as "PAT under PGD40-48".

    Returns:
        The finding with the seeds' difference in its evidence. The verdict stays if the gain is more than
        ``SEED_SPREAD_FACTOR`` times as large.

    Example:
        >>> finding = claim_gain_over_seeds("A beats B.", [0.010, 0.011, 0.009], "accuracy, A minus B")
        >>> discount_by_seed_spread(finding, 0.01, 0.005, "A").verdict
        'unclear'
    """
    evidence = f"{finding.evidence}; two seeds of {networks} differ by {100 * seed_difference:.2f} points"
    if abs(gain) > SEED_SPREAD_FACTOR * seed_difference:
        return replace(finding, evidence=evidence)
    return replace(finding, verdict="unclear", evidence=f"{evidence}, at least 1/{SEED_SPREAD_FACTOR} of the effect")


def format_gain(gain: Gain, unit: str = POINTS) -> str:
    """A gain with its interval as text.

    Example:
        >>> from surefooted.evaluation.metrics.intervals import Interval
        >>> format_gain(Interval(0.012, 0.008, 0.016, 100))
        '+1.20 points [+0.80, +1.60]'
    """
    value, low, high = (_format_number(float(part), unit) for part in (gain.value, gain.low, gain.high))
    return f"{value}{unit}, too few values for an interval" if isnan(gain.low) else f"{value}{unit} [{low}, {high}]"


def _format_number(value: float, unit: str) -> str:
    return f"{100 * value:+.2f}" if unit in (POINTS, HUNDREDTHS) else f"{value:+.3g}"
