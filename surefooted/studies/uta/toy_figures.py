"""Figures of UTA's experiment in the plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from surefooted.data.plane import SIDE, units
from surefooted.data.plane import boundary as true_line
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Figure, Panel
from surefooted.report import plane as draw
from surefooted.studies.uta.plane import PlaneResults
from surefooted.studies.uta.toy import ALPHA, CLEAN, DUE_ALPHA, DUE_EPS, EPS, STEPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF = SIDE / 2
SIZE = (3.9, 3.1)
SHOWN = slice(0, 60)
DOTS = (
    "Dots are the first 60 test points in their class's colour (0 red, 1 blue). Solid: the boundary of the network, "
    "dashed: the true one. Axes in the paper's units."
)
MARKS = f"Crosses are examples after the attack. {DOTS}"


def figures(n: PlaneResults) -> tuple[Figure, ...]:
    """All of them, in the order of the paper."""
    made: list[Callable[[PlaneResults], Figure]] = [attacks_figure, trained_figure, flips_figure]
    return tuple(one(n) for one in (*made, *((due_figure,) if n.made.due_seeds else ())))


def attacks_figure(n: PlaneResults) -> Figure:
    """Figure 1, a and b: PGD above, UTA below, over the number of steps."""
    steps = n.made.attacked
    above = [_attacked(n, "PGD", CLEAN, k, f"PGD, {k} step{'s' * (k > 1)}") for k in steps]
    below = [_attacked(n, "UTA", "Ensemble", k, f"UTA, {k} step{'s' * (k > 1)}") for k in steps]
    return Figure(
        "toy-attacks-map",
        "Attacks on fixed networks in the plane (figure 1, a and b)",
        (*above, *below),
        f"PGD on a network that learnt from clean points, over the probability it gives; UTA on {n.made.members} such "
        f"networks, over the entropy of their mean prediction (nats). Steps of {ALPHA:g}, ε = {EPS:g}, {STEPS} such "
        f"(the paper prints none): on the left that reaches beyond the other class. {MARKS} {n.caption()}",
        "Maps of the plane with examples and where PGD, above, and UTA, below, moved them; a column a number of steps.",
    )


def trained_figure(n: PlaneResults) -> Figure:
    """Figure 1, c, and figure 7: boundaries after training."""
    return Figure(
        "toy-trained-map",
        "Boundaries after training on perturbed points (figures 1, c, and 7)",
        tuple(_learnt(n, name, name) for name in (CLEAN, *n.made.methods)),
        f"Probability that the first network of each method gives to class 1. In training ε = {EPS:g}, {STEPS} steps "
        f"of {ALPHA:g}, UTA up the entropy of the network that it trains; TRADES with λ = 1, "
        "KL between predictions as in its authors' code, where the paper writes one loss L for both terms. "
        f"{DOTS} {n.caption()}",
        "Maps of the plane: the probability that networks trained by each method give, with the true boundary.",
    )


def flips_figure(n: PlaneResults) -> Figure:
    """Figure 1, d: oscillation maps."""
    maps = {name: n.made.trained[name][0].recorded(n.store)["flips"].double() for name in n.made.methods}
    # One scale for all, which a few points of the first updates must not stretch.
    most = max(float(values.quantile(0.995)) for values in maps.values()) or 1.0

    def panel(name: str) -> Panel:
        def plot(ax: Axes) -> None:
            draw.quantity_map(
                ax, maps[name].numpy(), HALF, label="Changes of the prediction", colour=draw.CHANGES, most=most
            )
            _frame(ax)

        return Panel(plot, name, SIZE)

    return Figure(
        "toy-flips",
        "How often the prediction changed over the updates (figure 1, d)",
        tuple(panel(name) for name in maps),
        "Counted at every point of the plane after every update of the first network of each method, batches of one "
        f"size; the more solid the more changes, to the 99.5 % quantile. Dashed: the true boundary. {n.caption()}",
        "Maps of the plane: how often each point's prediction changed, a panel a method.",
    )


def due_figure(n: PlaneResults) -> Figure:
    """Figures 5 and 6: attacks on a Gaussian process, and its boundaries after training on perturbed points."""
    clean, k = f"DUE, {CLEAN}", n.made.due_steps
    return Figure(
        "toy-due",
        "The same with a Gaussian process on learnt features, DUE (figures 5 and 6)",
        (
            _attacked(n, "PGD", clean, k, f"PGD, {k} steps"),
            _attacked(n, "UTA", clean, k, f"UTA, {k} steps"),
            _learnt(n, "DUE, PGD-AT", "after PGD-AT"),
            _learnt(n, "DUE, UTA-AT", "after UTA-AT"),
        ),
        f"Above: attacks on a process that learnt from clean points, ε = {DUE_EPS:g}, steps of {DUE_ALPHA:g}, over "
        "probability and entropy (nats) of its mean prediction over a thousand samples; far from all examples that is "
        "one half but for chance, and so is the line. Below: probability after training on points that were moved so. "
        f"{MARKS} {n.caption()}",
        "Maps of the plane: above, examples and where PGD and UTA moved them; below, after training on such points.",
    )


def _attacked(n: PlaneResults, raises: str, victim: str, steps: int, title: str) -> Panel:
    result = n.made.moved[raises, victim, steps][0].result(n.store)
    clean = load_splits(n.made.clean[0].data).test.points().x
    y = result["y"][SHOWN].numpy()

    def plot(ax: Axes) -> None:
        p = n.probability(victim).numpy()
        if raises == "PGD":
            draw.probability_map(ax, p, HALF)
        else:
            draw.quantity_map(ax, n.entropy(victim).numpy(), HALF, label="Entropy", most=0.6931)
            draw.boundary(ax, p, HALF)
        draw.examples(ax, units(clean[SHOWN]).numpy(), y)
        draw.examples(ax, units(result["x"][SHOWN]).numpy(), y, mark="cross")
        _frame(ax)

    return Panel(plot, title, SIZE)


def _learnt(n: PlaneResults, name: str, title: str) -> Panel:
    points = load_splits(n.made.clean[0].data).test.points(SHOWN)

    def plot(ax: Axes) -> None:
        draw.probability_map(ax, n.probability(name).numpy(), HALF)
        draw.examples(ax, units(points.x).numpy(), points.y.numpy())
        _frame(ax)

    return Panel(plot, title, SIZE)


def _frame(ax: Axes) -> None:
    p = torch.linspace(-HALF, HALF, 61)
    draw.true_boundary(ax, p.numpy(), true_line(p).numpy())
    draw.square(ax, HALF)
