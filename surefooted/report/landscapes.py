"""Height maps of a function around an example, and scatter plots of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from surefooted.report.style import INK, colour_of, ordinal_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

_COLOURS = 8


def height_map(ax: Axes, offsets: ArrayLike, values: ArrayLike, *, title: str = "", boundary: bool = False) -> None:
    """Draw values over the first offset (horizontal) and the second (vertical); dark is low. The title gains the range.

    Args:
        ax: the Axes to draw on.
        offsets: (G,) offsets in both directions.
        values: (G, G), by the first offset, then the second.
        title: printed above.
        boundary: whether to draw the line on which the values are 0.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> offsets = np.linspace(-1, 1, 5)
        >>> height_map(ax, offsets, np.add.outer(offsets, offsets), title="Margin", boundary=True)
        >>> ax.get_xlabel()
        "ε₁, along the gradient's sign"
    """
    positions, heights = np.asarray(offsets, float), np.asarray(values, float).T
    low, high = heights.min(), heights.max()
    edges = np.linspace(low, high if high > low else low + 1, _COLOURS + 1)
    ax.contourf(positions, positions, heights, levels=edges, colors=ordinal_colours(_COLOURS), alpha=0.8)
    if boundary and low < 0 < high:
        ax.contour(positions, positions, heights, levels=[0], colors=INK, linewidths=1.5)
    ax.set(xlabel="ε₁, along the gradient's sign", ylabel="ε₂, random direction", aspect="equal")
    ax.set_title(f"{title}\n{low:.3g} to {high:.3g}".strip())
    ax.grid(False)


def scatter_groups(
    ax: Axes,
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    names: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    most: int = 300,
) -> None:
    """Draw one dot per example.

    Args:
        ax: the Axes to draw on.
        groups: by name the x and the y of the examples.
        names: all methods of the report, which fix the colours; by default the groups.
        xlabel, ylabel: labels of the axes.
        most: number of examples to draw per group, the first ones.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> scatter_groups(ax, {"clean": ([0.1, 0.2], [0.3, 0.4])})
        >>> len(ax.collections)
        1
    """
    names = names or list(groups)
    for name, (x, y) in groups.items():
        x, y = np.asarray(x, float)[:most], np.asarray(y, float)[:most]
        ax.scatter(x, y, s=7, color=colour_of(name, names), alpha=0.5, linewidths=0, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, None), ylim=(0, None))
    ax.legend(loc="lower right", fontsize=8)
