"""Tables of the EntM study: accuracy under attack, and the comparison with the paper's numbers."""

from __future__ import annotations

from surefooted.pipeline.store import Store
from surefooted.report import Column, Table
from surefooted.studies.entm.grids import is_clipped
from surefooted.studies.grid import Grid
from surefooted.studies.paper_comparison import CellComparison
from surefooted.studies.paper_numbers import DATA_SET_TITLES, printed_numbers

PRINTED_NOTE = (
    "If several tables of the paper print the same cell, we compare with the nearest of its numbers. FGSM4 is "
    "excluded, because the paper's tables print its row in different orders. "
)
_VARIANTS = {"wide": ", Wide ResNet", "unclipped": ", pixels may leave [0, 1]"}


def grid_title(data: str) -> str:
    """Title of a grid, from its name in the study."""
    known, _, variant = data.partition("-")
    return DATA_SET_TITLES.get(known, known) + _VARIANTS.get(variant, "")


def table_numbers(printed: tuple[str, ...]) -> str:
    """The numbers of the paper's tables, such as "tables 1, 6"."""
    return f"table{'s' if len(printed) > 1 else ''} {', '.join(printed)}"


def robustness_table(grid: Grid, store: Store, data: str, printed: tuple[str, ...]) -> Table:
    """Accuracy, a row per attack, a column per method (tables 1 to 3, 6 to 9, 12 and 13)."""
    columns = (
        Column("attack", "Attack"),
        *(Column(_method_key(name), name, "%", 2, scale=100) for name in grid.methods),
    )
    rows = tuple(
        {"attack": attack or "clean"}
        | {
            _method_key(name): grid.accuracy_interval(store, name, attack)
            for name in grid.methods
            if not attack or (name, attack) in grid.attacked
        }
        for attack in ("", *grid.white_box, *grid.black_box)
    )
    caption = (
        "Accuracy. PGDp-k: p steps of k/2550 in an L∞ ball of radius k/255 from a Gaussian step of 0.005, 5 restarts; "
        "an image counts as robust if it withstands all restarts, and is dropped once it is misclassified. CWp-k: the "
        "same on the margin of the logits. FGSMk: one step of k/255 from the same starting points. Black-box: the last "
        f"iterates of {grid.starts} runs on an independently trained network, Normal or PAT; an image counts as robust "
        "if it withstands all and is classified correctly without an attack. PAT starts at random in its ball, TRADES "
        "uses KL(f(x) ‖ f(x')). One run of each attack (the paper: three runs, of three networks). "
        f"{'' if is_clipped(grid) else 'Attacks stay in the ball but may leave [0, 1]. '}{grid.caption()}"
    )
    return Table(
        f"robustness-{data}",
        f"Accuracy under white-box and black-box attacks, {grid_title(data)} ({table_numbers(printed)})",
        columns,
        rows,
        caption,
    )


def compare_accuracies(grid: Grid, store: Store, data: str, tables: tuple[str, ...]) -> list[CellComparison]:
    """Compare every printed accuracy that the grid contains.

    A cell that several tables print is compared once, with the nearest number. FGSM4 is excluded: the paper's tables
    print its row in different orders.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for row in printed_numbers("entm"):
        if row["table"] in tables and row["dataset"] == data and row["method"] in grid.methods:
            attack = "" if row["attack"] == "Clean" else row["attack"]
            attack = f"black-box {attack}" if row["setting"] == "black-box" else attack
            if attack != "FGSM4" and (not attack or (row["method"], attack) in grid.attacked):
                values.setdefault((row["method"], attack), []).append(float(row["accuracy_pct"]) / 100)
    comparisons = []
    for (method, attack), numbers in values.items():
        ours = grid.accuracy_interval(store, method, attack)
        nearest = min(numbers, key=lambda number: abs(number - ours.value))
        comparisons.append(CellComparison({"Method": method, "Attack": attack or "clean"}, nearest, ours))
    return comparisons


def _method_key(name: str) -> str:
    return name.lower().replace("-", "_")
