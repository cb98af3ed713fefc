"""Figures of the UTA study, in the paper's layout."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from surefooted.pipeline.store import Store
from surefooted.report import Figure, Panel
from surefooted.report import figures as draw
from surefooted.studies.grid import Grid
from surefooted.studies.shared_figures import interval_line, range_line
from surefooted.studies.uta.design import Overfitting
from surefooted.studies.uta.grids import (
    FAST_ATTACK,
    METHOD_NAMES,
    autoattack_key,
    autoattack_radii,
    autoattack_title,
    pgd_key,
    pgd_radii,
    training_key,
    training_radii,
)

# Accuracies that the recorder measures, and their labels.
CURVE_LABELS = {"clean": "clean", "fgsm": "FGSM", "pgd": "PGD"}
# One scale for panels that are compared by eye.
_Y_LIMITS = (0, 1.02)


def trade_off_figures(
    title: str, grid: Grid, store: Store, label: str, *, clean: str, under_pgd: str
) -> tuple[Figure, ...]:
    """Clean accuracy, accuracy under AutoAttack and accuracy under PGD, by the training radius.

    Args:
        label: end of the figures' names.
        clean, under_pgd: the paper's figures of clean accuracy and of accuracy under PGD.
    """
    return (
        _clean_accuracy_figure(title, grid, store, label, clean),
        _radius_figure(
            f"robust-accuracy-{label}",
            f"{title} ({autoattack_title(grid)})",
            grid,
            store,
            {eps: autoattack_key(eps) for eps in autoattack_radii(grid)},
        ),
        _radius_figure(
            f"pgd-accuracy-{label}",
            f"{title} (PGD-10, ten random starts; {under_pgd})",
            grid,
            store,
            {eps: pgd_key(eps) for eps in pgd_radii(grid)},
        ),
    )


def _clean_accuracy_figure(title: str, grid: Grid, store: Store, label: str, figure: str) -> Figure:
    """Clean accuracy against the training radius."""
    radii, lines = training_radii(grid), {}
    for method, method_name in METHOD_NAMES.items():
        values = [grid.accuracy_interval(store, training_key(method, eps)) for eps in radii]
        lines[method_name] = interval_line(radii, values)
    return Figure(
        f"clean-accuracy-{label}",
        f"Clean accuracy against the training radius, {title} ({figure})",
        Panel(
            lambda ax: draw.accuracy_curves(ax, lines, names=list(METHOD_NAMES.values()), xlabel="Training radius ε"),
            series=lines,
        ),
        f"Bands are 95 % intervals. {grid.caption()}",
        "Clean accuracy against the training radius, a line per method.",
    )


def _radius_figure(name: str, title: str, grid: Grid, store: Store, attacks: Mapping[float, str]) -> Figure:
    """Accuracy against the test radius, a line per training; ``attacks`` maps radii to attacks of the grid."""

    def panel(method: str) -> Panel:
        lines = {}
        for eps in training_radii(grid):
            key = training_key(method, eps)
            values = [
                grid.accuracy_interval(store, key),
                *(grid.accuracy_interval(store, key, attack) for attack in attacks.values()),
            ]
            lines[f"trained at {eps:g}"] = interval_line([0.0, *attacks], values)
        return Panel(
            lambda ax: draw.accuracy_curves(ax, lines, xlabel="Test radius ε", ylim=_Y_LIMITS),
            METHOD_NAMES[method],
            series=lines,
        )

    return Figure(
        name,
        f"Accuracy under attack against the test radius, {title}",
        tuple(map(panel, METHOD_NAMES)),
        f"L∞. Bands are 95 % intervals. {grid.caption()}",
        "Accuracy against the test radius, a line per training.",
    )


def fast_training_figure(grids: Mapping[int, Grid], store: Store) -> Figure:
    """Figures 3 and 9c: methods with one and two steps, by the radius in grey levels."""
    first = next(iter(grids.values()))

    def panel(attack: str, title: str) -> Panel:
        lines = {
            method: interval_line(
                [k / 255 for k in grids], [grid.accuracy_interval(store, method, attack) for grid in grids.values()]
            )
            for method in first.methods
        }
        return Panel(
            lambda ax: draw.accuracy_curves(ax, lines, names=list(first.methods), xlabel="Training radius ε"),
            title,
            series=lines,
        )

    return Figure(
        "fast",
        "Methods with one and two steps (figures 3 and 9c)",
        (panel(FAST_ATTACK, f"{FAST_ATTACK} at the training radius"), panel("", "Clean")),
        f"Trained at radius k/255, k = {', '.join(map(str, grids))}. Evaluated with PGD, 50 steps of ε / 4 and 10 "
        f"restarts. R-FGSM's step is 1.25 ε. Bands are 95 % intervals. {first.caption()}",
        "Accuracy against the radius, a line per method.",
    )


def overfitting_figure(runs: Overfitting, store: Store, label: str) -> Figure:
    """Figures 4 and 9: accuracy by iteration."""

    def panel(method: str) -> Panel:
        records = [run.recorded(store) for run in runs.trained[method]]
        steps = records[0]["step"].tolist()
        lines = {
            name: range_line(steps, torch.stack([record[key] for record in records], 1).tolist())
            for key, name in CURVE_LABELS.items()
        }
        names = list(CURVE_LABELS.values())
        return Panel(
            lambda ax: draw.accuracy_curves(ax, lines, names=names, xlabel="Iteration", ylim=_Y_LIMITS),
            method,
            (5, 3.6),
            lines,
        )

    return Figure(
        label,
        f"Catastrophic overfitting ({runs.figure})",
        tuple(panel(method) for method in runs.methods),
        f"Mean over runs; bands range from the smallest to the largest value. {runs.caption()}",
        "Accuracy by iteration: clean, under FGSM and under PGD.",
    )
