"""What the studies draw in common: levels, lines with their bands, pooled predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics import accuracy, confidence, ece
from surefooted.evaluation.metrics.levels import by_level
from surefooted.evaluation.metrics.reliability import reliability_curve
from surefooted.report import Figure, Panel, Spread
from surefooted.report import figures as draw


def level_figure(
    clean: Mapping[str, Sequence[Predictions]],
    levels: Sequence[Tensor],
    *,
    names: Sequence[str],
    caption: str,
    of: str = "",
) -> Figure:
    """Accuracy, confidence and ECE over the robustness levels, a panel a method (AR-AdaLS, figures 1 and 2).

    Args:
        clean: predictions of each network, by method.
        levels: for each network the level of every image.
        names: of all methods, for the colours.
    """
    return Figure(
        "levels",
        f"Accuracy, confidence and calibration by adversarial-robustness level{of}",
        tuple(_level_panel(name, parts, levels, names) for name, parts in clean.items()),
        caption,
        "Accuracy, confidence and calibration error over the robustness levels, a panel a method.",
    )


def bins(p: Predictions) -> draw.ReliabilityBins:
    """What a reliability diagram draws."""
    curve = reliability_curve(p)
    return draw.ReliabilityBins(curve.confidence.tolist(), curve.accuracy.tolist(), curve.count.tolist())


def spread(values: Sequence[float]) -> Spread:
    known = len(values) > 1 and all(map(isfinite, values))  # an infinite size has no spread
    return Spread(fmean(values), stdev(values) if known else nan, len(values))


def column_key(what: str, size: float) -> str:
    """Key of a table's column that holds ``what`` at one size of an attack."""
    return f"{what}_{size:g}".replace(".", "_")


def line(x: Sequence[float] | range, values: Sequence[Sequence[float]]) -> draw.Line:
    """A line through the means, with a band from least to greatest; ``values`` holds the seeds at each x."""
    return draw.Line(list(x), [fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values])


def banded(x: Sequence[float], intervals: Sequence[Any]) -> draw.Line:
    """A line through values, with a band over their intervals."""
    return draw.Line(list(x), *([float(getattr(i, part)) for i in intervals] for part in ("value", "low", "high")))


def pooled(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(*(torch.cat(column) for column in zip(*parts)))


def picture(x: Tensor) -> Any:
    """(n, h, w) for grey images, (n, h, w, 3) for colour."""
    return (x[:, 0] if x.shape[1] == 1 else x.permute(0, 2, 3, 1)).numpy()


def _level_panel(name: str, clean: Sequence[Predictions], levels: Sequence[Tensor], names: Sequence[str]) -> Panel:
    """One method, mean and band over its networks."""
    curves = {}
    for metric in (accuracy, confidence, ece):
        values = torch.stack([by_level(metric, p, level) for p, level in zip(clean, levels)])
        curves[metric.__name__] = line(range(1, values.shape[1] + 1), values.T.tolist())
    each = [{name: curve} for curve in curves.values()]
    return Panel(lambda ax: draw.by_level(ax, *each, names=names), name, series=curves)
