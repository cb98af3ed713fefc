"""Figures of UTA's experiment in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from surefooted.data.plane import SIDE, units
from surefooted.data.plane import boundary as true_line
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Figure, Panel
from surefooted.report import plane as draw
from surefooted.studies.uta.toy import CLEAN, DUE_EPS, DUE_STEP_SIZE, MLP_EPS, MLP_STEP_SIZE, MLP_STEPS
from surefooted.studies.uta.toy_results import ToyResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HALF_SIDE = SIDE / 2
_PANEL_SIZE = (3.9, 3.1)
_SHOWN = slice(0, 60)
_DOTS_NOTE = (
    "Dots: the first 60 test points in the colour of their class (0 red, 1 blue). Solid line: boundary of the network; "
    "dashed line: true boundary. Axes in the paper's units."
)
_CROSSES_NOTE = f"Crosses: the same points after the attack. {_DOTS_NOTE}"


def toy_figures(r: ToyResults) -> tuple[Figure, ...]:
    """All figures, in the order of the paper."""
    due = (_due_figure(r),) if r.problem.due_seeds else ()
    return (_attacks_figure(r), _training_figure(r), _oscillation_figure(r), *due)


def _attacks_figure(r: ToyResults) -> Figure:
    """Figure 1, a and b: PGD above, UTA below, by number of steps."""
    steps = r.problem.attack_steps
    above = [_attack_panel(r, "PGD", CLEAN, k, f"PGD, {k} step{'s' * (k > 1)}") for k in steps]
    below = [_attack_panel(r, "UTA", "Ensemble", k, f"UTA, {k} step{'s' * (k > 1)}") for k in steps]
    return Figure(
        "toy-attacks-map",
        "Attacks on trained networks in the plane (figure 1, a and b)",
        (*above, *below),
        f"PGD on a network trained on clean points, on a map of its probability; UTA on {r.problem.members} such "
        f"networks, on a map of the entropy of their mean prediction (nats). Steps of {MLP_STEP_SIZE:g}, ε = "
        f"{MLP_EPS:g}, which {MLP_STEPS} steps reach (the paper prints no ε): on the left that is beyond the other "
        f"class. {_CROSSES_NOTE} {r.caption()}",
        "Maps of the plane with points before and after PGD, above, and UTA, below; a column per number of steps.",
    )


def _training_figure(r: ToyResults) -> Figure:
    """Figure 1, c, and figure 7: boundaries after training."""
    return Figure(
        "toy-trained-map",
        "Boundaries after training on perturbed points (figures 1, c, and 7)",
        tuple(_training_panel(r, name, name) for name in (CLEAN, *r.problem.methods)),
        f"Probability of class 1 of each method's first network. In training ε = {MLP_EPS:g}, {MLP_STEPS} steps of "
        f"{MLP_STEP_SIZE:g}. UTA maximises the entropy of the network in training. TRADES uses λ = 1 and the KL "
        "divergence between predictions, as in its authors' code; the paper writes one loss L for both terms. "
        f"{_DOTS_NOTE} {r.caption()}",
        "Maps of the plane: probability of networks trained by each method, with the true boundary.",
    )


def _oscillation_figure(r: ToyResults) -> Figure:
    """Figure 1, d: oscillation maps."""
    maps = {name: r.problem.trained[name][0].recorded(r.store)["flips"].double() for name in r.problem.methods}
    # One scale for all panels; the quantile keeps a few points of the first updates from stretching it.
    most = max(float(values.quantile(0.995)) for values in maps.values()) or 1.0

    def panel(name: str) -> Panel:
        def plot(ax: Axes) -> None:
            draw.quantity_map(
                ax, maps[name].numpy(), _HALF_SIDE, label="Changes of the prediction", colour=draw.CHANGES, most=most
            )
            _draw_frame(ax)

        return Panel(plot, name, _PANEL_SIZE)

    return Figure(
        "toy-flips",
        "Changes of the prediction over the updates (figure 1, d)",
        tuple(panel(name) for name in maps),
        "Counted at every point of the plane after every update of each method's first network; batches have the same "
        "size for all. The more solid the colour, the more changes, up to the 99.5 % quantile. Dashed line: true "
        f"boundary. {r.caption()}",
        "Maps of the plane: number of changes of each point's prediction, a panel per method.",
    )


def _due_figure(r: ToyResults) -> Figure:
    """Figures 5 and 6: attacks on a Gaussian process, and its boundaries after training on perturbed points."""
    clean, k = f"DUE, {CLEAN}", r.problem.due_steps
    return Figure(
        "toy-due",
        "Attacks and training with a Gaussian process on learnt features, DUE (figures 5 and 6)",
        (
            _attack_panel(r, "PGD", clean, k, f"PGD, {k} steps"),
            _attack_panel(r, "UTA", clean, k, f"UTA, {k} steps"),
            _training_panel(r, "DUE, PGD-AT", "after PGD-AT"),
            _training_panel(r, "DUE, UTA-AT", "after UTA-AT"),
        ),
        f"Above: attacks on a process trained on clean points, ε = {DUE_EPS:g}, steps of {DUE_STEP_SIZE:g}, on maps of "
        "probability and entropy (nats) of its mean prediction over a thousand samples. Far from all points the "
        "probability is one half except for sampling noise, and the boundary there is noise, too. Below: probability "
        f"after training on points perturbed in the same way. {_CROSSES_NOTE} {r.caption()}",
        "Maps of the plane: above, points before and after PGD and UTA; below, after training on such points.",
    )


def _attack_panel(r: ToyResults, attack: str, victim: str, steps: int, title: str) -> Panel:
    result = r.problem.attacks[attack, victim, steps][0].result(r.store)
    clean = load_splits(r.problem.clean[0].data).test.points().x
    y = result["y"][_SHOWN].numpy()

    def plot(ax: Axes) -> None:
        p = r.probability(victim).numpy()
        if attack == "PGD":
            draw.probability_map(ax, p, _HALF_SIDE)
        else:
            draw.quantity_map(ax, r.entropy(victim).numpy(), _HALF_SIDE, label="Entropy", most=0.6931)
            draw.decision_boundary(ax, p, _HALF_SIDE)
        draw.scatter_examples(ax, units(clean[_SHOWN]).numpy(), y)
        draw.scatter_examples(ax, units(result["x"][_SHOWN]).numpy(), y, mark="cross")
        _draw_frame(ax)

    return Panel(plot, title, _PANEL_SIZE)


def _training_panel(r: ToyResults, name: str, title: str) -> Panel:
    points = load_splits(r.problem.clean[0].data).test.points(_SHOWN)

    def plot(ax: Axes) -> None:
        draw.probability_map(ax, r.probability(name).numpy(), _HALF_SIDE)
        draw.scatter_examples(ax, units(points.x).numpy(), points.y.numpy())
        _draw_frame(ax)

    return Panel(plot, title, _PANEL_SIZE)


def _draw_frame(ax: Axes) -> None:
    """Draw the true boundary and the limits of the square."""
    p = torch.linspace(-_HALF_SIDE, _HALF_SIDE, 61)
    draw.true_boundary(ax, p.numpy(), true_line(p).numpy())
    draw.set_square_axes(ax, _HALF_SIDE)
