"""Drawings on matplotlib Axes from plain arrays, for the panels of a report and for notebooks.

Accuracies and confidences are shares in [0, 1]. ``names`` is the list of all methods of a report: pass the same to
every drawing, and a method has the same colour and marker in all of them (left out: the methods of this drawing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from surefooted.errors import InputError
from surefooted.report.labels import LineEnd, name_lines
from surefooted.report.style import MUTED, colour_of, marker_of, ordinal_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


class Line(NamedTuple):
    """Values y at x, with a band from low to high where there is one (an interval, or the spread over seeds)."""

    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


class ReliabilityBins(NamedTuple):
    """A reliability curve: mean confidence, accuracy and number of points n of each bin; empty bins have n = 0."""

    confidence: ArrayLike
    accuracy: ArrayLike
    n: ArrayLike


def reliability_diagram(ax: Axes, curves: Mapping[str, ReliabilityBins], *, names: Sequence[str] = ()) -> None:
    """Accuracy against confidence, the share of points below: one curve with its gaps, or several as lines."""
    names = names or list(curves)
    counts = split_axes(ax, 0.22)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for name, curve in curves.items():
        confidence, accuracy, n = (np.asarray(values, float) for values in curve)
        colour, full = colour_of(name, names), n > 0
        if len(curves) == 1:
            ax.vlines(confidence[full], accuracy[full], confidence[full], color=colour, alpha=0.45, linewidth=5)
        ax.plot(confidence[full], accuracy[full], color=colour, marker=marker_of(name, names))
        counts.plot(confidence[full], n[full] / n.sum(), color=colour, drawstyle="steps-mid", linewidth=1.2)
        if len(curves) == 1:
            counts.fill_between(confidence[full], n[full] / n.sum(), step="mid", color=colour, alpha=0.25)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy")
    counts.set(xlabel="Confidence", ylabel="Share", ylim=(0, None))
    format_as_percent(ax.yaxis, counts.xaxis, counts.yaxis)
    if len(curves) > 1:
        name_lines(ax, {name: LineEnd(None, colour_of(name, names), marker_of(name, names)) for name in curves})


def accuracy_vs_eps(
    ax: Axes,
    lines: Mapping[str, Line],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Perturbation size ε",
    ylabel: str = "Accuracy",
    percent: bool = True,
    ylim: tuple[float, float] | None = None,
) -> None:
    """Accuracy under attack over the size of the perturbation or the number of steps, a line with its band a method.

    Args:
        ylim: what of the axis to show; by default from 0.
    """
    names = names or list(lines)
    for name, line in lines.items():
        draw_line(ax, line, colour_of(name, names), marker_of(name, names))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_ylim(*(ylim or (0, min(1.02, ax.get_ylim()[1]))))
    if percent:
        format_as_percent(ax.yaxis)
    name_lines(ax, {name: line_end(line, name, names) for name, line in lines.items()})


def by_level(
    ax: Axes,
    accuracy: Mapping[str, Line],
    confidence: Mapping[str, Line],
    ece: Mapping[str, Line],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Adversarial robustness level",
) -> None:
    """Accuracy (solid) and confidence (dashed) above, ECE below, over robustness levels; level 1 is least robust."""
    names = names or list(accuracy)
    below = split_axes(ax, 0.38)
    for name in accuracy:
        colour, marker = colour_of(name, names), marker_of(name, names)
        draw_line(ax, accuracy[name], colour, marker)
        draw_line(ax, confidence[name], colour, marker, linestyle=(0, (3, 2)))
        draw_line(below, ece[name], colour, marker)
    levels = np.unique(np.concatenate([np.asarray(line.x) for line in accuracy.values()]))
    below.set(xlabel=xlabel, ylabel="ECE", xticks=levels, ylim=(0, None))
    ax.set_ylim(top=min(1.02, ax.get_ylim()[1]))
    format_as_percent(ax.yaxis)
    if len(accuracy) == 1:
        (name,) = accuracy
        ends = {"accuracy": line_end(accuracy[name], name, names)}
        ends["confidence"] = line_end(confidence[name], name, names)._replace(linestyle="--")
        ax.set_ylabel("Accuracy, confidence")
    else:
        ends = {name: line_end(line, name, names)._replace(at=None) for name, line in accuracy.items()}
        ax.set_ylabel("Accuracy (solid),\nconfidence (dashed)")
    name_lines(ax, ends)


def soft_labels(
    ax: Axes,
    epochs: ArrayLike,
    trajectories: ArrayLike,
    *,
    ylabel: str = "Soft label of the true class",
    levels: Sequence[str] = (),
) -> None:
    """Soft labels of the true class over epochs, a line a robustness level; ``trajectories`` is (levels, epochs)."""
    rows = np.asarray(trajectories, float)
    labels = levels or [f"level {r}" for r in range(1, len(rows) + 1)]
    colours = ordinal_colours(len(rows))
    for row, colour in zip(rows, colours):
        ax.plot(epochs, row, color=colour)
    ax.set(xlabel="Epoch", ylabel=ylabel)
    last = float(np.asarray(epochs)[-1])
    ends = {label: LineEnd((last, float(row[-1])), colour) for label, row, colour in zip(labels, rows, colours)}
    name_lines(ax, dict(reversed(ends.items())))  # the most robust on top, where ends coincide


def size_distribution(
    ax: Axes,
    sizes: Mapping[str, ArrayLike],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Size of the smallest perturbation found, ‖δ‖₂",
    right: float | None = None,
) -> None:
    """Share of points whose perturbation is at most so large, a curve a method; sizes not found are infinite."""
    names = names or list(sizes)
    ends = {}
    for name, values in sizes.items():
        found = np.sort(np.asarray(values, float))
        share = np.arange(1, len(found) + 1) / len(found)
        # A hundred points show a curve as well as ten thousand.
        keep = np.unique(np.linspace(0, len(found) - 1, 100).astype(int))
        keep = keep[np.isfinite(found[keep])]
        x, y = np.concatenate(([0], found[keep])), np.concatenate(([0], share[keep]))
        ax.plot(x, y, color=colour_of(name, names), drawstyle="steps-post" if len(found) <= 100 else "default")
        ends[name] = LineEnd(None, colour_of(name, names))
    ax.set(xlabel=xlabel, ylabel="Share of points", ylim=(0, 1.02), xlim=(0, right))
    format_as_percent(ax.yaxis)
    name_lines(ax, ends)


def draw_line(ax: Axes, line: Line, colour: str, marker: str, linestyle: object = "-") -> None:
    ax.plot(line.x, line.y, color=colour, marker=marker, linestyle=linestyle, markeredgewidth=0)
    if line.low is not None and line.high is not None:
        ax.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)


def line_end(line: Line, name: str, names: Sequence[str]) -> LineEnd:
    at = (float(np.asarray(line.x)[-1]), float(np.asarray(line.y)[-1]))
    return LineEnd(at, colour_of(name, names), marker_of(name, names))


def split_axes(ax: Axes, share: float) -> Axes:
    """New axes under the given ones, with the same x axis and a share of their height."""
    spec = ax.get_subplotspec()
    if spec is None:
        raise InputError("this drawing needs Axes of a grid, to part them in two. Take them from Figure.subplots().")
    grid = spec.subgridspec(2, 1, height_ratios=(1 - share, share), hspace=0.06)
    ax.set_subplotspec(grid[0])
    ax.tick_params(labelbottom=False)
    return ax.figure.add_subplot(grid[1], sharex=ax)


def format_as_percent(*axes: object) -> None:
    from matplotlib.ticker import FuncFormatter

    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{round(100 * v, 2):g} %"))  # type: ignore[attr-defined]
