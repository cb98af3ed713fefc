"""Tables of the EntM study: accuracy under attack, and the paper's numbers beside it."""

from __future__ import annotations

from surefooted.pipeline.store import Store
from surefooted.report import Column, Table
from surefooted.studies.entm.grids import is_clipped
from surefooted.studies.grid import Grid
from surefooted.studies.paper_comparison import CellComparison
from surefooted.studies.paper_numbers import DATA_SET_TITLES, printed_numbers

PRINTED = (
    "A cell that several of the paper's tables print is compared with the nearest of its numbers; FGSM4, whose row "
    "they print in different orders, is left out. "
)


def title(data: str) -> str:
    """A grid by its name in the study, for readers."""
    known, _, variant = data.partition("-")
    return DATA_SET_TITLES.get(known, known) + {"wide": ", Wide ResNet", "unclipped": ", pixels may leave [0, 1]"}.get(
        variant, ""
    )


def numbered(printed: tuple[str, ...]) -> str:
    """The paper's numbers of a table."""
    return f"table{'s' if len(printed) > 1 else ''} {', '.join(printed)}"


def robustness(grid: Grid, store: Store, data: str, printed: tuple[str, ...]) -> Table:
    """A row an attack, a column a method (tables 1 to 3, 6 to 9, 12 and 13)."""
    columns = (
        Column("attack", "Attack"),
        *(Column(_key(name), name, "%", 2, scale=100) for name in grid.methods),
    )
    attacks = ["", *grid.white_box, *grid.black_box]
    rows = tuple(
        {"attack": attack or "clean"}
        | {
            _key(name): grid.accuracy_interval(store, name, attack)
            for name in grid.methods
            if not attack or (name, attack) in grid.attacked
        }
        for attack in attacks
    )
    caption = (
        "Accuracy. PGDp-k: p steps of k/2550 in an L∞ ball of k/255, from a Gaussian step of 0.005, 5 restarts, an "
        "image counts if it withstands all; a row retires when it is misclassified. CWp-k: the same on the margin of "
        "the logits. FGSMk: one step of k/255 from the same starts. Black-box: the last iterates of "
        f"{grid.starts} runs on a network trained independently, Normal or PAT; an image counts if it is told right "
        "clean too. PAT starts at random in its ball, TRADES uses KL(f(x) ‖ f(x')). One run of each attack (the paper: "
        f"three, of three networks). {'' if is_clipped(grid) else 'Attacks keep to the ball, not to [0, 1]. '}"
        f"{grid.caption()}"
    )
    return Table(
        f"robustness-{data}",
        f"Accuracy under white-box and black-box attacks, {title(data)} ({numbered(printed)})",
        columns,
        rows,
        caption,
    )


def compared(grid: Grid, store: Store, data: str, tables: tuple[str, ...]) -> list[CellComparison]:
    """Every printed cell that the grid has, once: a cell that several tables print is compared with the nearest.

    FGSM4 is left out: the paper's tables print that row in different orders.
    """
    printings: dict[tuple[str, str], list[float]] = {}
    for row in printed_numbers("entm"):
        if row["table"] in tables and row["dataset"] == data and row["method"] in grid.methods:
            attack = "" if row["attack"] == "Clean" else row["attack"]
            attack = f"black-box {attack}" if row["setting"] == "black-box" else attack
            if attack != "FGSM4" and (not attack or (row["method"], attack) in grid.attacked):
                printings.setdefault((row["method"], attack), []).append(float(row["accuracy_pct"]) / 100)
    cells = []
    for (method, attack), values in printings.items():
        ours = grid.accuracy_interval(store, method, attack)
        nearest = min(values, key=lambda value: abs(value - ours.value))
        cells.append(CellComparison({"Method": method, "Attack": attack or "clean"}, nearest, ours))
    return cells


def _key(name: str) -> str:
    return name.lower().replace("-", "_")
