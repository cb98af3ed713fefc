"""Box plots over types of distribution shift, as AR-AdaLS draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from surefooted.errors import ArgumentError
from surefooted.report.figures import format_as_percent
from surefooted.report.labels import LineEnd, name_lines
from surefooted.report.style import colour_of, marker_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def box_plot(
    ax: Axes,
    groups: Mapping[str, Sequence[ArrayLike]],
    *,
    ticks: Sequence[str],
    names: Sequence[str] = (),
    ylabel: str = "ECE",
    xlabel: str = "Shift intensity",
    percent: bool = True,
) -> None:
    """Draw one box per tick and method: median, quartiles, and whiskers from the minimum to the maximum.

    Args:
        ax: the Axes to draw on.
        groups: by method, for each tick the values over the types of shift; a single value becomes a line.
        ticks: labels of the groups, such as clean, 1, ..., 5.
        names: all methods of the report, which fix the colours; by default the methods of this plot.
        ylabel, xlabel: labels of the axes.
        percent: whether values are shares, printed in per cent.

    Raises:
        ArgumentError: if a method does not have one group of values per tick.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> box_plot(ax, {"PAT": [[0.08], [0.1, 0.2, 0.15]]}, ticks=["clean", "1"])
        >>> [label.get_text() for label in ax.get_xticklabels()]
        ['clean', '1']
    """
    names = names or list(groups)
    width = 0.8 / len(groups)
    for m, (name, values) in enumerate(groups.items()):
        if len(values) != len(ticks):
            raise ArgumentError(
                f"boxes: {name!r} has values for {len(values)} of {len(ticks)} ticks; give all of them."
            )
        colour = colour_of(name, names)
        for k, group in enumerate(values):
            least, low, median, high, most = np.quantile(np.asarray(group, float), (0, 0.25, 0.5, 0.75, 1))
            x = k + (m - (len(groups) - 1) / 2) * width
            ax.plot([x, x], [least, most], color=colour, linewidth=1)
            ax.bar(x, high - low, width * 0.8, low, color=colour, alpha=0.35, edgecolor=colour, linewidth=0.8)
            ax.plot([x - width * 0.4, x + width * 0.4], [median, median], color=colour, linewidth=1.8)
    ax.set(xlabel=xlabel, ylabel=ylabel, xticks=range(len(ticks)), xticklabels=list(ticks))
    ax.grid(False, axis="x")
    if percent:
        format_as_percent(ax.yaxis)
    name_lines(ax, {name: LineEnd(None, colour_of(name, names), marker_of(name, names)) for name in groups})
