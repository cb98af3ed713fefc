"""Figures of the EntM study, in the paper's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask
from surefooted.report import Figure, Panel
from surefooted.report import figures as draw
from surefooted.report.landscapes import height_map, scatter_groups
from surefooted.studies.entm.curves import CURVE_METHODS, FIRST_NETWORK, Curves
from surefooted.studies.entm.design import SURFACE_METHODS, Analysis
from surefooted.studies.grid import name_subset
from surefooted.studies.shared_figures import interval_line


def radius_figure(a: Curves, store: Store) -> Figure:
    """Figure 1: accuracy against the radius."""
    lines = {
        name: _accuracy_line({k / 255: a.radius_attacks[name, k] for k in a.radii}, store) for name in CURVE_METHODS
    }
    return Figure(
        f"accuracy-radius{a.name_suffix}",
        f"Accuracy against the radius{a.title_suffix} (figure 1)",
        Panel(lambda ax: draw.accuracy_curves(ax, lines, names=list(a.grid.methods)), size=(6.4, 4.2), series=lines),
        "PGD with k steps of 2/255 in an L∞ ball of radius k/255, from a Gaussian step of 0.005, one restart; an image "
        f"is dropped once it is misclassified. {name_subset(a.images)}; bands are 95 % Wilson intervals. If "
        "accuracy does not fall to 0, the defence masks its "
        f"gradients.{_data_note(a)} {a.grid.describe_setup()} {FIRST_NETWORK}",
        "Accuracy against the radius, a line per method.",
    )


def step_figure(a: Curves, store: Store) -> Figure:
    """Figure 2: accuracy against the number of steps, under PGD and under the adaptive attack."""

    def panel(k: int, tasks: Mapping[tuple[str, int, int], AttackTask], title: str) -> Panel:
        lines = {
            name: _accuracy_line({steps: tasks[name, k, steps] for steps in _steps(tasks)}, store)
            for name in CURVE_METHODS
        }

        def plot(ax: draw.Axes) -> None:
            ax.set_xscale("log", base=2)
            draw.accuracy_curves(ax, lines, names=list(a.grid.methods), xlabel="Steps", ylim=_y_limits(lines))
            _set_ticks(ax, _steps(tasks))

        return Panel(plot, f"{title}, ε = {k}/255", series=lines)

    kinds = ((a.step_attacks, "PGD"), (a.adaptive_attacks, "Adaptive"))
    panels = [panel(k, tasks, title) for tasks, title in kinds for k in a.step_radii]
    return Figure(
        f"accuracy-steps{a.name_suffix}",
        f"Accuracy against the number of steps{a.title_suffix} (figure 2)",
        tuple(panels),
        "k steps of max(1/510, 2ε/k) from a Gaussian step of 0.005, one run. Adaptive: eleven runs with labels "
        "smoothed by γ = 0, 0.1, …, 1, each from its own starting point; an image counts as robust if it withstands "
        f"all. It runs for every second number of steps. {name_subset(a.images)}; bands are 95 % Wilson "
        f"intervals.{_data_note(a)} {a.grid.describe_setup()} {FIRST_NETWORK}",
        "Accuracy against the number of steps, a line per method.",
    )


def lambda_figure(a: Curves, store: Store) -> Figure:
    """Figure 3: accuracy, clean and under attack, against λ."""
    grid, (attack,) = a.sweep, a.sweep.white_box
    lines = {}
    for label, key in (("clean", ""), (attack, attack)):
        values = [grid.accuracy_interval(store, name, key) for name in grid.methods]
        lines[label] = interval_line([float(name) for name in grid.methods], values)

    def plot(ax: draw.Axes) -> None:
        ax.set_xscale("symlog", linthresh=0.1)
        draw.accuracy_curves(ax, lines, xlabel="λ", ylim=_y_limits(lines))
        _set_ticks(ax, [float(name) for name in grid.methods])

    return Figure(
        f"lambda{a.name_suffix}",
        f"Accuracy against the weight λ of the entropy{a.title_suffix} (figure 3)",
        Panel(plot, size=(6.4, 4.2), series=lines),
        f"PAT-EntM; λ = 0 is PAT. Bands are 95 % intervals.{_data_note(a)} {grid.caption()}",
        "Accuracy against λ, clean and under attack.",
    )


def margin_figure(a: Analysis, store: Store) -> Figure:
    """Figure 4: distortion against the normalised margin, with the least linear examples of EntM."""
    points = {name: _finite_points(a, store, name) for name in ("EntM", "PAT", "PAT-EntM")}
    x, y, q = points["EntM"]
    above = q > q.quantile(0.6)
    by_q = {"EntM, Q up to its 60 % quantile": (x[~above], y[~above]), "EntM, Q above it": (x[above], y[above])}
    by_method = {name: (x, y) for name, (x, y, _) in points.items()}

    def panel(groups: Mapping[str, tuple[torch.Tensor, torch.Tensor]], title: str, names: Sequence[str] = ()) -> Panel:
        def plot(ax: draw.Axes) -> None:
            scatter_groups(ax, groups, names=names, xlabel="Normalised margin M / ‖J‖₂", ylabel="Distortion ‖δ‖₂")

        return Panel(plot, title, (5, 4), {name: draw.Line(*group) for name, group in groups.items()})

    return Figure(
        "margin-distortion",
        "Normalised margin and distortion (figure 4)",
        (panel(by_method, "Three methods", list(a.grid.methods)), panel(by_q, "EntM, by non-linearity")),
        f"{name_subset(a.analysis_images)}, of which at most 300 that are classified correctly are shown. Distortion "
        f"by nearest_boundary, Q at the points of PGD20-{a.l2_radii[-1]:g}. The paper's threshold of 65 is called the "
        "40-percentile of Q; we take it to mean that 40 % of the values lie "
        f"above.{_data_note(a)} {a.grid.describe_setup()} {FIRST_NETWORK}",
        "Distortion against normalised margin, a point per image.",
    )


def surface_figure(a: Analysis, store: Store) -> Figure:
    """Figures 5 and 6: loss and decision margin around two images."""
    panels = []
    for name in SURFACE_METHODS:
        surface = a.loss_surfaces[name].result(store)
        for key, title in (("score", "loss"), ("margin", "margin")):
            for image in range(len(surface["y"])):
                panels.append(_surface_panel(surface, key, image, f"{name}, {title}, image {image + 1}"))
    return Figure(
        "surfaces",
        "Loss and decision margin around an image (figures 5 and 6)",
        tuple(panels),
        "Values at x + ε₁d₁ + ε₂d₂: d₁ is the sign of the gradient of the cross-entropy, d₂ a random direction with "
        f"‖d₂‖∞ = 1. Offsets range over ±{a.surface_radius:.3g} and are not clipped to [0, 1]. In the panels of the "
        "margin the line is the decision boundary. The first two test "
        f"images.{_data_note(a)} {a.grid.describe_setup()}",
        "Height maps, a panel per image and method.",
    )


def _data_note(a: Curves) -> str:
    """A note if the paper's figures show another data set."""
    return "" if a.data.startswith("cifar") else " The paper's figures are for CIFAR."


def _surface_panel(surface: Mapping[str, torch.Tensor], key: str, image: int, title: str) -> Panel:
    return Panel(
        lambda ax: height_map(ax, surface["offsets"], surface[key][image], title=title, boundary=key == "margin"),
        "",
        (3.4, 3.7),
    )


def _finite_points(a: Analysis, store: Store, name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The result of ``geometry`` for the images that the attack moved."""
    margin, distortion, q = a.geometry(store, name)
    known = q.isfinite()
    return margin[known], distortion[known], q[known]


def _steps(tasks: Mapping[tuple[str, int, int], AttackTask]) -> list[int]:
    return sorted({steps for _, _, steps in tasks})


def _accuracy_line(tasks: Mapping[float, AttackTask], store: Store) -> draw.Line:
    values = [robust_accuracy(task.result(store)["found"]) for task in tasks.values()]
    return interval_line(list(tasks), values)


def _set_ticks(ax: draw.Axes, values: Sequence[float]) -> None:
    """Label the measured values as plain numbers."""
    ax.set_xticks(values, labels=[f"{x:g}" for x in values])
    ax.set_xticks([], minor=True)


def _y_limits(lines: Mapping[str, draw.Line]) -> tuple[float, float]:
    """Limits that fit the bands, so that differences of a few points are visible."""
    low = min(float(np.min(np.asarray(line.low))) for line in lines.values())
    high = max(float(np.max(np.asarray(line.high))) for line in lines.values())
    return max(0.0, low - 0.02), min(1.01, high + 0.02)
