"""Tables of UTA's experiment in the plane."""

from __future__ import annotations

from surefooted.data.plane import SIDE
from surefooted.report import Column, Table
from surefooted.studies.shared_figures import mean_and_std
from surefooted.studies.uta.toy import CLEAN, DUE_EPS, DUE_STEP_SIZE, MLP_EPS, MLP_STEP_SIZE, MLP_STEPS
from surefooted.studies.uta.toy_results import ToyResults


def attacks_table(r: ToyResults) -> Table:
    """Where attacks move the test points, a row per attack, victim and number of steps."""
    columns = (
        Column("attack", "Attack"),
        Column("victim", "Victim"),
        Column("steps", "Steps", digits=0),
        Column("fooled", "Misclassified", "%", 1, scale=100),
        Column(
            "far",
            "Far across",
            "%",
            1,
            "",
            "misclassified, and more than a step and a grid point beyond the network's boundary",
            scale=100,
        ),
        Column("beyond", "In the other class", "%", 1, "", "beyond the true boundary", 100),
        Column("depth", "Depth", "units", 3, "", "distance beyond the true boundary, mean over all points"),
        Column("seeds", "Networks", digits=0),
    )
    rows = []
    for attack, victim, steps in sorted(r.problem.attacks, key=lambda key: (key[1] != CLEAN, key[1:], key[0])):
        crossings = r.crossings(attack, victim, steps)
        rows.append(
            {
                "attack": attack,
                "victim": f"{len(r.problem.ensemble.members)} networks" if victim == "Ensemble" else victim,
                "steps": steps,
                "seeds": len(crossings),
                **{quantity: mean_and_std([values[quantity] for values in crossings]) for quantity in crossings[0]},
            }
        )
    caption = (
        f"Test points after attacks from the clean point, ε = {MLP_EPS:g}, steps of {MLP_STEP_SIZE:g}; for the "
        f"Gaussian process (DUE) ε = {DUE_EPS:g} and steps of {DUE_STEP_SIZE:g}. The last iterate is kept. Sign steps "
        "end on either side of the line that they approach, so a point may be misclassified by less than a step. "
        f"Mean ± standard deviation over networks. {r.caption()}"
    )
    return Table("toy-attacks", "Where attacks move the points of the plane", columns, tuple(rows), caption)


def training_table(r: ToyResults) -> Table:
    """Accuracy, boundary and oscillation after training, a row per method."""
    columns = (
        Column("method", "Trained by"),
        Column("test", "Accuracy", "%", 1, "high", "test points", 100),
        Column("map", "Accuracy on the plane", "%", 1, "high", "area of the classes and of the gap between them", 100),
        Column(
            "off",
            "Boundary distance",
            "units",
            3,
            "low",
            f"mean distance from learnt to true boundary and back; {SIDE:g}, the square's side, if there is none",
        ),
        Column("flips", "Changes", "", 2, "low", "changes of the prediction during training, mean over the plane"),
        Column("seeds", "Networks", digits=0),
    )
    rows = [
        {
            "method": name,
            "test": mean_and_std(r.test_accuracy(name)),
            "map": mean_and_std(r.map_accuracy(name)),
            "off": mean_and_std(r.boundary_distances(name)),
            "flips": mean_and_std(r.flips(name)) if name in r.problem.methods else None,
            "seeds": len(nets),
        }
        for name, nets in r.problem.trained.items()
    ]
    caption = (
        f"Perturbation in training: ε = {MLP_EPS:g}, {MLP_STEPS} steps of {MLP_STEP_SIZE:g}, TRADES with λ = 1; DUE "
        f"with ε = {DUE_EPS:g}, {r.problem.due_steps} steps of {DUE_STEP_SIZE:g}. Changes are counted after every "
        f"update on a grid of {r.problem.grid_size}×{r.problem.grid_size} points. Mean ± standard deviation over "
        f"networks. {r.training_note()} {r.caption()}"
    )
    return Table("toy-trained", "Training on perturbed points of the plane", columns, tuple(rows), caption)
