"""Figures of the AR-AdaLS study, drawn as the paper's."""

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
from surefooted.studies.ar_adals.results import ShiftResults, ensemble_of
from surefooted.studies.shared_figures import bins, level_figure, pooled

TICKS = ("clean", *map(str, INTENSITIES))
SPOKEN = {"ece": "ECE", "accuracy": "Accuracy", "variance": "Variance over networks"}


def levels(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figures 1 and 2: accuracy, confidence and ECE over the robustness levels."""
    return level_figure(
        {name: n.clean[name] for name in names},
        n.level,
        names=n.names,
        caption="Level 1 holds the test images whose answer is easiest to change on the vanilla network of the same "
        f"seed. Mean over networks, band from least to greatest. {n.made.caption()}",
        of=" (figures 1, 2)",
    )


def level_variance(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figure 1: variance over the networks by level."""
    x = list(range(1, n.made.levels + 1))
    lines = {
        name: draw.Line(x, variance_by_level([p.log_p for p in n.clean[name]], n.level[0]).tolist()) for name in names
    }

    def plot(ax: draw.Axes) -> None:
        draw.accuracy_vs_eps(
            ax, lines, names=n.names, xlabel="Adversarial robustness level", ylabel="Variance", percent=False
        )

    return Figure(
        "level-variance",
        "Variance of the predictions by adversarial-robustness level (figure 1)",
        Panel(plot, size=(6.4, 4.2), series=lines),
        f"Over the networks of a method; levels by the first vanilla network. {n.made.caption()}",
        "Variance over the robustness levels, a line a method.",
    )


def boxes(
    n: ShiftResults, names: Sequence[str], what: str, of: str, *, ensembles: bool, beside: Sequence[str] = ()
) -> Figure:
    """Figures 3, 4 and 7: a box over the types of corruption for every method and intensity.

    Args:
        of: the paper's number.
        beside: methods whose ensembles stand beside single networks.
    """
    groups = {name: _groups(n, name, what, ensembles) for name in names}
    groups |= {ensemble_of(name): _groups(n, name, what, True) for name in beside}
    coloured = [*n.names, *map(ensemble_of, beside)]
    kind = "ensembles" if ensembles else "single"
    ticks = {name: [tick for tick, values in zip(TICKS, group) for _ in values] for name, group in groups.items()}
    return Figure(
        f"box-{what}-{kind}",
        f"{SPOKEN[what]} on clean and shifted images, {'ensembles' if ensembles else 'single networks'} ({of})",
        Panel(
            lambda ax: drawn.boxes(
                ax, groups, ticks=TICKS, names=coloured, ylabel=SPOKEN[what], percent=what != "variance"
            ),
            size=(7.6, 4.2),
            series={name: draw.Line(ticks[name], list(chain.from_iterable(group))) for name, group in groups.items()},
        ),
        "Quartiles over the types of corruption, whiskers from least to greatest"
        f"{'' if ensembles else '; of each type the mean over the single networks'}. {n.made.caption()}",
        f"{SPOKEN[what]} against the intensity of the shift, a box a method.",
    )


def reliability(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figures 6 and 8: single networks against their ensemble, clean images."""

    def panel(name: str) -> Panel:
        curves = {"single": bins(pooled(n.clean[name])), "ensemble": bins(n.ensemble_clean(name))}
        return Panel(lambda ax: draw.reliability_diagram(ax, curves), name, (4.2, 3.4), curves)

    return Figure(
        "reliability",
        "Reliability of single networks and ensembles (figures 6, 8)",
        tuple(panel(name) for name in names),
        "Accuracy by confidence of the predicted class, 15 equal-width bins, clean test images; above the diagonal is "
        f"under-confident. {n.made.caption()}",
        "Reliability diagrams, a panel a method, single networks and ensemble in each.",
    )


def confidences(n: ShiftResults, names: Sequence[str]) -> Figure:
    """Figure 5: confidence and accuracy of single networks and of their ensembles."""
    moves = {
        name: [
            (fmean(confidence(p) for p in these), fmean(accuracy(p) for p in these))
            for these in (n.clean[name], [n.ensemble_clean(name)])
        ]
        for name in names
    }

    return Figure(
        "confidence",
        "Accuracy and confidence of single networks and ensembles (figure 5)",
        Panel(
            lambda ax: points.moves(ax, moves, names=n.names, xlabel="Confidence", ylabel="Accuracy"),
            size=(6.8, 4.8),
            series={name: draw.Line(*zip(*pair)) for name, pair in moves.items()},
        ),
        "Clean test images; filled: the mean of single networks, hollow: their ensemble. On the dashed line both are "
        f"equal, above it a method is under-confident. {n.made.caption()}",
        "Accuracy against confidence, a point a method, joined with that of its ensemble.",
    )


def _groups(n: ShiftResults, name: str, what: str, ensembles: bool) -> list[list[float]]:
    if what == "variance":
        return [n.variance_clean(name).tolist(), *n.variance_by_type(name).T.tolist()]
    metric = {"ece": ece, "accuracy": accuracy}[what]
    if ensembles:
        return [[metric(n.ensemble_clean(name))], *n.ensemble_by_type(metric, name).T.tolist()]
    clean = fmean(metric(p) for p in n.clean[name])
    return [[clean], *n.single_by_type(metric, name).T.tolist()]
