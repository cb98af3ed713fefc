"""Tables of UTA's experiment in the plane."""

from __future__ import annotations

from surefooted.data.plane import SIDE
from surefooted.report import Column, Table
from surefooted.studies.shared_figures import mean_and_std
from surefooted.studies.uta.plane import PlaneResults
from surefooted.studies.uta.toy import ALPHA, CLEAN, DUE_ALPHA, DUE_EPS, EPS, STEPS


def attacks_table(n: PlaneResults) -> Table:
    columns = (
        Column("attack", "Attack"),
        Column("victim", "On"),
        Column("steps", "Steps", digits=0),
        Column("fooled", "Answer wrong", "%", 1, scale=100),
        Column(
            "far",
            "Far across",
            "%",
            1,
            "",
            "wrong, and further than a step and a grid point from the network's boundary",
            scale=100,
        ),
        Column("beyond", "Beyond the truth", "%", 1, "", "on the wrong side of the true boundary", 100),
        Column("depth", "Depth", "units", 3, "", "how far beyond the true boundary, the mean over all points"),
        Column("seeds", "Networks", digits=0),
    )
    rows = []
    for raises, victim, steps in sorted(n.made.moved, key=lambda key: (key[1] != CLEAN, key[1:], key[0])):
        each = n.crossed(raises, victim, steps)
        row = {name: mean_and_std([one[name] for one in each]) for name in each[0]}
        name = f"{len(n.made.ensemble.members)} networks" if victim == "Ensemble" else victim
        rows.append({"attack": raises, "victim": name, "steps": steps, "seeds": len(each), **row})
    caption = (
        f"Test points moved from where they are, ε = {EPS:g}, steps of {ALPHA:g}; the Gaussian process (DUE) with "
        f"ε = {DUE_EPS:g} and {DUE_ALPHA:g}; the last iterate is kept. Sign steps end on either side of the line that "
        f"they climb to, so an answer may be wrong by less than a step. Mean ± standard deviation over networks. "
        f"{n.caption()}"
    )
    return Table("toy-attacks", "Where attacks take the points of the plane", columns, tuple(rows), caption)


def trained_table(n: PlaneResults) -> Table:
    columns = (
        Column("method", "Trained by"),
        Column("test", "Accuracy", "%", 1, "high", "test points", 100),
        Column("map", "Plane told right", "%", 1, "high", "share of where the classes lie and of the gap", 100),
        Column(
            "off",
            "Boundary off by",
            "units",
            3,
            "low",
            f"mean distance from learnt to true boundary and back; {SIDE:g}, the square's side, where there is none",
        ),
        Column("flips", "Changes", "", 2, "low", "of the prediction over the training, the mean over the plane"),
        Column("seeds", "Networks", digits=0),
    )
    rows = [
        {
            "method": name,
            "test": mean_and_std(n.on_test(name)),
            "map": mean_and_std(n.on_map(name)),
            "off": mean_and_std(n.off(name)),
            "flips": mean_and_std(n.flips(name)) if name in n.made.methods else None,
            "seeds": len(nets),
        }
        for name, nets in n.made.trained.items()
    ]
    caption = (
        f"Perturbed in training: ε = {EPS:g}, {STEPS} steps of {ALPHA:g}, TRADES with λ = 1; DUE with ε = {DUE_EPS:g}, "
        f"{n.made.due_steps} steps of {DUE_ALPHA:g}. Changes are counted after every update on a grid of "
        f"{n.made.grid}×{n.made.grid} points. Mean ± standard deviation over networks. {n.trained()} {n.caption()}"
    )
    return Table("toy-trained", "What training on perturbed points makes of the plane", columns, tuple(rows), caption)
