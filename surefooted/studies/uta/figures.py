"""Figures of the UTA study, drawn as the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from surefooted.pipeline.store import Store
from surefooted.report import Figure, Panel
from surefooted.report import figures as draw
from surefooted.studies.grid import Grid
from surefooted.studies.shared_figures import interval_line, range_line
from surefooted.studies.uta.design import Overfitting
from surefooted.studies.uta.grids import FAST_TEST, NAMES, attack, curve, drawn_at, name, suite, tested_at, trained_at

MEASURES = {"clean": "clean", "fgsm": "FGSM", "pgd": "PGD"}
WHOLE = (0, 1.02)  # of panels side by side, which are compared by eye


def trade_off(title: str, grid: Grid, store: Store, name: str, clean: str, under_pgd: str) -> tuple[Figure, ...]:
    """Accuracy by the radius of training: clean, under AutoAttack, under PGD; two of them are the paper's."""
    return (
        clean_accuracy(title, grid, store, name, clean),
        robust_accuracy(title, grid, store, name),
        pgd_accuracy(title, grid, store, name, under_pgd),
    )


def clean_accuracy(title: str, grid: Grid, store: Store, label: str, of: str) -> Figure:
    """Clean accuracy against the training radius."""
    lines = {}
    for method, shown in NAMES.items():
        values = [grid.accuracy_interval(store, name(method, eps)) for eps in trained_at(grid)]
        lines[shown] = interval_line(trained_at(grid), values)
    return Figure(
        f"clean-accuracy-{label}",
        f"Clean accuracy against the radius of training, {title} ({of})",
        Panel(
            lambda ax: draw.accuracy_vs_eps(ax, lines, names=list(NAMES.values()), xlabel="ε in training"), series=lines
        ),
        f"Bands are 95 % intervals. {grid.caption()}",
        "Clean accuracy against the radius of training, a line a method.",
    )


def robust_accuracy(title: str, grid: Grid, store: Store, label: str) -> Figure:
    """Accuracy under AutoAttack, by which the paper's tables are, against the test radius."""
    return _by_radius(f"robust-accuracy-{label}", f"{title} ({suite(grid)})", grid, store, attack, tested_at(grid))


def pgd_accuracy(title: str, grid: Grid, store: Store, label: str, of: str) -> Figure:
    """Accuracy under PGD against the test radius, as the paper's figures have it."""
    return _by_radius(
        f"pgd-accuracy-{label}", f"{title} (PGD-10, ten random starts; {of})", grid, store, curve, drawn_at(grid)
    )


def _by_radius(
    kind: str, title: str, grid: Grid, store: Store, by: Callable[[float], str], radii: Sequence[float]
) -> Figure:
    """Accuracy against the radius of an attack, a line a training."""

    def panel(method: str) -> Panel:
        lines = {}
        for eps in trained_at(grid):
            which = name(method, eps)
            values = [
                grid.accuracy_interval(store, which),
                *(grid.accuracy_interval(store, which, by(test)) for test in radii),
            ]
            lines[f"trained at {eps:g}"] = interval_line([0.0, *radii], values)
        return Panel(
            lambda ax: draw.accuracy_vs_eps(ax, lines, xlabel="ε in the test", ylim=WHOLE), NAMES[method], series=lines
        )

    return Figure(
        kind,
        f"Accuracy under attack against the radius of the test, {title}",
        tuple(map(panel, NAMES)),
        f"L∞. Bands are 95 % intervals. {grid.caption()}",
        "Accuracy against the radius of the test, a line a training.",
    )


def fast_figure(grids: Mapping[int, Grid], store: Store) -> Figure:
    """Figures 3 and 9c: methods of one and two steps, by the radius in grey levels."""
    some = next(iter(grids.values()))

    def panel(attack: str, title: str) -> Panel:
        lines = {
            kind: interval_line(
                [k / 255 for k in grids], [grid.accuracy_interval(store, kind, attack) for grid in grids.values()]
            )
            for kind in some.methods
        }
        return Panel(
            lambda ax: draw.accuracy_vs_eps(ax, lines, names=list(some.methods), xlabel="ε in training"),
            title,
            series=lines,
        )

    return Figure(
        "fast",
        "Methods of one and two steps (figures 3 and 9c)",
        (panel(FAST_TEST, f"{FAST_TEST}, at the ε of training"), panel("", "Clean")),
        f"Networks trained at k/255, k = {', '.join(map(str, grids))}; in the test PGD of 50 steps of ε / 4 and 10 "
        f"restarts. R-FGSM's step is 1.25 ε. Bands are 95 % intervals. {some.caption()}",
        "Accuracy against the radius, a line a method.",
    )


def overfitting(runs: Overfitting, store: Store, label: str) -> Figure:
    """Figures 4 and 9: accuracy by iteration."""

    def panel(method: str) -> Panel:
        seen = [one.recorded(store) for one in runs.trained[method]]
        steps = seen[0]["step"].tolist()
        lines = {
            shown: range_line(steps, torch.stack([one[key] for one in seen], 1).tolist())
            for key, shown in MEASURES.items()
        }
        names = list(MEASURES.values())
        return Panel(
            lambda ax: draw.accuracy_vs_eps(ax, lines, names=names, xlabel="Iteration", ylim=WHOLE),
            method,
            (5, 3.6),
            lines,
        )

    return Figure(
        label,
        f"Catastrophic overfitting ({runs.of})",
        tuple(panel(method) for method in runs.methods),
        f"Mean over runs, band from least to greatest. {runs.caption()}",
        "Accuracy by iteration: clean, under FGSM and under PGD.",
    )
