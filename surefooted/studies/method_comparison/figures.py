"""Figures of methods side by side."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from surefooted.evaluation.metrics import accuracy, ece
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Figure, Panel
from surefooted.report import figures as draw
from surefooted.report.images import perturbed_examples
from surefooted.report.points import trade_off_plot
from surefooted.studies import shared_figures
from surefooted.studies.method_comparison.design import ComparisonResults
from surefooted.studies.shared_figures import pool, range_line, reliability_bins, to_image


def accuracy_figure(r: ComparisonResults) -> Figure:
    """Clean and robust accuracy against the radius."""
    lines = {}
    for name in r.comparison.names:
        values = [
            [accuracy(p) for p in r.clean_predictions(name)],
            *(r.robust_accuracies(name, eps) for eps in r.comparison.radii),
        ]
        lines[name] = range_line((0.0, *r.comparison.radii), values)
    return Figure(
        "accuracy-vs-eps",
        "Accuracy under attack",
        Panel(lambda ax: draw.accuracy_curves(ax, lines, names=r.comparison.names), size=(6.4, 4.2), series=lines),
        f"Mean over seeds, band from least to greatest. {r.comparison.caption(attack=True)}",
        "Accuracy of each method against the radius of an L-infinity perturbation.",
    )


def level_figure(r: ComparisonResults, names: Sequence[str]) -> Figure:
    """Accuracy, confidence and ECE by robustness level, one panel per method."""
    return shared_figures.robustness_level_figure(
        {name: r.clean_predictions(name) for name in names},
        r.levels,
        names=r.comparison.names,
        caption="Level 1 contains the test images closest to the decision boundary "
        f"({r.comparison.boundary_method} on the {r.comparison.names[0]} model of the same seed). Mean over seeds, "
        f"band from least to greatest. {r.comparison.caption()}",
    )


def reliability_figure(r: ComparisonResults, names: Sequence[str]) -> Figure:
    """Reliability diagrams, one panel per method."""

    def panel(name: str) -> Panel:
        curves = {name: reliability_bins(pool(r.clean_predictions(name)))}
        return Panel(
            lambda ax: draw.reliability_diagram(ax, curves, names=r.comparison.names), name, (3.6, 3.4), curves
        )

    return Figure(
        "reliability",
        "Reliability diagrams",
        tuple(panel(name) for name in names),
        "Accuracy by confidence of the predicted class, 15 equal-width bins, seeds pooled; bars: share of images. "
        f"Points below the diagonal are over-confident. {r.comparison.caption()}",
        "Reliability diagrams, one panel per method.",
    )


def soft_label_figure(r: ComparisonResults, names: Sequence[str]) -> Figure:
    """Soft label of the true class over the epochs, seed 0."""

    def panel(name: str) -> Panel:
        history = r.comparison.runs[name][0].train.history(r.store)
        labels = [entry["soft_labels"] for entry in history]
        epochs = [entry["epoch"] for entry in history]
        trajectories = list(zip(*labels))
        lines = {f"level {level}": draw.Line(epochs, values) for level, values in enumerate(trajectories, 1)}
        return Panel(lambda ax: draw.soft_label_curves(ax, epochs, trajectories), name, series=lines)

    return Figure(
        "soft-labels",
        "Adaptive labels over training",
        tuple(panel(name) for name in names),
        "Soft label of the true class after each epoch, seed 0, by robustness level (1: least robust). "
        + r.comparison.caption(),
        "Trajectories of soft labels over the epochs.",
    )


def distance_figure(r: ComparisonResults) -> Figure:
    """Cumulative distribution of the distance to the decision boundary."""
    distances = {name: torch.cat(r.boundary_distances(name)).tolist() for name in r.comparison.names}
    return Figure(
        "sizes",
        "Distance to the decision boundary",
        Panel(lambda ax: draw.size_distribution(ax, distances, names=r.comparison.names), size=(6.4, 4.2)),
        f"Share of test images whose prediction changes within ‖δ‖₂, by {r.comparison.boundary_method} away from each "
        f"model's own prediction; seeds pooled. {r.comparison.caption()}",
        "Cumulative distribution of the norm of minimal perturbations, one curve per method.",
    )


def trade_off_figure(r: ComparisonResults, eps: float) -> Figure:
    """Calibration error against robust accuracy."""
    points = {
        name: (fmean(r.robust_accuracies(name, eps)), fmean(ece(p) for p in r.clean_predictions(name)))
        for name in r.comparison.names
    }
    return Figure(
        "trade-off",
        "Calibration error against robust accuracy",
        Panel(
            lambda ax: trade_off_plot(
                ax, points, names=r.comparison.names, xlabel=f"Robust accuracy, ε = {eps:g}", better="lower right"
            ),
            size=(6.4, 4.2),
            series={name: draw.Line([x], [y]) for name, (x, y) in points.items()},
        ),
        f"Means over seeds. {r.comparison.caption(attack=True)}",
        "Calibration error against robust accuracy, one point per method.",
    )


def example_figure(r: ComparisonResults, names: Sequence[str], eps: float, count: int = 3) -> Figure:
    """The first test images that the first method classifies correctly, before and after the attack on each method."""
    splits = load_splits(r.comparison.runs[names[0]][0].train.data)
    first = r.clean_predictions(names[0])[0]
    rows = (first.log_p.argmax(-1) == first.y).nonzero()[:count, 0]

    def panel(name: str) -> Panel:
        before, after = r.clean_predictions(name)[0].take(rows), r.attacked_predictions(name, eps)[0].take(rows)
        moved = r.comparison.runs[name][0].attacks[eps][0].result(r.store)["x"][rows]
        texts = [(describe(b), describe(a)) for b, a in zip(before.log_p, after.log_p)]
        shown, changed = to_image(splits.drawn_test.points(rows).x), to_image(moved)
        return Panel(lambda ax: perturbed_examples(ax, shown, changed, texts, amplify=3), name, (3.2, 3.8))

    def describe(log_p: Tensor) -> str:
        value, label = log_p.max(-1)
        return f"{splits.test.classes[int(label)]} ({100 * float(value.exp()):.0f} %)"

    return Figure(
        "examples",
        "Perturbed images",
        tuple(panel(name) for name in names),
        f"Clean image, image after the attack at ε = {eps:g}, and 3 × their difference; below, the prediction and its "
        f"confidence. Seed 0. {r.comparison.caption(attack=True)}",
        "Clean and perturbed images with the predictions for them.",
    )
