"""One plot of a figure: the function that draws it, and the numbers that it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Panel:
    """One plot: a function that draws on given matplotlib Axes, such as those of ``surefooted.report.figures``.

    Attributes:
        draw: draws the same every time; it may remove, split or inset the Axes.
        title: printed above the plot.
        size: width and height in inches. Up to 5 inches wide, text is legible on a phone.
        series: the numbers that are drawn, by name: each a ``Line``, ``ReliabilityBins`` or another named tuple of
            arrays of equal length. They are written to files beside the figure.

    Example:
        >>> Panel(lambda ax: ax.plot([0, 1], [1, 0]), "Accuracy").size
        (4.8, 3.4)
    """

    draw: Callable[[Axes], Any]
    title: str = ""
    size: tuple[float, float] = (4.8, 3.4)
    series: Mapping[str, Any] = field(default_factory=dict)
