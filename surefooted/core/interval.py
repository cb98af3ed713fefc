"""A value with its confidence interval: what metrics return and what tables and figures of a report print."""

from __future__ import annotations

from math import floor, isfinite, log10
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
    """

    value: float
    low: float
    high: float
    n: int = 0

    def percent(self) -> str:
        """The interval of a share in per cent: ``0.53 % [0.18, 1.55]``."""
        return f"{100 * self.value:.2f} % [{100 * self.low:.2f}, {100 * self.high:.2f}]"

    def __repr__(self) -> str:
        value, bounds = self._texts()
        return f"{value} {bounds}"

    def _repr_html_(self) -> str:
        value, bounds = self._texts()
        hint = f' title="n = {self.n:,}"' if self.n else ""
        return f"<span{hint}>{value} <small>{bounds}</small></span>"

    def _texts(self) -> tuple[str, str]:
        """The value and its bounds with three decimals, or with more if the interval is narrower than 0.001."""
        width = self.high - self.low
        scale = width if width > 0 else abs(self.value)
        digits = max(3, -floor(log10(scale))) if isfinite(scale) and scale > 0 else 3
        return f"{self.value:.{digits}f}", f"[{self.low:.{digits}f}, {self.high:.{digits}f}]"
