"""Height maps around an example, and clouds of examples."""

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
    """Values by the first offset (across) and the second (up), dark is low; the title gains their range.

    Args:
        values: (G, G), by the first offset, then the second.
        boundary: draw the line on which they are 0.
    """
    at, heights = np.asarray(offsets, float), np.asarray(values, float).T
    low, high = heights.min(), heights.max()
    edges = np.linspace(low, high if high > low else low + 1, _COLOURS + 1)
    ax.contourf(at, at, heights, levels=edges, colors=ordinal_colours(_COLOURS), alpha=0.8)
    if boundary and low < 0 < high:
        ax.contour(at, at, heights, levels=[0], colors=INK, linewidths=1.5)
    ax.set(xlabel="ε₁, along the gradient's sign", ylabel="ε₂, random direction", aspect="equal")
    ax.set_title(f"{title}\n{low:.3g} to {high:.3g}".strip())
    ax.grid(False)


def clouds(
    ax: Axes,
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    names: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    most: int = 300,
) -> None:
    """A dot an example, the first ``most`` of each group."""
    names = names or list(groups)
    for name, (x, y) in groups.items():
        x, y = np.asarray(x, float)[:most], np.asarray(y, float)[:most]
        ax.scatter(x, y, s=7, color=colour_of(name, names), alpha=0.5, linewidths=0, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, None), ylim=(0, None))
    ax.legend(loc="lower right", fontsize=8)
