"""Methods as points in the plane of two measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from surefooted.report.figures import format_as_percent
from surefooted.report.labels import LineEnd, name_lines, name_points
from surefooted.report.style import MUTED, colour_of, marker_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from surefooted.core.interval import Interval

_ARROWS = {"upper right": "↗", "lower right": "↘", "upper left": "↖", "lower left": "↙"}


def trade_off_plot(
    ax: Axes,
    points: Mapping[str, tuple[float | Interval, float | Interval]],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Accuracy",
    ylabel: str = "ECE",
    better: Literal["upper right", "lower right", "upper left", "lower left", ""] = "",
) -> None:
    """Draw one point per method, labelled so that no name covers a point or another name.

    Args:
        ax: the Axes to draw on.
        points: by method the two measures, each a number or an interval.
        names: all methods of the report, which fix the colours; by default the methods of this plot.
        xlabel, ylabel: labels of the axes.
        better: the corner of the better methods; an arrow points there.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from surefooted.core.interval import Interval
        >>> ax = Figure().subplots()
        >>> trade_off_plot(ax, {"LS": (0.93, Interval(0.03, 0.02, 0.04)), "PAT": (0.86, 0.08)}, better="lower right")
        >>> sorted(text.get_text() for text in ax.texts if text.get_text())
        ['LS', 'PAT', 'better ↘']
    """
    names = names or list(points)
    positions, bars = {}, []
    for name, pair in points.items():
        (x, left, right), (y, low, high) = (_value_and_bounds(number) for number in pair)
        colour, marker = colour_of(name, names), marker_of(name, names)
        for ends in (((left, y), (right, y)), ((x, low), (x, high))):
            ax.plot(*zip(*ends), color=colour, linewidth=1, alpha=0.6)
            bars.append(ends)
        ax.plot(x, y, color=colour, marker=marker, markersize=7, markeredgewidth=0)
        positions[name] = (x, y)
    ax.margins(0.15, 0.18)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if better:
        arrow = _ARROWS[better]
        ax.text(1, 1.02, f"better {arrow}", transform=ax.transAxes, ha="right", va="bottom", color=MUTED, fontsize=9)
    name_points(ax, positions, bars)


def paired_points(
    ax: Axes,
    pairs: Mapping[str, Sequence[tuple[float, float]]],
    *,
    names: Sequence[str] = (),
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw two joined points per method, the first filled and the second hollow, and the dashed diagonal x = y.

    Args:
        ax: the Axes to draw on.
        pairs: by method the point before and the point after.
        names: all methods of the report, which fix the colours; by default the methods of this plot.
        xlabel, ylabel: labels of the axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> paired_points(ax, {"PAT": [(0.5, 0.6), (0.5, 0.5)]}, xlabel="Accuracy", ylabel="Confidence")
        >>> ax.get_xlabel()
        'Accuracy'
    """
    names = names or list(pairs)
    for name, (before, after) in pairs.items():
        colour, marker = colour_of(name, names), marker_of(name, names)
        ax.plot(*zip(before, after), color=colour, linewidth=1)
        ax.plot(*before, color=colour, marker=marker, markersize=7, markeredgewidth=0)
        ax.plot(*after, color=colour, marker=marker, markersize=7, markeredgewidth=1.6, markerfacecolor="white")
    low, high = (end(value for pair in pairs.values() for point in pair for value in point) for end in (min, max))
    ax.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    format_as_percent(ax.xaxis, ax.yaxis)
    name_lines(ax, {name: LineEnd(None, colour_of(name, names), marker_of(name, names)) for name in pairs})


def _value_and_bounds(number: Any) -> tuple[float, float, float]:
    """A number or an interval as value, low, high; an unknown bound equals the value."""
    value = float(getattr(number, "value", number))
    low, high = (float(getattr(number, bound, value)) for bound in ("low", "high"))
    return value, value if np.isnan(low) else low, value if np.isnan(high) else high
