"""Readable labels: names beside the ends of their lines, and names near points without overlap."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LineEnd(NamedTuple):
    """The end of a line and its look.

    Attributes:
        point: the end in data coordinates; None for a name that belongs to no place.
        colour, marker, linestyle: of the line.
    """

    point: tuple[float, float] | None
    colour: str
    marker: str = ""
    linestyle: Any = "-"


def wrap_name(name: str) -> str:
    """A name in at most three lines of 16 characters.

    Example:
        >>> wrap_name("AR-AdaLS of Ensemble")
        'AR-AdaLS of\\nEnsemble'
    """
    return "\n".join(textwrap.wrap(name, 16, max_lines=3, placeholder=" …")) or name[:16]


def name_lines(ax: Axes, ends: Mapping[str, LineEnd], *, size: float = 9.5) -> None:
    """Write each name right of the axes, as near to the end of its line as the others allow, with a hairline to it.

    Args:
        ax: the Axes, with everything else drawn: their limits are fixed here.
        ends: by name.
        size: of the text, in points.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> name_lines(ax, {"PAT": LineEnd((1, 0.4), "#3f86c0"), "LS": LineEnd((1, 0.1), "#f05a0a")})
        >>> [text.get_text() for text in ax.texts]
        ['PAT', 'LS']
    """
    from matplotlib.lines import Line2D

    points = 1 / freeze_layout(ax)
    box = ax.get_window_extent()
    to_axes = ax.transData + ax.transAxes.inverted()
    known = [name for name, end in ends.items() if end.point is not None and np.isfinite(end.point).all()]
    tips = {name: to_axes.transform(np.array(ends[name].point)) for name in known}
    wanted = [tips[name][1] if name in tips else 1 - i * 0.001 for i, name in enumerate(ends)]
    texts = [wrap_name(name) for name in ends]
    line = 1.3 * size / (box.height * points)
    heights = space_labels(wanted, [line * (1 + text.count("\n")) for text in texts])
    unit = 1 / (box.width * points)  # one point, as a share of the axes' width
    for (name, end), text, y in zip(ends.items(), texts, heights):
        look: dict[str, Any] = {"color": end.colour, "transform": ax.transAxes, "clip_on": False}
        if name in tips:
            hair = Line2D([tips[name][0], 1 + 8 * unit], [tips[name][1], y], linewidth=0.6, alpha=0.6, **look)
            hair.set_in_layout(False)
            ax.add_artist(hair)
        swatch = [1 + 8 * unit, 1 + 14 * unit, 1 + 20 * unit]
        ax.add_artist(
            Line2D(swatch, [y] * 3, linestyle=end.linestyle, marker=end.marker, markevery=[1], markersize=4, **look)
        )
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
        ax.annotate(text, (1, y), (24, 0), fontsize=size, linespacing=1.1, **place)


def space_labels(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Positions of labels, as near to the wanted ones as order and sizes allow, in [0, 1] if all labels fit.

    This is isotonic regression (pool adjacent violators): labels that would overlap form a block, which lies at the
    mean of their wanted positions.

    Args:
        wanted: the wanted positions of the middles.
        sizes: the heights of the labels.

    Example:
        >>> space_labels([0.5, 0.5], [0.1, 0.1])
        [0.45, 0.55]
    """
    order = np.argsort(wanted, kind="stable")
    half = np.array([sizes[i] / 2 for i in order])
    below = np.concatenate(([0], np.cumsum(half[:-1] + half[1:])))  # the height that the labels below take
    blocks: list[list[float]] = []  # [sum, count] of the wanted positions minus that height
    for i, height in zip(order, below):
        blocks.append([float(wanted[i]) - height, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    base = np.array([total / count for total, count in blocks for _ in range(int(count))])
    spare = max(1 - below[-1], 0)
    positions = np.empty(len(order))
    positions[order] = base.clip(0, spare) + below
    return [float(position) for position in positions]


def name_points(
    ax: Axes,
    points: Mapping[str, tuple[float, float]],
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    *,
    size: float = 9.5,
    radius: float = 4,
) -> None:
    """Write each name near its point, where it covers no point, bar or other name, with a hairline if it is not near.

    Args:
        ax: the Axes, with everything else drawn: their limits are fixed here.
        points: by name the point in data coordinates.
        bars: the two ends of each error bar.
        size: of the text, in points.
        radius: of the markers, in points.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> name_points(ax, {"PAT": (0.2, 0.3), "LS": (0.8, 0.9)})
        >>> sorted(text.get_text() for text in ax.texts)
        ['LS', 'PAT']
    """
    scale = freeze_layout(ax)
    candidates = [(distance, np.radians(angle)) for distance in _DISTANCES for angle in _ANGLES]
    reach = np.array([distance for distance, _ in candidates])
    toward = np.round([(np.cos(angle), np.sin(angle)) for _, angle in candidates], 3)
    dots = {name: ax.transData.transform(point) for name, point in points.items()}
    markers = np.array([[*(dot - radius * scale), *(dot + radius * scale)] for dot in dots.values()])
    thin = np.array([np.sort(ax.transData.transform(ends), axis=0).ravel() for ends in bars]).reshape(-1, 4)
    thin = thin + scale * np.array([-1, -1, 1, 1])
    frame = np.array([ax.get_window_extent().extents])
    labels, choices = {}, {}  # for each name the annotation and the boxes that it may take
    for name, point in points.items():
        label = ax.annotate(wrap_name(name), point, (0, 0), textcoords="offset points", fontsize=size, linespacing=1.1)
        label.set(in_layout=False, ha="center", va="center")
        shape = np.array(label.get_window_extent().size) + 3 * scale
        # The distance and the angle are those of the side or the corner of the box that is nearest to the point.
        middle = dots[name] + reach[:, None] * scale * toward + np.sign(toward) * shape / 2
        labels[name], choices[name] = label, np.hstack([middle - shape / 2, middle + shape / 2])
    chosen: dict[str, int] = {}
    for _ in range(3):  # the second and third pass know where the other names are
        for name, boxes in choices.items():
            others = np.array([choices[other][i] for other, i in chosen.items() if other != name]).reshape(-1, 4)
            solid = np.vstack([markers, others])
            hidden = overlap_areas(boxes, solid).sum(1) + 0.4 * overlap_areas(boxes, thin).sum(1)
            outside = box_areas(boxes) - overlap_areas(boxes, frame)[:, 0]
            crossings = count_crossings(boxes, dots[name], np.vstack([solid, thin])) * (reach > _HAIRLINE_FROM)
            chosen[name] = int(np.argmin((10 * hidden + 30 * outside) / box_areas(boxes) + reach / 20 + crossings))
    for name, i in chosen.items():
        box = choices[name][i]
        labels[name].set_position(tuple(((box[:2] + box[2:]) / 2 - dots[name]) / scale))
        if reach[i] > _HAIRLINE_FROM:
            hair = {"arrowstyle": "-", "linewidth": 0.6, "alpha": 0.6, "shrinkA": 0, "shrinkB": radius}
            end = (np.clip(dots[name], box[:2], box[2:]) - dots[name]) / scale
            line = ax.annotate("", points[name], tuple(end), textcoords="offset points", arrowprops=hair)
            line.set_in_layout(False)


_HAIRLINE_FROM, _DISTANCES = 12, (7, 12, 18, 26, 36, 50)
_ANGLES = (0, 180, 90, 270, 35, 145, 325, 215, 60, 120, 300, 240)


def freeze_layout(ax: Axes) -> float:
    """Fix the limits of the axes and their place in the figure.

    Returns:
        Pixels per point.
    """
    ax.autoscale_view()
    ax.autoscale(False)
    ax.figure.canvas.figure.draw_without_rendering()
    return ax.figure.dpi / 72


def overlap_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The area that each box (left, low, right, high) of ``a`` shares with each box of ``b``.

    Example:
        >>> overlap_areas(np.array([[0, 0, 2, 2]]), np.array([[1, 1, 3, 3], [5, 5, 6, 6]]))
        array([[1, 0]])
    """
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: np.ndarray = (high - low).clip(0).prod(-1)
    return shared


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """The area of each box (left, low, right, high)."""
    areas: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return areas


def count_crossings(boxes: np.ndarray, dot: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The number of other boxes that a hairline from a point to each of its boxes crosses.

    Boxes that contain the point do not count.

    Example:
        >>> count_crossings(np.array([[4, -1, 6, 1]]), np.array([0, 0]), np.array([[1, -1, 3, 1], [9, 9, 9.5, 9.5]]))
        array([1])
    """
    others = others[~((others[:, :2] <= dot) & (dot <= others[:, 2:])).all(-1)]
    ends = np.clip(dot, boxes[:, :2], boxes[:, 2:])
    along = dot + np.linspace(0, 1, 12)[None, :, None] * (ends - dot)[:, None]
    inside = (others[:, :2] <= along[:, :, None]) & (along[:, :, None] <= others[:, 2:])
    crossings: np.ndarray = inside.all(-1).any(1).sum(-1)
    return crossings
