"""Methods as points in two measures."""

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


def trade_off(
    ax: Axes,
    points: Mapping[str, tuple[float | Interval, float | Interval]],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Accuracy",
    ylabel: str = "ECE",
    better: Literal["upper right", "lower right", "upper left", "lower left", ""] = "",
) -> None:
    """A point a method in two measures, each a number or an interval, named where no other point or name is covered.

    Args:
        better: the corner where the better methods lie; an arrow points there.
    """
    names = names or list(points)
    at, bars = {}, []
    for name, pair in points.items():
        (x, left, right), (y, low, high) = (_value_and_bounds(number) for number in pair)
        colour, marker = colour_of(name, names), marker_of(name, names)
        for ends in (((left, y), (right, y)), ((x, low), (x, high))):
            ax.plot(*zip(*ends), color=colour, linewidth=1, alpha=0.6)
            bars.append(ends)
        ax.plot(x, y, color=colour, marker=marker, markersize=7, markeredgewidth=0)
        at[name] = (x, y)
    ax.margins(0.15, 0.18)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if better:
        arrow = _ARROWS[better]
        ax.text(1, 1.02, f"better {arrow}", transform=ax.transAxes, ha="right", va="bottom", color=MUTED, fontsize=9)
    name_points(ax, at, bars)


def moves(
    ax: Axes,
    pairs: Mapping[str, Sequence[tuple[float, float]]],
    *,
    names: Sequence[str] = (),
    xlabel: str,
    ylabel: str,
) -> None:
    """Two points a method, filled and then hollow, joined: what it was and what became of it. Dashed: x = y."""
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
    """A number or an interval as value, low, high; a bound that is not known is the value."""
    value = float(getattr(number, "value", number))
    low, high = (float(getattr(number, bound, value)) for bound in ("low", "high"))
    return value, value if np.isnan(low) else low, value if np.isnan(high) else high
