"""A value with its confidence interval: what metrics return and what tables and figures of a report print."""

from __future__ import annotations

from math import floor, isfinite, isnan, log10, sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A value with its confidence interval. It prints as ``0.980 [0.975, 0.984]``.

    Attributes:
        value: the estimate.
        low, high: the bounds of the interval; nan if they cannot be computed.
        n: the sample size; 0 if it is unknown.

    Example:
        >>> import surefooted as sf
        >>> sf.Interval(0.98, 0.975, 0.984, n=1000)
        0.980 [0.975, 0.984]
        >>> sf.Interval(0.98, 0.975, 0.984, n=1000).percent()
        '98.00 % [97.50, 98.40]'
        >>> f"{sf.Interval(0.98, 0.975, 0.984):.1%}", float(sf.Interval(0.98, 0.975, 0.984))
        ('98.0 % [97.5, 98.4]', 0.98)
    """

    value: float
    low: float
    high: float
    n: int = 0

    def percent(self) -> str:
        """The interval of a share in per cent: ``0.53 % [0.18, 1.55]``."""
        return f"{100 * self.value:.2f} % [{100 * self.low:.2f}, {100 * self.high:.2f}]"

    def __float__(self) -> float:
        return float(self.value)

    def __format__(self, spec: str) -> str:
        """The value and the bounds, each in the format `spec`; ``%`` prints ``70.0 % [60.4, 78.1]``."""
        if not spec or isnan(self.value):
            return repr(self)
        if spec.endswith("%"):
            value, low, high = (f"{100 * part:{spec[:-1]}f}" for part in self[:3])
            return f"{value} % [{low}, {high}]"
        value, low, high = (format(part, spec) for part in self[:3])
        return f"{value} [{low}, {high}]"

    def __repr__(self) -> str:
        return " ".join(self._texts()).strip()

    def _repr_html_(self) -> str:
        value, bounds = self._texts()
        hint = f' title="n = {self.n:,}"' if self.n else ""
        return f"<span{hint}>{value} <small>{bounds}</small></span>"

    def _texts(self) -> tuple[str, str]:
        """The value and its bounds with three decimals, or with more if the interval is narrower than 0.001."""
        if isnan(self.value):
            return "undefined", ""
        width = self.high - self.low
        scale = width if width > 0 else abs(self.value)
        digits = max(3, -floor(log10(scale))) if isfinite(scale) and scale > 0 else 3
        return f"{self.value:.{digits}f}", f"[{self.low:.{digits}f}, {self.high:.{digits}f}]"


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion; ``metrics.intervals.binomial_interval`` checks its arguments first.

    Args:
        successes: number of successes, at most n.
        n: number of trials, at least 1.
        level: confidence level.

    Reference: Wilson 1927; Brown, Cai & DasGupta 2001.

    Example:
        >>> wilson_interval(70, 100).percent()
        '70.00 % [60.42, 78.11]'
    """
    share = successes / n
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(share, low, high, n)
