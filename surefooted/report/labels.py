"""Labels that stand where they can be read: names beside the ends of their lines, and by points without overlap."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LineEnd(NamedTuple):
    """Where a line ends in data coordinates (None: in no particular place), and how it looks."""

    at: tuple[float, float] | None
    colour: str
    marker: str = ""
    linestyle: Any = "-"


def wrap_name(name: str) -> str:
    """A name in lines short enough to leave the axes their room."""
    return "\n".join(textwrap.wrap(name, 16, max_lines=3, placeholder=" …")) or name[:16]


def name_lines(ax: Axes, ends: Mapping[str, LineEnd], *, size: float = 9.5) -> None:
    """Each name right of the axes, as near to the end of its line as the others let it, joined to it by a hairline."""
    from matplotlib.lines import Line2D

    points = 1 / freeze_layout(ax)
    box = ax.get_window_extent()
    to_axes = ax.transData + ax.transAxes.inverted()
    known = [name for name, end in ends.items() if end.at is not None and np.isfinite(end.at).all()]
    tips = {name: to_axes.transform(np.array(ends[name].at)) for name in known}
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
        at: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
        ax.annotate(text, (1, y), (24, 0), fontsize=size, linespacing=1.1, **at)


def space_labels(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Heights of labels, as near to the wanted ones as their order and their size allow, in [0, 1] if there is room.

    Least squares under an order: labels that come too near form a block, which stands at the mean of its wishes.
    """
    order = np.argsort(wanted, kind="stable")
    half = np.array([tall[i] / 2 for i in order])
    below = np.concatenate(([0], np.cumsum(half[:-1] + half[1:])))  # the room that the labels below take
    blocks: list[list[float]] = []  # [sum, count] of wishes less that room
    for i, room in zip(order, below):
        blocks.append([float(wanted[i]) - room, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    base = np.array([total / count for total, count in blocks for _ in range(int(count))])
    spare = max(1 - below[-1], 0)
    heights = np.empty(len(order))
    heights[order] = base.clip(0, spare) + below
    return [float(height) for height in heights]


def name_points(
    ax: Axes,
    points: Mapping[str, tuple[float, float]],
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    *,
    size: float = 9.5,
    radius: float = 4,
) -> None:
    """Each name by its point, where it covers no point, bar or other name, joined by a hairline when it is not near.

    Args:
        bars: the two ends of each error bar.
    """
    scale = freeze_layout(ax)
    spots = [(reach, np.radians(angle)) for reach in DISTANCES for angle in ANGLES]
    reach = np.array([spot[0] for spot in spots])
    toward = np.round([(np.cos(angle), np.sin(angle)) for _, angle in spots], 3)
    dots = {name: ax.transData.transform(at) for name, at in points.items()}
    near = np.array([[*(at - radius * scale), *(at + radius * scale)] for at in dots.values()])
    thin = np.array([np.sort(ax.transData.transform(ends), axis=0).ravel() for ends in bars]).reshape(-1, 4)
    thin = thin + scale * np.array([-1, -1, 1, 1])
    frame = np.array([ax.get_window_extent().extents])
    labels, choices = {}, {}  # for each name the annotation and the boxes that it may take
    for name, at in points.items():
        label = ax.annotate(wrap_name(name), at, (0, 0), textcoords="offset points", fontsize=size, linespacing=1.1)
        label.set(in_layout=False, ha="center", va="center")
        shape = np.array(label.get_window_extent().size) + 3 * scale
        # The nearest side or corner of the box lies at the distance and the angle from the point.
        middle = dots[name] + reach[:, None] * scale * toward + np.sign(toward) * shape / 2
        labels[name], choices[name] = label, np.hstack([middle - shape / 2, middle + shape / 2])
    chosen: dict[str, int] = {}
    for _ in range(3):  # a second and third look, now that the others stand
        for name, boxes in choices.items():
            others = np.array([choices[other][i] for other, i in chosen.items() if other != name]).reshape(-1, 4)
            solid = np.vstack([near, others])
            hidden = overlap_areas(boxes, solid).sum(1) + 0.4 * overlap_areas(boxes, thin).sum(1)
            outside = box_areas(boxes) - overlap_areas(boxes, frame)[:, 0]
            crossings = count_crossings(boxes, dots[name], np.vstack([solid, thin])) * (reach > HAIRLINE_FROM)
            chosen[name] = int(np.argmin((10 * hidden + 30 * outside) / box_areas(boxes) + reach / 20 + crossings))
    for name, i in chosen.items():
        box = choices[name][i]
        labels[name].set_position(tuple(((box[:2] + box[2:]) / 2 - dots[name]) / scale))
        if reach[i] > HAIRLINE_FROM:
            hair = {"arrowstyle": "-", "linewidth": 0.6, "alpha": 0.6, "shrinkA": 0, "shrinkB": radius}
            end = (np.clip(dots[name], box[:2], box[2:]) - dots[name]) / scale
            line = ax.annotate("", points[name], tuple(end), textcoords="offset points", arrowprops=hair)
            line.set_in_layout(False)


HAIRLINE_FROM, DISTANCES = 12, (7, 12, 18, 26, 36, 50)
ANGLES = (0, 180, 90, 270, 35, 145, 325, 215, 60, 120, 300, 240)


def freeze_layout(ax: Axes) -> float:
    """Fix the limits and let the layout decide where the axes are; returns pixels per point."""
    ax.autoscale_view()
    ax.autoscale(False)
    ax.figure.canvas.figure.draw_without_rendering()
    return ax.figure.dpi / 72


def overlap_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area that each box (left, low, right, high) of a shares with each of b."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clip(0).prod(-1)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)


def count_crossings(boxes: np.ndarray, dot: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many of the others the hairline from a point to each of its boxes runs through; not those at the point."""
    others = others[~((others[:, :2] <= dot) & (dot <= others[:, 2:])).all(-1)]
    ends = np.clip(dot, boxes[:, :2], boxes[:, 2:])
    along = dot + np.linspace(0, 1, 12)[None, :, None] * (ends - dot)[:, None]
    inside = (others[:, :2] <= along[:, :, None]) & (along[:, :, None] <= others[:, 2:])
    return inside.all(-1).any(1).sum(-1)
