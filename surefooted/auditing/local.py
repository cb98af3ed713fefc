"""A classifier around single images: margin, Jacobian, linearity and loss surfaces, as in section 6 of EntM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

from rich.console import RenderableType
from torch import Tensor

from surefooted.data.order import Order
from surefooted.evaluation.analysis import correlation, normalised_margin
from surefooted.evaluation.analysis.correlation import Correlation
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    ComponentSpec,
    LocalAnalysisTask,
    LossSurfaceTask,
    Source,
    SplitName,
    Task,
    attack_task,
    load_splits,
    training_data,
)
from surefooted.report import Column, Figure, Panel, Section, Table
from surefooted.report.figures import Line
from surefooted.report.landscapes import height_map, scatter_groups
from surefooted.report.terminal import escape, make_table

# Quantities of the table: key, name, unit of the numbers, digits.
QUANTITIES = (
    ("margin", "Decision margin M", "", 3),
    ("jacobian_norm", "Norm of the Jacobian ‖J‖₂", "", 3),
    ("normalised_margin", "Normalised margin M / ‖J‖₂", "", 4),
    ("distortion", "Distance to the decision boundary ‖δ‖₂", "", 4),
    ("q", "Non-linearity Q", "", 3),
)


@dataclass(frozen=True, eq=False)
class LocalDesign:
    """The tasks of a local analysis.

    Attributes:
        model: the classifier.
        data: its data set; None for the one that a Surefooted network was trained on.
        eps: L2 radius of the attack at whose points the non-linearity is measured.
        reach: largest offset of the loss surfaces along each axis.
        surfaces: number of images with a surface.
        split, limit, order: the images.
        seed: key of the random draws.
    """

    model: Source
    data: ComponentSpec | None
    eps: float = 0.5
    reach: float = 8 / 255
    surfaces: int = 2
    split: SplitName = "test"
    limit: int = 0
    order: Order = "split"
    seed: int = 0

    @cached_property
    def pgd(self) -> AttackTask:
        """PGD in L2, as in the paper: 20 steps of ε/10 from a Gaussian step of 0.005, 5 restarts, the highest loss."""
        start = {"start": "gaussian", "sigma": 0.005}
        arguments = {"norm": "l2", "eps": self.eps, "step_size": self.eps / 10, "steps": 20, "restarts": 5, **start}
        return self._attack({"pgd": {**arguments, "keep": "worst"}})

    @cached_property
    def nearest(self) -> AttackTask:
        """Distance of each image to the decision boundary."""
        return self._attack("nearest_boundary")

    @cached_property
    def local(self) -> LocalAnalysisTask:
        return LocalAnalysisTask(self.model, self.split, self.limit, self.data, self.pgd, self.seed, self.order)

    @cached_property
    def surface(self) -> LossSurfaceTask | None:
        if not self.surfaces:
            return None
        count = min(self.surfaces, self.limit or self.surfaces)
        options: dict[str, Any] = {"reach": self.reach, "seed": self.seed, "order": self.order}
        return LossSurfaceTask(self.model, self.split, count, self.data, **options)

    @property
    def tasks(self) -> list[Task]:
        return [self.local, self.pgd, self.nearest, *([self.surface] if self.surface else [])]

    def _attack(self, attack: Any) -> AttackTask:
        images: dict[str, Any] = {"data": self.data, "limit": self.limit, "order": self.order}
        return attack_task(self.model, attack, self.split, seed=self.seed, **images)


@dataclass(frozen=True, eq=False)
class LocalFindings:
    """The results of a local analysis, read from the store.

    Attributes:
        design: the analysis, whose tasks are all in the store.
        store: the store.
    """

    design: LocalDesign
    store: Store

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """(N,) numbers by quantity; not finite where undefined."""
        local = self.design.local.result(self.store)
        found = {name: local[name].double() for name in ("margin", "jacobian_norm", "q")}
        found["normalised_margin"] = normalised_margin(found["margin"], found["jacobian_norm"])
        found["distortion"] = self.design.nearest.distances(self.store).double()
        return found

    @cached_property
    def correct(self) -> Tensor:
        """(N,) bool, the correctly classified images."""
        return self.design.local.result(self.store)["correct"]

    @cached_property
    def means(self) -> dict[str, Interval]:
        """Mean of each quantity over the images where it is finite, distances over correctly classified ones."""
        return {name: mean_interval(self._finite(name)) for name, *_ in QUANTITIES if len(self._finite(name))}

    @cached_property
    def medians(self) -> dict[str, float]:
        return {name: float(self._finite(name).median()) for name in self.means}

    @cached_property
    def correlation(self) -> Correlation:
        """Between normalised margin and distance to the boundary, over correctly classified images."""
        return correlation(*(self.values[name][self.correct] for name in ("normalised_margin", "distortion")))

    @cached_property
    def robust(self) -> Interval:
        """Robust accuracy under the attack at whose points Q is measured."""
        return robust_accuracy(self.design.pgd.result(self.store)["found"])

    def _finite(self, name: str) -> Tensor:
        values = self.values[name][self.correct] if name == "distortion" else self.values[name]
        return values[values.isfinite()]

    def numbers(self) -> dict[str, Any]:
        """All results as plain data."""
        d = self.design
        return {
            "n": len(self.correct),
            "accuracy": float(self.correct.double().mean()),
            "eps": d.eps,
            "seed": d.seed,
            "attack": d.pgd.attack,
            "robust_accuracy": self.robust._asdict(),
            "means": {name: one._asdict() for name, one in self.means.items()},
            "medians": self.medians,
            "correlation": self.correlation._asdict(),
        }

    def headline(self) -> str:
        """The result in a sentence."""
        found, c = [], self.correlation
        for name in ("normalised_margin", "distortion"):
            if name in self.medians:
                label = next(title for key, title, *_ in QUANTITIES if key == name)
                found.append(f"{label}: median {self.medians[name]:.4g}")
        return f"{'; '.join(found)}; their correlation: {c.value:.3f} [{c.low:.3f}, {c.high:.3f}]."

    def caption(self) -> str:
        d = self.design
        title = load_splits(d.data or training_data(d.model) or {}).title
        return f"{title}: {len(self.correct)} {d.split} images; seed {d.seed}."

    def lines(self) -> list[RenderableType]:
        """The results for a terminal."""
        table = make_table("quantity", "mean", "95 % interval", "median", "images")
        for name, title, *_ in QUANTITIES:
            if one := self.means.get(name):
                bounds = escape(f"[{one.low:.4g}, {one.high:.4g}]")
                table.add_row(title, f"{one.value:.4g}", bounds, f"{self.medians[name]:.4g}", str(one.n))
        return [f"[bold]{escape(self.headline())}[/]", table, f"[dim]{escape(self.caption())}[/]"]


def local_section(f: LocalFindings) -> Section:
    """The section of a report on margin, Jacobian, linearity and loss surfaces."""
    figures = [_scatter(f), *([_surfaces(f)] if f.design.surface else [])]
    return Section("Margin, Jacobian and linearity", f.headline(), (_table(f), *figures))


def _table(f: LocalFindings) -> Table:
    columns = (
        Column("quantity", "Quantity"),
        Column("mean", "Mean", "", 4),
        Column("median", "Median", "", 4),
        Column("n", "Images", "", 0),
    )
    rows = tuple(
        {"quantity": title, "mean": f.means[name], "median": f.medians[name], "n": f.means[name].n}
        for name, title, *_ in QUANTITIES
        if name in f.means
    )
    d, c = f.design, f.correlation
    caption = (
        "M = f_y − max f_i, the distance of the true class's logit from the largest other; ‖J‖₂, the largest L2 change "
        "of the logits per unit of L2 change of the pixels in [0, 1]; M / ‖J‖₂, to first order a distance to the "
        "decision boundary; ‖δ‖₂ by nearest_boundary, over correctly classified images. Q is the relative error of the "
        f"linear approximation at the points of PGD-20 (L2, ε = {d.eps:.4g}; robust accuracy {f.robust.percent()}), 0 "
        "for a linear classifier; images that the attack did not move have none. Correlation of M / ‖J‖₂ and ‖δ‖₂ over "
        f"correctly classified images: {c.value:.3f} [{c.low:.3f}, {c.high:.3f}]. Intervals: 95 %, over images. "
        f"Definitions: EntM, section 6. {f.caption()}"
    )
    return Table("local", "Margin, Jacobian, distance and non-linearity", columns, rows, caption)


def _scatter(f: LocalFindings) -> Figure:
    x, y = (f.values[name] for name in ("normalised_margin", "distortion"))
    shown = f.correct & x.isfinite() & y.isfinite()
    groups = {"images": (x[shown], y[shown])}

    def plot(ax: Any) -> None:
        scatter_groups(ax, groups, xlabel="Normalised margin M / ‖J‖₂", ylabel="Distance to the boundary ‖δ‖₂")
        most = min(ax.get_xlim()[1], sqrt(2) * ax.get_ylim()[1])
        ax.plot([0, most], [0, most / sqrt(2)], color="0.6", linestyle="--", linewidth=1)

    return Figure(
        "margin-distance",
        "Normalised margin and distance to the decision boundary",
        Panel(plot, "", (5.4, 4.2), {"images": Line(x[shown], y[shown])}),
        "Correctly classified images, at most 300 shown. The dashed line is M / (√2 ‖J‖₂), the radius that EntM's "
        "theorem 1 certifies for a linear classifier: images below it are closer to the boundary than that. "
        f"{f.caption()}",
        "Distance to the boundary against normalised margin, a point per image.",
    )


def _surfaces(f: LocalFindings) -> Figure:
    assert f.design.surface is not None
    surface = f.design.surface.result(f.store)
    panels = tuple(
        _surface_panel(surface, key, image, f"{title}, image {image + 1}")
        for image in range(len(surface["y"]))
        for key, title in (("score", "loss"), ("margin", "margin"))
    )
    return Figure(
        "loss-surfaces",
        "Loss and decision margin around images",
        panels,
        "Values at x + ε₁d₁ + ε₂d₂: d₁ is the sign of the gradient of the cross-entropy, d₂ a random direction with "
        f"‖d₂‖∞ = 1; offsets up to ±{f.design.reach:.3g}, not clipped to [0, 1]. In the panels of the margin the line "
        f"is the decision boundary. {f.caption()}",
        "Height maps, two per image.",
    )


def _surface_panel(surface: dict[str, Tensor], key: str, image: int, title: str) -> Panel:
    def plot(ax: Any) -> None:
        height_map(ax, surface["offsets"], surface[key][image], title=title, boundary=key == "margin")

    return Panel(plot, "", (3.4, 3.7))
