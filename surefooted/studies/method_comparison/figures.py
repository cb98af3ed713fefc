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
from surefooted.report.points import trade_off
from surefooted.studies import shared_figures
from surefooted.studies.method_comparison.design import Results
from surefooted.studies.shared_figures import bins, line, picture, pooled


def accuracy_figure(r: Results) -> Figure:
    lines = {}
    for name in r.comparison.names:
        values = [[accuracy(p) for p in r.clean(name)], *(r.robust(name, eps) for eps in r.comparison.ladder)]
        lines[name] = line((0.0, *r.comparison.ladder), values)
    return Figure(
        "accuracy-vs-eps",
        "Accuracy under attack",
        Panel(lambda ax: draw.accuracy_vs_eps(ax, lines, names=r.comparison.names), size=(6.4, 4.2), series=lines),
        f"Mean over seeds, band from least to greatest. {r.comparison.caption(attack=True)}",
        "Accuracy of each method against the size of an L-infinity perturbation.",
    )


def level_figure(r: Results, names: Sequence[str]) -> Figure:
    return shared_figures.level_figure(
        {name: r.clean(name) for name in names},
        r.level,
        names=r.comparison.names,
        caption=f"Level 1 holds the test images whose answer is easiest to change ({r.comparison.ranking} on the "
        f"{r.comparison.names[0]} model of the same seed). Mean over seeds, band from least to "
        f"greatest. {r.comparison.caption()}",
    )


def reliability_figure(r: Results, names: Sequence[str]) -> Figure:
    def panel(name: str) -> Panel:
        curves = {name: bins(pooled(r.clean(name)))}
        return Panel(
            lambda ax: draw.reliability_diagram(ax, curves, names=r.comparison.names), name, (3.6, 3.4), curves
        )

    return Figure(
        "reliability",
        "Reliability diagrams",
        tuple(panel(name) for name in names),
        "Accuracy by confidence of the predicted class, 15 equal-width bins, seeds pooled; below, the share of images. "
        f"Points below the diagonal are over-confident. {r.comparison.caption()}",
        "Reliability diagrams, a panel a method.",
    )


def label_figure(r: Results, names: Sequence[str]) -> Figure:
    """Soft labels of the true class over the epochs, seed 0."""

    def panel(name: str) -> Panel:
        history = r.comparison.runs[name][0].train.history(r.store)
        labels = [entry["soft_labels"] for entry in history]
        epochs = [entry["epoch"] for entry in history]
        trajectories = list(zip(*labels))
        lines = {f"level {level}": draw.Line(epochs, values) for level, values in enumerate(trajectories, 1)}
        return Panel(lambda ax: draw.soft_labels(ax, epochs, trajectories), name, series=lines)

    return Figure(
        "soft-labels",
        "What the labels became",
        tuple(panel(name) for name in names),
        "Soft label of the true class after each epoch, seed 0, by robustness level (1: least robust). "
        + r.comparison.caption(),
        "Trajectories of soft labels over the epochs.",
    )


def size_figure(r: Results) -> Figure:
    sizes = {name: torch.cat(r.sizes(name)).tolist() for name in r.comparison.names}
    return Figure(
        "sizes",
        "How far examples are from another answer",
        Panel(lambda ax: draw.size_distribution(ax, sizes, names=r.comparison.names), size=(6.4, 4.2)),
        f"Share of test images whose answer changes within ‖δ‖₂, by {r.comparison.ranking} from each model's own "
        f"prediction; seeds pooled. {r.comparison.caption()}",
        "Cumulative distribution of the size of minimal perturbations, a curve a method.",
    )


def trade_off_figure(r: Results, eps: float) -> Figure:
    points = {name: (fmean(r.robust(name, eps)), fmean(ece(p) for p in r.clean(name))) for name in r.comparison.names}
    return Figure(
        "trade-off",
        "Robustness and calibration together",
        Panel(
            lambda ax: trade_off(
                ax, points, names=r.comparison.names, xlabel=f"Robust accuracy, ε = {eps:g}", better="lower right"
            ),
            size=(6.4, 4.2),
            series={name: draw.Line([x], [y]) for name, (x, y) in points.items()},
        ),
        f"Means over seeds. {r.comparison.caption(attack=True)}",
        "Calibration error against robust accuracy, a point a method.",
    )


def example_figure(r: Results, names: Sequence[str], eps: float, count: int = 3) -> Figure:
    """The first test images that the first method gets right, and what the attack made of them for each method."""
    splits = load_splits(r.comparison.runs[names[0]][0].train.data)
    first = r.clean(names[0])[0]
    rows = (first.log_p.argmax(-1) == first.y).nonzero()[:count, 0]

    def panel(name: str) -> Panel:
        before, after = r.clean(name)[0].take(rows), r.attacked(name, eps)[0].take(rows)
        moved = r.comparison.runs[name][0].attacked[eps][0].result(r.store)["x"][rows]
        texts = [(said(b), said(a)) for b, a in zip(before.log_p, after.log_p)]
        shown, changed = picture(splits.test.points(rows).x), picture(moved)
        return Panel(lambda ax: perturbed_examples(ax, shown, changed, texts, amplify=3), name, (3.2, 3.8))

    def said(log_p: Tensor) -> str:
        value, label = log_p.max(-1)
        return f"{splits.test.classes[int(label)]} ({100 * float(value.exp()):.0f} %)"

    return Figure(
        "examples",
        "What the perturbations look like",
        tuple(panel(name) for name in names),
        f"Clean image, image after the attack at ε = {eps:g}, and the difference times 3; below, the answer and its "
        f"confidence. Seed 0. {r.comparison.caption(attack=True)}",
        "Clean and perturbed images with the answers given to them.",
    )
