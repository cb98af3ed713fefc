"""Figures of the AR-AdaLS study, drawn like the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from statistics import fmean

from surefooted.evaluation.metrics import accuracy, confidence, ece
from surefooted.evaluation.metrics.stability import variance_by_level
from surefooted.pipeline.tasks.corruption import INTENSITIES
from surefooted.report import Figure, Panel, points
from surefooted.report import boxes as drawn
from surefooted.report import figures as draw
from surefooted.studies.ar_adals.results import ShiftResults, ensemble_name
from surefooted.studies.shared_figures import pool, reliability_bins, robustness_level_figure

_TICKS = ("clean", *map(str, INTENSITIES))
_METRIC_TITLES = {"ece": "ECE", "accuracy": "Accuracy", "variance": "Variance over networks"}


def calibration_by_level(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figures 1 and 2: accuracy, confidence and ECE over the robustness levels."""
    return robustness_level_figure(
        {name: n.clean[name] for name in names},
        n.levels,
        names=n.names,
        caption="Level 1 contains the test images closest to the decision boundary of the vanilla network of the same "
        f"seed. Mean over networks, band from least to greatest. {n.design.caption()}",
        source=" (figures 1, 2)",
    )


def level_variance(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figure 1: variance over networks by robustness level."""
    x = list(range(1, n.design.levels + 1))
    lines = {
        name: draw.Line(x, variance_by_level([p.log_p for p in n.clean[name]], n.levels[0]).tolist()) for name in names
    }

    def plot(ax: draw.Axes) -> None:
        draw.accuracy_curves(
            ax, lines, names=n.names, xlabel="Adversarial robustness level", ylabel="Variance", percent=False
        )

    return Figure(
        "level-variance",
        "Variance of the predictions by adversarial-robustness level (figure 1)",
        Panel(plot, size=(6.4, 4.2), series=lines),
        f"Over the networks of a method; levels by the first vanilla network. {n.design.caption()}",
        "Variance over the robustness levels, one line per method.",
    )


def shift_boxes(
    n: ShiftResults,
    names: Sequence[str],
    metric: str,
    source: str,
    *,
    ensembles: bool,
    extra_ensembles: Sequence[str] = (),
) -> Figure:
    """Figures 3, 4 and 7: a box over corruption types for every method and intensity.

    Args:
        n: the numbers.
        names: methods.
        metric: "ece", "accuracy" or "variance".
        source: the paper's figures, for the title.
        ensembles: whether the methods' ensembles are shown, or their single networks.
        extra_ensembles: methods whose ensembles are shown beside single networks.

    Returns:
        The figure.
    """
    groups = {name: _groups(n, name, metric, ensembles) for name in names}
    groups |= {ensemble_name(name): _groups(n, name, metric, True) for name in extra_ensembles}
    coloured = [*n.names, *map(ensemble_name, extra_ensembles)]
    kind, networks = ("ensembles", "ensembles") if ensembles else ("single", "single networks")
    ticks = {name: [tick for tick, values in zip(_TICKS, group) for _ in values] for name, group in groups.items()}
    return Figure(
        f"box-{metric}-{kind}",
        f"{_METRIC_TITLES[metric]} on clean and shifted images, {networks} ({source})",
        Panel(
            lambda ax: drawn.box_plot(
                ax, groups, ticks=_TICKS, names=coloured, ylabel=_METRIC_TITLES[metric], percent=metric != "variance"
            ),
            size=(7.6, 4.2),
            series={name: draw.Line(ticks[name], list(chain.from_iterable(group))) for name, group in groups.items()},
        ),
        "Quartiles over corruption types, whiskers from least to greatest"
        f"{'' if ensembles else '; each type is averaged over single networks'}. {n.design.caption()}",
        f"{_METRIC_TITLES[metric]} against the intensity of the shift, one box per method.",
    )


def ensemble_reliability(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figures 6 and 8: reliability of single networks and of their ensemble on clean images."""

    def panel(name: str) -> Panel:
        curves = {
            "single": reliability_bins(pool(n.clean[name])),
            "ensemble": reliability_bins(n.ensemble_predictions(name)),
        }
        return Panel(lambda ax: draw.reliability_diagram(ax, curves), name, (4.2, 3.4), curves)

    return Figure(
        "reliability",
        "Reliability of single networks and ensembles (figures 6, 8)",
        tuple(panel(name) for name in names),
        "Accuracy by confidence of the predicted class, 15 equal-width bins, clean test images; points above the "
        f"diagonal are under-confident. {n.design.caption()}",
        "Reliability diagrams, one panel per method, single networks and ensemble in each.",
    )


def ensemble_confidence(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figure 5: confidence and accuracy of single networks and of their ensembles."""
    moves = {
        name: [
            (fmean(confidence(p) for p in parts), fmean(accuracy(p) for p in parts))
            for parts in (n.clean[name], [n.ensemble_predictions(name)])
        ]
        for name in names
    }

    return Figure(
        "confidence",
        "Accuracy and confidence of single networks and ensembles (figure 5)",
        Panel(
            lambda ax: points.paired_points(ax, moves, names=n.names, xlabel="Confidence", ylabel="Accuracy"),
            size=(6.8, 4.8),
            series={name: draw.Line(*zip(*pair)) for name, pair in moves.items()},
        ),
        "Clean test images; filled: mean of single networks, hollow: their ensemble. On the dashed line confidence "
        f"equals accuracy; above it a method is under-confident. {n.design.caption()}",
        "Accuracy against confidence, one point per method, joined to the point of its ensemble.",
    )


def _groups(n: ShiftResults, name: str, metric: str, ensembles: bool) -> list[list[float]]:
    """Values over corruption types: on clean images (one value), then at each intensity."""
    if metric == "variance":
        return [n.variance_clean(name).tolist(), *n.variance_by_type(name).T.tolist()]
    evaluate = {"ece": ece, "accuracy": accuracy}[metric]
    if ensembles:
        return [[evaluate(n.ensemble_predictions(name))], *n.ensemble_metric_by_type(evaluate, name).T.tolist()]
    clean = fmean(evaluate(p) for p in n.clean[name])
    return [[clean], *n.network_metric_by_type(evaluate, name).T.tolist()]
