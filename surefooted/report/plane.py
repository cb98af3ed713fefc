"""Drawings of the plane on matplotlib Axes: what a classifier says of every point of it, its boundary, and examples.

A map is (grid, grid): one value a point, the second coordinate in rows, from low to high. Its colour is in how solid
it is, so that the page's own ground shows through, light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from surefooted.report.style import INK, MUTED, to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

# Of class 0 and class 1, and of a quantity from 0.
CLASS_COLOURS = ("#c2281d", "#2a6fbb")
UNCERTAINTY_COLOUR, CHANGES = "#127957", "#6048b7"
_GREATEST_ALPHA = 0.45  # where the value is greatest; more would swallow the examples on top


def probability_map(ax: Axes, probability: ArrayLike, side: float, *, label: str = "Probability of class 1") -> None:
    """How likely class 1 is, in its colour above one half and in that of class 0 below; with the boundary at one half.

    Args:
        probability: (grid, grid), over the square from -side to side.
    """
    p = np.asarray(probability, float)
    _show_pixels(ax, _probability_pixels(p), side)
    boundary(ax, p, side)
    scale = np.linspace(0, 1, 64)
    _draw_colour_bar(ax, _probability_pixels(scale), 0, 1, label)


def quantity_map(
    ax: Axes, values: ArrayLike, side: float, *, label: str, colour: str = UNCERTAINTY_COLOUR, most: float | None = None
) -> None:
    """A quantity from 0 to ``most`` (the greatest of them, by default), the more the more solid."""
    v = np.asarray(values, float)
    top = float(v.max()) if most is None else most
    _show_pixels(ax, _shaded_pixels(v / (top or 1), colour), side)
    _draw_colour_bar(ax, _shaded_pixels(np.linspace(0, 1, 64), colour), 0, top or 1, label)


def boundary(ax: Axes, probability: ArrayLike, side: float) -> None:
    """Where class 1 has probability one half, over the square from -side to side; nothing where it has it nowhere."""
    p = np.asarray(probability, float)
    line = np.linspace(-side, side, len(p))
    if p.min() < 0.5 < p.max():
        ax.contour(line, line, p, levels=[0.5], colors=[INK], linewidths=1.4)


def true_boundary(ax: Axes, x: ArrayLike, y: ArrayLike) -> None:
    ax.plot(x, y, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))


def examples(ax: Axes, at: ArrayLike, y: ArrayLike, *, mark: Literal["dot", "cross"] = "dot") -> None:
    """Examples at (n, 2), in the colours of their classes: dots for clean ones, crosses for those that were moved.

    All of a class are one path: a drawing of hundreds stays small.
    """
    xy, label = np.asarray(at, float).reshape(-1, 2), np.asarray(y)
    for k, colour in enumerate(CLASS_COLOURS):
        if mark == "dot":
            _draw_strokes(ax, xy[label == k], [((0, 0), (5e-3, 0))], color=colour, linewidth=4.2, alpha=0.55)
        else:
            arms: list[Any] = [((-0.055, 0), (0.055, 0)), ((0, -0.055), (0, 0.055))]
            _draw_strokes(ax, xy[label == k], arms, color=colour, linewidth=1.2)


def square(ax: Axes, side: float) -> None:
    """Axes over the square from -side to side."""
    ticks = [-int(side), 0, int(side)]
    ax.set(xlim=(-side, side), ylim=(-side, side), aspect="equal", xlabel="p", ylabel="q", xticks=ticks, yticks=ticks)
    ax.grid(False)


def _draw_strokes(ax: Axes, xy: np.ndarray, strokes: Sequence[Any], **look: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # A dot is a stroke of hardly any length with round ends.
    points = (xy[:, None, None, :] + np.array(strokes)).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points) // 2)
    if len(points):
        path = Path(points, codes)
        path.should_simplify = False  # it would drop dots, and so would snapping to pixels
        ax.add_patch(PathPatch(path, fill=False, capstyle="round", snap=False, **look))


def _probability_pixels(p: np.ndarray) -> np.ndarray:
    colours = np.where((p < 0.5)[..., None], *(255 * to_rgb(colour) for colour in CLASS_COLOURS))
    return _to_rgba(colours, _GREATEST_ALPHA * np.abs(2 * p - 1))


def _shaded_pixels(share: np.ndarray, colour: str) -> np.ndarray:
    return _to_rgba(np.broadcast_to(255 * to_rgb(colour), (*share.shape, 3)), 0.9 * share.clip(0, 1))


def _to_rgba(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.rint(np.concatenate((colours, 255 * alpha[..., None]), -1)).astype(np.uint8)


def _show_pixels(ax: Axes, pixels: np.ndarray, side: float) -> None:
    # A pixel's middle is its point of the grid.
    edge = side * len(pixels) / (len(pixels) - 1)
    ax.imshow(pixels, extent=(-edge, edge, -edge, edge), origin="lower", interpolation="none")


def _draw_colour_bar(ax: Axes, pixels: np.ndarray, low: float, high: float, label: str) -> None:
    from matplotlib.colorbar import make_axes

    bar, _ = make_axes(ax, shrink=0.8, aspect=18, pad=0.03)
    bar.imshow(pixels[:, None], extent=(0, 1, low, high), aspect="auto", origin="lower", interpolation="none")
    ticks = np.linspace(low, high, 3)
    bar.set(xticks=[], ylabel=label, ylim=(low, high), yticks=ticks, yticklabels=[f"{tick:.2g}" for tick in ticks])
    bar.grid(False)
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
