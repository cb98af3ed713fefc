"""What a study is: cells to make, and a page that reads them from the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from surefooted.cell import Cell
from surefooted.checked import Component, Spec
from surefooted.metrics.intervals import seed_interval
from surefooted.report import Finding, Page
from surefooted.report.page import Verdict
from surefooted.store import Store


@dataclass(frozen=True, eq=False)
class Study(Component):
    """A named set of computations and the report on them.

    Attributes:
        cells: all artefacts that the page reads; what they need in turn is found by itself.
        page: reads the store, computes no artefact.
    """

    package = "surefooted.studies"

    cells: Callable[[], Sequence[Cell]]
    page: Callable[[Store], Page]
    spec: Spec | None = field(default=None, compare=False, repr=False)


def finding(
    text: str, gains: Sequence[float], measure: str, *, see: str = "", scale: float = 1.0, unit: str = ""
) -> Finding:
    """A claim judged by its gain on every seed: it holds if the 95 % t interval of the mean gain lies above 0.

    Args:
        gains: one a seed, above 0 where the claim is borne out.
        measure: what the gain is a gain of.
    """
    value, low, high, n = seed_interval([scale * gain for gain in gains])
    verdict: Verdict = "holds" if low > 0 else "does not hold" if high < 0 else "unclear"
    return Finding(text, verdict, f"{measure}: {value:+.2f}{unit} [{low:+.2f}, {high:+.2f}] over {n} seeds", see)
