"""Box plots over the types of a shift, as AR-AdaLS draws them: quartiles, whiskers to the least and the greatest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from surefooted.errors import InputError
from surefooted.report.figures import format_as_percent
from surefooted.report.labels import LineEnd, name_lines
from surefooted.report.style import colour_of, marker_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def boxes(
    ax: Axes,
    groups: Mapping[str, Sequence[ArrayLike]],
    *,
    ticks: Sequence[str],
    names: Sequence[str] = (),
    ylabel: str = "ECE",
    xlabel: str = "Shift intensity",
    percent: bool = True,
) -> None:
    """For every tick a box a method: median, quartiles, and whiskers from the least to the greatest value.

    Args:
        groups: method → for each tick the values over the types of shift; a single value is a line.
        ticks: what stands under the groups, such as clean, 1, ..., 5.
    """
    names = names or list(groups)
    width = 0.8 / len(groups)
    for m, (name, values) in enumerate(groups.items()):
        if len(values) != len(ticks):
            raise InputError(
                f"boxes: {name!r} has values for {len(values)} ticks of {len(ticks)}; give each tick some."
            )
        colour = colour_of(name, names)
        for k, each in enumerate(values):
            least, low, middle, high, most = np.quantile(np.asarray(each, float), (0, 0.25, 0.5, 0.75, 1))
            x = k + (m - (len(groups) - 1) / 2) * width
            ax.plot([x, x], [least, most], color=colour, linewidth=1)
            ax.bar(x, high - low, width * 0.8, low, color=colour, alpha=0.35, edgecolor=colour, linewidth=0.8)
            ax.plot([x - width * 0.4, x + width * 0.4], [middle, middle], color=colour, linewidth=1.8)
    ax.set(xlabel=xlabel, ylabel=ylabel, xticks=range(len(ticks)), xticklabels=list(ticks))
    ax.grid(False, axis="x")
    if percent:
        format_as_percent(ax.yaxis)
    name_lines(ax, {name: LineEnd(None, colour_of(name, names), marker_of(name, names)) for name in groups})
