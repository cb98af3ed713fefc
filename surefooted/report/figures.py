"""Plots on matplotlib Axes from plain arrays, for the panels of a report and for notebooks.

Accuracies and confidences are shares in [0, 1]. ``names`` lists all methods of a report: if every plot gets the same
list, a method has the same colour and marker in all of them. By default it lists the methods of the plot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from surefooted.errors import ArgumentError
from surefooted.report.labels import LineEnd, name_lines
from surefooted.report.style import MUTED, colour_of, marker_of, ordinal_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from numpy.typing import ArrayLike


class Line(NamedTuple):
    """A curve.

    Attributes:
        x, y: the points.
        low, high: bounds of a band around it, an interval or the spread over seeds; None for no band.

    Example:
        >>> Line([0, 1], [0.9, 0.4]).y
        [0.9, 0.4]
    """

    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


class ReliabilityBins(NamedTuple):
    """A reliability curve.

    Attributes:
        confidence: mean confidence of each bin.
        accuracy: accuracy of each bin.
        n: number of examples of each bin; 0 if it is empty.
        low, high: bounds of the interval of each accuracy; None for no intervals.

    Example:
        >>> ReliabilityBins([0.2, 0.9], [0.1, 0.8], [5, 15]).n
        [5, 15]
    """

    confidence: ArrayLike
    accuracy: ArrayLike
    n: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def reliability_diagram(ax: Axes, curves: Mapping[str, ReliabilityBins], *, names: Sequence[str] = ()) -> None:
    """Draw accuracy over confidence, and below it the share of examples per bin.

    Args:
        ax: the Axes to draw on, one of a grid.
        curves: by method; a single curve shows its gaps to the diagonal.
        names: all methods of the report, which fix the colours; by default the methods of this plot.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> reliability_diagram(ax, {"PAT": ReliabilityBins([0.2, 0.9], [0.1, 0.8], np.array([5, 15]))})
        >>> ax.get_ylabel()
        'Accuracy'
    """
    names = names or list(curves)
    counts = split_axes(ax, 0.22)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for name, curve in curves.items():
        confidence, accuracy, n = (np.asarray(values, float) for values in curve[:3])
        colour, full = colour_of(name, names), n > 0
        if len(curves) == 1:
            ax.vlines(confidence[full], accuracy[full], confidence[full], color=colour, alpha=0.45, linewidth=5)
        if curve.low is not None and curve.high is not None:
            low, high = (np.asarray(bound, float)[full] for bound in (curve.low, curve.high))
            ax.vlines(confidence[full], low, high, color=colour, linewidth=1)
        ax.plot(confidence[full], accuracy[full], color=colour, marker=marker_of(name, names))
        counts.plot(confidence[full], n[full] / n.sum(), color=colour, drawstyle="steps-mid", linewidth=1.2)
        if len(curves) == 1:
            counts.fill_between(confidence[full], n[full] / n.sum(), step="mid", color=colour, alpha=0.25)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy")
    counts.set(xlabel="Confidence", ylabel="Share", ylim=(0, None))
    format_as_percent(ax.yaxis, counts.xaxis, counts.yaxis)
    if len(curves) > 1:
        name_lines(ax, {name: LineEnd(None, colour_of(name, names), marker_of(name, names)) for name in curves})


def accuracy_curves(
    ax: Axes,
    lines: Mapping[str, Line],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Perturbation size ε",
    ylabel: str = "Accuracy",
    percent: bool = True,
    ylim: tuple[float, float] | None = None,
) -> None:
    """Draw accuracy under attack over the radius of the perturbation or the number of steps, one curve per method.

    Args:
        ax: the Axes to draw on.
        lines: by method.
        names: all methods of the report, which fix the colours; by default the methods of this plot.
        xlabel, ylabel: labels of the axes.
        percent: whether y holds shares, printed in per cent.
        ylim: range of the y axis; by default it starts at 0.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> accuracy_curves(ax, {"PAT": Line([0, 0.1], [0.9, 0.4])}, ylim=(0, 1))
        >>> ax.get_ylim() == (0, 1)
        True
    """
    names = names or list(lines)
    for name, line in lines.items():
        draw_line(ax, line, colour_of(name, names), marker_of(name, names))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_ylim(*(ylim or (0, min(1.02, ax.get_ylim()[1]))))
    if percent:
        format_as_percent(ax.yaxis)
    name_lines(ax, {name: line_end(line, name, names) for name, line in lines.items()})


def level_curves(
    ax: Axes,
    accuracy: Mapping[str, Line],
    confidence: Mapping[str, Line],
    ece: Mapping[str, Line],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Adversarial robustness level",
) -> None:
    """Draw accuracy (solid) and confidence (dashed) over robustness levels, and below them ECE.

    Args:
        ax: the Axes to draw on, one of a grid.
        accuracy, confidence, ece: by method, with the levels as x; level 1 is the least robust.
        names: all methods of the report, which fix the colours; by default the methods of this plot.
        xlabel: label of the x axis.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> line = Line([1, 2], [0.5, 0.9])
        >>> level_curves(ax, {"PAT": line}, {"PAT": line}, {"PAT": line})
        >>> ax.get_ylabel()
        'Accuracy, confidence'
    """
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
        ends = {name: line_end(line, name, names)._replace(point=None) for name, line in accuracy.items()}
        ax.set_ylabel("Accuracy (solid),\nconfidence (dashed)")
    name_lines(ax, ends)


def soft_label_curves(
    ax: Axes,
    epochs: ArrayLike,
    trajectories: ArrayLike,
    *,
    ylabel: str = "Soft label of the true class",
    levels: Sequence[str] = (),
) -> None:
    """Draw soft labels of the true class over epochs, one curve per robustness level.

    Args:
        ax: the Axes to draw on.
        epochs: (E,) epochs.
        trajectories: (R, E) soft labels, from the least robust level to the most robust.
        ylabel: label of the y axis.
        levels: names of the levels; by default ``level 1``, ``level 2``, ...

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> soft_label_curves(ax, [1, 2, 3], [[1, 0.9, 0.8], [1, 0.97, 0.95]])
        >>> sorted(text.get_text() for text in ax.texts)
        ['level 1', 'level 2']
    """
    rows = np.asarray(trajectories, float)
    labels = levels or [f"level {r}" for r in range(1, len(rows) + 1)]
    colours = ordinal_colours(len(rows))
    for row, colour in zip(rows, colours):
        ax.plot(epochs, row, color=colour)
    ax.set(xlabel="Epoch", ylabel=ylabel)
    last = float(np.asarray(epochs)[-1])
    ends = {label: LineEnd((last, float(row[-1])), colour) for label, row, colour in zip(labels, rows, colours)}
    name_lines(ax, dict(reversed(ends.items())))  # the most robust level is on top if ends coincide


def size_distribution(
    ax: Axes,
    sizes: Mapping[str, ArrayLike],
    *,
    names: Sequence[str] = (),
    xlabel: str = "Size of the smallest perturbation found, ‖δ‖₂",
    right: float | None = None,
) -> None:
    """Draw the cumulative distribution of the sizes of the smallest perturbations, one curve per method.

    Args:
        ax: the Axes to draw on.
        sizes: by method one size per example; infinite if no adversarial example was found.
        names: all methods of the report, which fix the colours; by default the methods of this plot.
        xlabel: label of the x axis.
        right: upper end of the x axis; by default the largest size.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> size_distribution(ax, {"PAT": [0.1, 0.2, np.inf, 0.4]})
        >>> ax.get_lines()[0].get_ydata().max().item()  # three of four
        0.75
    """
    names = names or list(sizes)
    ends = {}
    for name, values in sizes.items():
        found = np.sort(np.asarray(values, float))
        share = np.arange(1, len(found) + 1) / len(found)
        # A hundred points show the curve as well as ten thousand.
        keep = np.unique(np.linspace(0, len(found) - 1, 100).astype(int))
        keep = keep[np.isfinite(found[keep])]
        x, y = np.concatenate(([0], found[keep])), np.concatenate(([0], share[keep]))
        ax.plot(x, y, color=colour_of(name, names), drawstyle="steps-post" if len(found) <= 100 else "default")
        ends[name] = LineEnd(None, colour_of(name, names))
    ax.set(xlabel=xlabel, ylabel="Share of points", ylim=(0, 1.02), xlim=(0, right))
    format_as_percent(ax.yaxis)
    name_lines(ax, ends)


def draw_line(ax: Axes, line: Line, colour: str, marker: str, linestyle: object = "-") -> None:
    """Draw one curve with its band.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> draw_line(ax, Line([0, 1], [0.9, 0.4], [0.8, 0.3], [1.0, 0.5]), "#3f86c0", "o")
        >>> len(ax.lines), len(ax.collections)
        (1, 1)
    """
    ax.plot(line.x, line.y, color=colour, marker=marker, linestyle=linestyle, markeredgewidth=0)
    if line.low is not None and line.high is not None:
        ax.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)


def line_end(line: Line, name: str, names: Sequence[str]) -> LineEnd:
    """The last point and the look of a method's curve, for ``name_lines``."""
    point = (float(np.asarray(line.x)[-1]), float(np.asarray(line.y)[-1]))
    return LineEnd(point, colour_of(name, names), marker_of(name, names))


def split_axes(ax: Axes, share: float) -> Axes:
    """New Axes below the given ones, with the same x axis.

    Args:
        ax: Axes of a grid.
        share: the part of the height that the new Axes take.

    Raises:
        ArgumentError: if the Axes belong to no grid.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> split_axes(ax, 0.25).get_shared_x_axes().joined(ax, ax.figure.axes[1])
        True
    """
    spec = ax.get_subplotspec()
    if spec is None:
        raise ArgumentError("This plot needs Axes of a grid, to split them in two. Take them from Figure.subplots().")
    grid = spec.subgridspec(2, 1, height_ratios=(1 - share, share), hspace=0.06)
    ax.set_subplotspec(grid[0])
    ax.tick_params(labelbottom=False)
    return ax.figure.add_subplot(grid[1], sharex=ax)


def format_as_percent(*axes: Axis) -> None:
    """Print the tick labels of matplotlib axes in per cent."""
    from matplotlib.ticker import FuncFormatter

    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{round(100 * v, 2):g} %"))
