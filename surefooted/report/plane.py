"""Plots of classifiers in the plane: predictions over a grid of points, decision boundaries, and examples.

A map is (G, G): one value per point of a grid, with the second coordinate in rows, in ascending order. Maps encode
values by opacity, so that they suit a light and a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from surefooted.report.style import INK, MUTED, to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

CLASS_COLOURS = ("#c2281d", "#2a6fbb")
UNCERTAINTY_COLOUR, CHANGES = "#127957", "#6048b7"
_GREATEST_ALPHA = 0.45  # more would hide the examples on top


def probability_map(ax: Axes, probability: ArrayLike, side: float, *, label: str = "Probability of class 1") -> None:
    """Draw the probability of class 1 and its decision boundary.

    Args:
        ax: the Axes to draw on.
        probability: (G, G), over the square from ``-side`` to ``side``. Above 1/2 the map has the colour of class 1,
            below it that of class 0.
        side: half the width of the square.
        label: label of the colour bar.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> probability_map(ax, np.linspace(0, 1, 25).reshape(5, 5), side=2)
        >>> [axes.get_ylabel() for axes in ax.figure.axes]
        ['', 'Probability of class 1']
    """
    p = np.asarray(probability, float)
    _show_pixels(ax, _probability_pixels(p), side)
    decision_boundary(ax, p, side)
    scale = np.linspace(0, 1, 64)
    _draw_colour_bar(ax, _probability_pixels(scale), 0, 1, label)


def quantity_map(
    ax: Axes, values: ArrayLike, side: float, *, label: str, colour: str = UNCERTAINTY_COLOUR, most: float | None = None
) -> None:
    """Draw a non-negative quantity; greater values are more opaque.

    Args:
        ax: the Axes to draw on.
        values: (G, G), over the square from ``-side`` to ``side``.
        side: half the width of the square.
        label: label of the colour bar.
        colour: as ``#rrggbb``.
        most: upper end of the colour bar; by default the maximum of the values.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> quantity_map(ax, np.ones((5, 5)), side=2, label="Entropy")
        >>> len(ax.images)
        1
    """
    v = np.asarray(values, float)
    top = float(v.max()) if most is None else most
    _show_pixels(ax, _shaded_pixels(v / (top or 1), colour), side)
    _draw_colour_bar(ax, _shaded_pixels(np.linspace(0, 1, 64), colour), 0, top or 1, label)


def decision_boundary(ax: Axes, probability: ArrayLike, side: float) -> None:
    """Draw the line on which class 1 has probability 1/2, if there is one.

    Args:
        ax: the Axes to draw on.
        probability: (G, G), over the square from ``-side`` to ``side``.
        side: half the width of the square.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> decision_boundary(ax, np.ones((5, 5)), side=2)
        >>> len(ax.collections)
        0
    """
    p = np.asarray(probability, float)
    line = np.linspace(-side, side, len(p))
    if p.min() < 0.5 < p.max():
        ax.contour(line, line, p, levels=[0.5], colors=[INK], linewidths=1.4)


def true_boundary(ax: Axes, x: ArrayLike, y: ArrayLike) -> None:
    """Draw the boundary of the classes that generated the data, as a dashed line.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> true_boundary(ax, [-1, 1], [0, 0])
        >>> len(ax.lines)
        1
    """
    ax.plot(x, y, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))


def scatter_examples(ax: Axes, positions: ArrayLike, y: ArrayLike, *, mark: Literal["dot", "cross"] = "dot") -> None:
    """Draw examples in the colours of their classes.

    All examples of a class are one path, which keeps the file of hundreds of them small.

    Args:
        ax: the Axes to draw on.
        positions: (n, 2).
        y: (n,) class indices, 0 or 1.
        mark: ``dot`` for clean examples, ``cross`` for adversarial ones.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> scatter_examples(ax, [[0, 0], [1, 1], [1, 0]], [0, 1, 1], mark="cross")
        >>> len(ax.patches)  # one per class
        2
    """
    xy, label = np.asarray(positions, float).reshape(-1, 2), np.asarray(y)
    for k, colour in enumerate(CLASS_COLOURS):
        if mark == "dot":
            _draw_strokes(ax, xy[label == k], [((0, 0), (5e-3, 0))], color=colour, linewidth=4.2, alpha=0.55)
        else:
            arms: list[Any] = [((-0.055, 0), (0.055, 0)), ((0, -0.055), (0, 0.055))]
            _draw_strokes(ax, xy[label == k], arms, color=colour, linewidth=1.2)


def set_square_axes(ax: Axes, side: float) -> None:
    """Set limits, ticks and labels of the square from ``-side`` to ``side``.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> set_square_axes(ax, 2.5)
        >>> ax.get_xticks().tolist()
        [-2, 0, 2]
    """
    ticks = [-int(side), 0, int(side)]
    ax.set(xlim=(-side, side), ylim=(-side, side), aspect="equal", xlabel="p", ylabel="q", xticks=ticks, yticks=ticks)
    ax.grid(False)


def _draw_strokes(ax: Axes, xy: np.ndarray, strokes: Sequence[Any], **look: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # A dot is a very short stroke with round ends.
    points = (xy[:, None, None, :] + np.array(strokes)).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points) // 2)
    if len(points):
        path = Path(points, codes)
        path.should_simplify = False  # simplifying would drop dots, and so would snapping to pixels
        ax.add_patch(PathPatch(path, fill=False, capstyle="round", snap=False, **look))


def _probability_pixels(p: np.ndarray) -> np.ndarray:
    colours = np.where((p < 0.5)[..., None], *(255 * to_rgb(colour) for colour in CLASS_COLOURS))
    return _to_rgba(colours, _GREATEST_ALPHA * np.abs(2 * p - 1))


def _shaded_pixels(share: np.ndarray, colour: str) -> np.ndarray:
    return _to_rgba(np.broadcast_to(255 * to_rgb(colour), (*share.shape, 3)), 0.9 * share.clip(0, 1))


def _to_rgba(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.rint(np.concatenate((colours, 255 * alpha[..., None]), -1)).astype(np.uint8)
    return pixels


def _show_pixels(ax: Axes, pixels: np.ndarray, side: float) -> None:
    # The middle of a pixel is its point of the grid.
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
