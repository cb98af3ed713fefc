"""What figures of several studies share: robustness levels, lines with bands, pooled predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from statistics import fmean, stdev
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics import accuracy, confidence, ece
from surefooted.evaluation.metrics.levels import by_level
from surefooted.evaluation.metrics.reliability import reliability_curve
from surefooted.report import Figure, Panel, Spread
from surefooted.report import figures as draw


def robustness_level_figure(
    clean: Mapping[str, Sequence[Predictions]],
    levels: Sequence[Tensor],
    *,
    names: Sequence[str],
    caption: str,
    source: str = "",
) -> Figure:
    """Accuracy, confidence and ECE by robustness level, one panel per method (AR-AdaLS, figures 1 and 2).

    Args:
        clean: predictions of each network, by method.
        levels: for each network the level of every image.
        names: names of all methods, which decide the colours.
        caption: caption of the figure.
        source: the paper's figures, appended to the title.

    Returns:
        The figure, named "levels".
    """
    return Figure(
        "levels",
        f"Accuracy, confidence and calibration by adversarial-robustness level{source}",
        tuple(_level_panel(name, parts, levels, names) for name, parts in clean.items()),
        caption,
        "Accuracy, confidence and calibration error over the robustness levels, one panel per method.",
    )


def reliability_bins(p: Predictions) -> draw.ReliabilityBins:
    """The bins of a reliability diagram, ready to draw."""
    curve = reliability_curve(p)
    return draw.ReliabilityBins(curve.confidence.tolist(), curve.accuracy.tolist(), curve.count.tolist())


def mean_and_std(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of a quantity over seeds; the latter is nan if it is undefined.

    Example:
        >>> mean_and_std([1.0, 2.0, 3.0])
        2.000 ± 1.000
    """
    defined = len(values) > 1 and all(map(isfinite, values))  # an infinite distance has no standard deviation
    return Spread(fmean(values), stdev(values) if defined else nan, len(values))


def column_key(quantity: str, eps: float) -> str:
    """Key of a table's column that holds a quantity at one radius.

    Example:
        >>> column_key("robust", 0.1)
        'robust_0_1'
    """
    return f"{quantity}_{eps:g}".replace(".", "_")


def range_line(x: Sequence[float] | range, values: Sequence[Sequence[float]]) -> draw.Line:
    """A line through the mean over seeds, with a band from least to greatest.

    Args:
        x: positions.
        values: at each position the value of every seed.
    """
    return draw.Line(list(x), [fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values])


def interval_line(x: Sequence[float], intervals: Sequence[Any]) -> draw.Line:
    """A line through values, with a band over their intervals.

    Args:
        x: positions.
        intervals: at each position a value with ``value``, ``low`` and ``high``.
    """
    return draw.Line(list(x), *([float(getattr(i, part)) for i in intervals] for part in ("value", "low", "high")))


def pool(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several networks as one set. A row stands there once per network."""
    return Predictions(*(torch.cat(column) for column in zip(*parts)))


def to_image(x: Float[Tensor, "n c h w"]) -> Any:
    """Pixels as a NumPy array for drawing: (n, h, w) if grey, (n, h, w, 3) if coloured."""
    return (x[:, 0] if x.shape[1] == 1 else x.permute(0, 2, 3, 1)).numpy()


def _level_panel(name: str, clean: Sequence[Predictions], levels: Sequence[Tensor], names: Sequence[str]) -> Panel:
    """One method: mean and band over its networks."""
    curves = {}
    for metric in (accuracy, confidence, ece):
        values = torch.stack([by_level(metric, p, level) for p, level in zip(clean, levels)])
        curves[metric.__name__] = range_line(range(1, values.shape[1] + 1), values.T.tolist())
    lines = [{name: curve} for curve in curves.values()]
    return Panel(lambda ax: draw.level_curves(ax, *lines, names=names), name, series=curves)
