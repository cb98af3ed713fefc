"""Tables of the UTA study, and the paper's scores beside ours."""

from __future__ import annotations

from typing import Any

from surefooted.pipeline.store import Store
from surefooted.report import Column, Table
from surefooted.studies import paper_comparison
from surefooted.studies.grid import Grid
from surefooted.studies.paper_comparison import CellComparison
from surefooted.studies.paper_numbers import printed_numbers
from surefooted.studies.shared_figures import column_key
from surefooted.studies.uta.design import SingleMember
from surefooted.studies.uta.grids import NAMES, STANDARD, attack, name, suite, tested_at, trained_at


def scores(grid: Grid, store: Store, label: str, title: str) -> Table:
    """Tables 1 and 2: mean of clean and AutoAttack accuracy, a row a training, a column a test radius."""
    columns = (
        Column("method", "Method"),
        Column("eps_train", "ε, training", digits=2),
        Column("clean", "Clean", "%", 2, "high", scale=100),
        *(
            Column(column_key("score", eps), f"Score, ε = {eps:g}", "%", 1, "high", scale=100)
            for eps in tested_at(grid)
        ),
        *(
            Column(column_key("robust", eps), f"AutoAttack, ε = {eps:g}", "%", 1, "high", scale=100)
            for eps in tested_at(grid)
        ),
    )

    def row(which: str, label: str, eps: float | None) -> dict[str, Any]:
        made: dict[str, Any] = {"method": label, "eps_train": eps, "clean": grid.accuracy_interval(store, which)}
        made |= {column_key("score", test): grid.score_interval(store, which, attack(test)) for test in tested_at(grid)}
        return made | {
            column_key("robust", t): grid.accuracy_interval(store, which, attack(t)) for t in tested_at(grid)
        }

    rows = [
        row(STANDARD, STANDARD, None),
        *(row(name(method, eps), label, eps) for method, label in NAMES.items() for eps in trained_at(grid)),
    ]
    caption = f"Score: mean of clean and robust accuracy, the latter under {suite(grid)}, L∞. {grid.caption()}"
    return Table(f"scores-{label}", title, columns, tuple(rows), caption)


def compared(grid: Grid, store: Store, table: str, data: str) -> list[CellComparison]:
    """Every printed score that the grid has."""
    cells = []
    for row in printed_numbers("uta"):
        which = f"{row['method'].removeprefix('LS-')} {float(row['eps_train']):g}"
        if (row["table"], row["dataset"]) == (table, data) and which in grid.methods:
            test = float(row["eps_test"])
            labels = {"Method": row["method"], "Trained at": row["eps_train"], "Tested at": row["eps_test"]}
            cells.append(
                CellComparison(labels, float(row["value"]) / 100, grid.score_interval(store, which, attack(test)))
            )
    return cells


def beside(grid: Grid, store: Store, data: str, label: str, title: str) -> Table:
    """The paper's table 1 and ours, cell by cell."""
    cells = compared(grid, store, "1", data)
    return paper_comparison.comparison_table(
        f"printed-{label}", f"The paper's table 1 and ours, {title}", cells, grid.caption()
    )


def alone(one: SingleMember, store: Store) -> Table:
    """What one of the networks does without those it was trained beside."""
    columns = (
        Column("method", "Trained by"),
        Column("clean", "Clean", "%", 2, "high", scale=100),
        *(
            Column(column_key("robust", eps), f"AutoAttack, ε = {eps:g}", "%", 1, "high", scale=100)
            for eps in tested_at(one.grid)
        ),
    )
    rows = tuple(
        {"method": which, "clean": one.accuracy_interval(store, which)}
        | {column_key("robust", eps): one.accuracy_interval(store, which, attack(eps)) for eps in tested_at(one.grid)}
        for which in one.victims
    )
    caption = (
        "The first of the networks that UTA trains side by side, without the others: the table above has the mean "
        f"prediction of them all. Under {suite(one.grid)}, L∞; 95 % intervals over images."
    )
    return Table("latent-alone", "One network of the ensemble alone", columns, rows, caption)
