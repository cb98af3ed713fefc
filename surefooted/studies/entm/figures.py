"""Figures of the EntM study, drawn as the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask
from surefooted.report import Figure, Panel
from surefooted.report import figures as draw
from surefooted.report.landscapes import clouds, height_map
from surefooted.studies.entm.analysis_tables import FIRST
from surefooted.studies.entm.curves import CURVES, Curves
from surefooted.studies.entm.design import SURFACES, Analysis
from surefooted.studies.shared_figures import interval_line


def radius_curve(a: Curves, store: Store) -> Figure:
    """Figure 1: accuracy against the radius."""
    lines = {name: _line({k / 255: a.curve[name, k] for k in a.radii}, store) for name in CURVES}
    return Figure(
        f"accuracy-radius{a.suffix}",
        f"Accuracy against the size of the perturbation{a.where} (figure 1)",
        Panel(lambda ax: draw.accuracy_vs_eps(ax, lines, names=list(a.grid.methods)), size=(6.4, 4.2), series=lines),
        "PGD of k steps of 2/255 in an L∞ ball of k/255 from a Gaussian step of 0.005, one restart, a row retires when "
        f"it is misclassified; the first {a.images} test images, bands are 95 % Wilson intervals. A defence that does "
        f"not reach 0 masks its gradients.{_elsewhere(a)} {a.grid.describe_setup()} {FIRST}",
        "Accuracy against the radius, a line a method.",
    )


def step_curves(a: Curves, store: Store) -> Figure:
    """Figure 2: accuracy against the number of steps, plain and adaptive."""

    def panel(k: int, tasks: Mapping[tuple[str, int, int], AttackTask], title: str) -> Panel:
        lines = {
            name: _line({s: tasks[name, k, s] for n, radius, s in tasks if (n, radius) == (name, k)}, store)
            for name in CURVES
        }

        def plot(ax: draw.Axes) -> None:
            ax.set_xscale("log", base=2)
            draw.accuracy_vs_eps(ax, lines, names=list(a.grid.methods), xlabel="Steps", ylim=_frame(lines))
            _mark(ax, sorted({s for _, _, s in tasks}))

        return Panel(plot, f"{title}, ε = {k}/255", series=lines)

    panels = [panel(k, tasks, t) for tasks, t in ((a.longer, "PGD"), (a.adaptive, "Adaptive")) for k in a.pixels]
    return Figure(
        f"accuracy-steps{a.suffix}",
        f"Accuracy against the number of steps{a.where} (figure 2)",
        tuple(panels),
        "k steps of max(1/510, 2ε/k) from a Gaussian step of 0.005, one run. Adaptive: eleven runs, each from a start "
        "of its own, with labels smoothed by γ from 0 to 1 by 0.1, of which each image's worst counts; of every other "
        f"number of steps. The first {a.images} test images, bands are 95 % Wilson intervals.{_elsewhere(a)} "
        f"{a.grid.describe_setup()} {FIRST}",
        "Accuracy against the number of steps, a line a method.",
    )


def sweep(a: Curves, store: Store) -> Figure:
    """Figure 3: accuracy, clean and attacked, against λ."""
    grid, (attack,) = a.sweep, a.sweep.white_box
    lines = {}
    for label, which in (("clean", ""), (attack, attack)):
        values = [grid.accuracy_interval(store, name, which) for name in grid.methods]
        lines[label] = interval_line([float(name) for name in grid.methods], values)

    def plot(ax: draw.Axes) -> None:
        ax.set_xscale("symlog", linthresh=0.1)
        draw.accuracy_vs_eps(ax, lines, xlabel="λ", ylim=_frame(lines))
        _mark(ax, [float(name) for name in grid.methods])

    return Figure(
        f"lambda{a.suffix}",
        f"Accuracy against the weight λ of the entropy{a.where} (figure 3)",
        Panel(plot, size=(6.4, 4.2), series=lines),
        f"PAT-EntM; λ = 0 is PAT. Bands are 95 % intervals.{_elsewhere(a)} {grid.caption()}",
        "Accuracy clean and under attack, against λ.",
    )


def margins(a: Analysis, store: Store) -> Figure:
    """Figure 4: normalised margin and distortion, and the examples that are least linear."""
    found = {name: _points(a, store, name) for name in ("EntM", "PAT", "PAT-EntM")}
    x, y, q = found["EntM"]
    bent = q > q.quantile(0.6)
    parted = {"EntM, Q up to its 60 % quantile": (x[~bent], y[~bent]), "EntM, Q above it": (x[bent], y[bent])}
    three = {name: (x, y) for name, (x, y, _) in found.items()}

    def panel(groups: Mapping[str, tuple[torch.Tensor, torch.Tensor]], title: str, names: Sequence[str] = ()) -> Panel:
        def plot(ax: draw.Axes) -> None:
            clouds(ax, groups, names=names, xlabel="Normalised margin M / ‖J‖₂", ylabel="Distortion ‖δ‖₂")

        return Panel(plot, title, (5, 4), {name: draw.Line(*group) for name, group in groups.items()})

    return Figure(
        "margin-distortion",
        "Normalised margin and distortion (figure 4)",
        (panel(three, "Three methods", list(a.grid.methods)), panel(parted, "EntM, by non-linearity")),
        f"Of the first {a.examples} test images those classified correctly, 300 shown; distortion by nearest_boundary, "
        f"Q at the points of PGD20-{a.bent[-1]:g}. The paper's 65, the 40-percentile of Q, is read as 40 % lying "
        f"above.{_elsewhere(a)} {a.grid.describe_setup()} {FIRST}",
        "Distortion against normalised margin, a point an image.",
    )


def surfaces(a: Analysis, store: Store) -> Figure:
    """Figures 5 and 6: loss and margin around two images."""
    panels = []
    for name in SURFACES:
        found = a.surfaces[name].result(store)
        for what, title in (("score", "loss"), ("margin", "margin")):
            for image in range(len(found["y"])):
                panels.append(_surface(found, what, image, f"{name}, {title}, image {image + 1}"))
    return Figure(
        "surfaces",
        "Loss and decision margin around an image (figures 5 and 6)",
        tuple(panels),
        "At x + ε₁d₁ + ε₂d₂: d₁ the sign of the gradient of the cross-entropy, d₂ a random direction with ‖d₂‖∞ = 1. "
        f"Offsets reach ±{a.reach:.3g} and are not clipped to [0, 1]. In the margin's panels the line is the decision "
        f"boundary. The first two test images.{_elsewhere(a)} {a.grid.describe_setup()}",
        "Height maps, a panel an image and method.",
    )


def _elsewhere(c: Curves) -> str:
    """What is said of data that the paper's figures are not of."""
    return "" if c.data.startswith("cifar") else " The paper's are of CIFAR."


def _surface(found: Mapping[str, torch.Tensor], what: str, image: int, title: str) -> Panel:
    return Panel(
        lambda ax: height_map(ax, found["offsets"], found[what][image], title=title, boundary=what == "margin"),
        "",
        (3.4, 3.7),
    )


def _points(a: Analysis, store: Store, name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As ``distances``, of the images that the attack moved."""
    normal, far, q = a.distances(store, name)
    known = q.isfinite()
    return normal[known], far[known], q[known]


def _line(tasks: Mapping[float, AttackTask], store: Store) -> draw.Line:
    values = [robust_accuracy(task.result(store)["found"]) for task in tasks.values()]
    return interval_line(list(tasks), values)


def _mark(ax: draw.Axes, at: list[Any]) -> None:
    """Ticks at what was measured, as plain numbers."""
    ax.set_xticks(at, labels=[f"{x:g}" for x in at])
    ax.set_xticks([], minor=True)


def _frame(lines: Mapping[str, draw.Line]) -> tuple[float, float]:
    """Curves that differ by a few points are shown as large as they can be."""
    low = min(float(np.min(np.asarray(line.low))) for line in lines.values())
    high = max(float(np.max(np.asarray(line.high))) for line in lines.values())
    return max(0.0, low - 0.02), min(1.01, high + 0.02)
