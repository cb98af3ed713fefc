"""Methods side by side over seeds: predictions clean and attacked, robustness levels, and their tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from surefooted.api import measure
from surefooted.cell import Attacked, Cell, Predicted, Train, attacking, data_of, training
from surefooted.metrics import accuracy, brier, classwise_ece, confidence, ece, nll
from surefooted.metrics.levels import by_level, levels_of
from surefooted.metrics.predictions import Predictions
from surefooted.metrics.reliability import reliability_curve
from surefooted.metrics.robustness import robust_accuracy
from surefooted.metrics.stability import variance_by_level
from surefooted.report import Column, Figure, Panel, Spread, Table
from surefooted.report import figures as draw
from surefooted.spec import split
from surefooted.store import Store

NORMS = {"linf": "L∞", "l2": "L2"}


@dataclass(frozen=True, eq=False)
class Run:
    """One method at one seed, and everything measured of it."""

    train: Train
    clean: Predicted
    attacked: Mapping[float, tuple[Attacked, Predicted]]
    nearest: Attacked

    @property
    def cells(self) -> list[Cell]:
        return [self.train, self.clean, self.nearest, *(cell for pair in self.attacked.values() for cell in pair)]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods × seeds on one data set, network and recipe.

    Attributes:
        methods: by the name that the report prints; the first is the baseline whose robustness levels are everybody's.
        ladder: sizes ε of the L∞ attack.
        attack: its other arguments, under ``pgd``.
        nearest: the minimal-norm attack that ranks examples.
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    ladder: tuple[float, ...]
    attack: Mapping[str, Any]
    nearest: Any
    levels: int = 10

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        return {name: [self._run(method, seed) for seed in range(self.seeds)] for name, method in self.methods.items()}

    @property
    def names(self) -> list[str]:
        return list(self.methods)

    @property
    def ranking(self) -> str:
        """The minimal-norm attack, in words."""
        return split(self.nearest)[0].replace("_", " ")

    def cells(self) -> list[Cell]:
        return [cell for runs in self.runs.values() for run in runs for cell in run.cells]

    def _run(self, method: Any, seed: int) -> Run:
        trained = training(method, self.net, self.data, self.recipe, seed=seed)
        moved = [attacking(trained, {"pgd": {"eps": eps, **self.attack}}, seed=seed) for eps in self.ladder]
        pairs = {eps: (a, Predicted(trained, moved=a)) for eps, a in zip(self.ladder, moved)}
        return Run(trained, Predicted(trained), pairs, attacking(trained, self.nearest, keep_points=False))

    def caption(self, *, attack: bool = False) -> str:
        """Data, n, seeds, attack and stop rule."""
        splits = data_of(self.runs[self.names[0]][0].train.data)
        text = (
            f"{splits.title}: {len(splits.train)} training, {len(splits.validation)} validation, "
            f"{len(splits.test)} test images; {self.seeds} seeds."
        )
        if attack:
            a = self.runs[self.names[0]][0].attacked[self.ladder[0]][0].attack["pgd"]
            text += (
                f" PGD-{a['steps']}, {NORMS[a['norm']]}, {a['start']} start, {a['restarts']} restart(s); keep rule "
                f"“{a['keep']}”: a row retires when it is misclassified; of one that withstands, the point of highest "
                "objective is kept."
            )
        return text


@dataclass(frozen=True, eq=False)
class Results:
    """A comparison's numbers, read from the store."""

    comparison: Comparison
    store: Store

    def clean(self, name: str) -> list[Predictions]:
        return [run.clean.result(self.store) for run in self.comparison.runs[name]]

    def attacked(self, name: str, eps: float) -> list[Predictions]:
        return [run.attacked[eps][1].result(self.store) for run in self.comparison.runs[name]]

    def robust(self, name: str, eps: float) -> list[float]:
        """Robust accuracy, one a seed."""
        return [
            robust_accuracy(run.attacked[eps][0].result(self.store)["found"]).value
            for run in self.comparison.runs[name]
        ]

    def sizes(self, name: str) -> list[Tensor]:
        """Smallest L2 perturbations that change the model's answer; infinite where none was found."""
        found = [run.nearest.result(self.store) for run in self.comparison.runs[name]]
        return [torch.where(f["found"], f["size"], torch.inf) for f in found]

    @cached_property
    def level(self) -> list[Tensor]:
        """For each seed the level of every test image, by the robustness of the baseline of that seed."""
        return [levels_of(size, levels=self.comparison.levels) for size in self.sizes(self.comparison.names[0])]

    def per_level(self, name: str, metric: Any) -> Tensor:
        """(seeds, levels)."""
        return torch.stack([by_level(metric, p, level) for p, level in zip(self.clean(name), self.level)])

    def stability(self, name: str) -> Tensor:
        """Variance over the seeds, per level of the first seed's ranking (AR-AdaLS's σ²)."""
        return variance_by_level([p.log_p for p in self.clean(name)], self.level[0])


def summary(r: Results, eps: float) -> Table:
    """A row a method, mean ± standard deviation over the seeds."""
    columns = (
        Column("method", "Method"),
        Column("accuracy", "Accuracy", "%", 1, "high", scale=100),
        Column("robust", f"Robust, ε = {eps:g}", "%", 1, "high", scale=100),
        Column("nll", "NLL", "nats", 3, "low"),
        Column("brier", "Brier", "", 3, "low"),
        Column("ece", "ECE", "%", 2, "low", "15 equal-width bins, right-closed", scale=100),
        Column("classwise_ece", "Classwise ECE", "%", 2, "low", scale=100),
        Column("ece_attacked", "ECE under attack", "%", 1, "low", "at the points that the attack kept", scale=100),
        Column(
            "size",
            "Median ‖δ‖₂",
            "",
            3,
            "high",
            f"smallest perturbation that changes the model's own answer ({r.comparison.ranking})",
        ),
        Column("n", "Test images", digits=0),
        Column("seeds", "Seeds", digits=0),
    )
    rows: list[dict[str, Any]] = []
    for name in r.comparison.names:
        clean = r.clean(name)
        row: dict[str, Any] = {
            m.__name__: spread([m(p) for p in clean]) for m in (accuracy, nll, brier, ece, classwise_ece)
        }
        row |= {
            "method": name,
            "robust": spread(r.robust(name, eps)),
            "ece_attacked": spread([ece(p) for p in r.attacked(name, eps)]),
            "size": spread([float(size.median()) for size in r.sizes(name)]),
            "n": len(clean[0].y),
            "seeds": r.comparison.seeds,
        }
        rows.append(row)
    caption = f"Mean ± standard deviation over seeds. {r.comparison.caption(attack=True)}"
    return Table("summary", "Methods side by side", columns, tuple(rows), caption)


def intervals(r: Results) -> Table:
    """The same clean metrics with 95 % intervals over the test images."""
    chosen = ("accuracy", "nll", "brier", "ece", "overconfidence")
    columns = (
        Column("method", "Method"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("nll", "NLL", "nats", 3),
        Column("brier", "Brier", "", 3),
        Column("ece", "ECE", "%", 2, scale=100),
        Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
    )
    rows = tuple({"method": name, **measure(pooled(r.clean(name)), chosen)} for name in r.comparison.names)
    caption = (
        "95 % bootstrap intervals (1,000 draws of test images; an image is drawn with the predictions of all seeds). "
        "ECE is that of the pooled predictions, with the basic interval, whose lower end may fall below 0. "
        + r.comparison.caption()
    )
    return Table("intervals", "How sure these numbers are", columns, rows, caption)


def ladder(r: Results) -> Table:
    """Robust accuracy over the sizes of the attack."""
    sizes = r.comparison.ladder
    columns = (
        Column("method", "Method"),
        Column("clean", "ε = 0", "%", 1, "high", scale=100),
        *(Column(f"eps_{eps:g}".replace(".", "_"), f"ε = {eps:g}", "%", 1, "high", scale=100) for eps in sizes),
    )
    rows = tuple(
        {"method": name, "clean": spread([accuracy(p) for p in r.clean(name)])}
        | {f"eps_{eps:g}".replace(".", "_"): spread(r.robust(name, eps)) for eps in sizes}
        for name in r.comparison.names
    )
    return Table("robust-accuracy", "Robust accuracy", columns, rows, r.comparison.caption(attack=True))


def accuracy_figure(r: Results) -> Figure:
    lines = {}
    for name in r.comparison.names:
        values = [[accuracy(p) for p in r.clean(name)], *(r.robust(name, eps) for eps in r.comparison.ladder)]
        lines[name] = line((0.0, *r.comparison.ladder), values)
    return Figure(
        "accuracy-vs-eps",
        "Accuracy under attack",
        Panel(lambda ax: draw.accuracy_vs_eps(ax, lines, names=r.comparison.names), size=(6.4, 4.2)),
        f"Mean over seeds, band from least to greatest. {r.comparison.caption(attack=True)}",
        "Accuracy of each method against the size of an L-infinity perturbation.",
    )


def level_figure(r: Results, names: Sequence[str]) -> Figure:
    """AR-AdaLS's figures 1 and 2: accuracy, confidence and ECE over the robustness levels."""
    return Figure(
        "levels",
        "Accuracy, confidence and calibration by adversarial-robustness level",
        tuple(level_panel(name, r.clean(name), r.level, r.comparison.names) for name in names),
        f"Level 1 holds the test images whose answer is easiest to change ({r.comparison.ranking} on the "
        f"{r.comparison.names[0]} model of the same seed). Mean over seeds, band from least to "
        f"greatest. {r.comparison.caption()}",
        "Accuracy and confidence rise with the robustness level; the calibration error falls.",
    )


def level_panel(name: str, clean: Sequence[Predictions], levels: Sequence[Tensor], names: Sequence[str]) -> Panel:
    """Accuracy, confidence and ECE of one method over the levels, mean and band over its networks.

    Args:
        clean: predictions of each network.
        levels: for each network the level of every image.
        names: of all methods, for the colours.
    """
    curves = []
    for metric in (accuracy, confidence, ece):
        values = torch.stack([by_level(metric, p, level) for p, level in zip(clean, levels)])
        curves.append({name: line(range(1, values.shape[1] + 1), values.T.tolist())})
    return Panel(lambda ax: draw.by_level(ax, *curves, names=names), name)


def bins(p: Predictions) -> draw.Bins:
    """What a reliability diagram draws."""
    curve = reliability_curve(p)
    return draw.Bins(curve.confidence.tolist(), curve.accuracy.tolist(), curve.count.tolist())


def reliability_figure(r: Results, names: Sequence[str]) -> Figure:
    def panel(name: str) -> Panel:
        curves = {name: bins(pooled(r.clean(name)))}
        return Panel(lambda ax: draw.reliability_diagram(ax, curves, names=r.comparison.names), name, (3.6, 3.4))

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
        return Panel(lambda ax: draw.soft_labels(ax, epochs, trajectories), name)

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
            lambda ax: draw.trade_off(
                ax, points, names=r.comparison.names, xlabel=f"Robust accuracy, ε = {eps:g}", better="lower right"
            ),
            size=(6.4, 4.2),
        ),
        f"Means over seeds. {r.comparison.caption(attack=True)}",
        "Calibration error against robust accuracy, a point a method.",
    )


def example_figure(r: Results, names: Sequence[str], eps: float, count: int = 3) -> Figure:
    """The first test images that the first method gets right, and what the attack made of them for each method."""
    splits = data_of(r.comparison.runs[names[0]][0].train.data)
    first = r.clean(names[0])[0]
    rows = (first.log_p.argmax(-1) == first.y).nonzero()[:count, 0]

    def panel(name: str) -> Panel:
        before, after = r.clean(name)[0].take(rows), r.attacked(name, eps)[0].take(rows)
        moved = r.comparison.runs[name][0].attacked[eps][0].result(r.store)["x"][rows]
        texts = [(said(b), said(a)) for b, a in zip(before.log_p, after.log_p)]
        shown, changed = picture(splits.test.points(rows).x), picture(moved)
        return Panel(lambda ax: draw.perturbed_examples(ax, shown, changed, texts, amplify=3), name, (3.2, 3.8))

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


def spread(values: Sequence[float]) -> Spread:
    known = len(values) > 1 and all(map(isfinite, values))  # an infinite size has no spread
    return Spread(fmean(values), stdev(values) if known else nan, len(values))


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
