"""Tables of the UTA study, and the comparison with the paper's scores."""

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
from surefooted.studies.uta.grids import (
    METHOD_NAMES,
    STANDARD,
    autoattack_key,
    autoattack_radii,
    autoattack_title,
    training_key,
    training_radii,
)


def score_table(grid: Grid, store: Store, label: str, title: str) -> Table:
    """Tables 1 and 2: mean of clean accuracy and accuracy under AutoAttack, a row per training, a column per radius."""
    columns = (
        Column("method", "Method"),
        Column("eps_train", "Training radius ε", digits=2),
        Column("clean", "Clean", "%", 2, "high", scale=100),
        *(
            Column(column_key("score", eps), f"Score, ε = {eps:g}", "%", 1, "high", scale=100)
            for eps in autoattack_radii(grid)
        ),
        *(
            Column(column_key("robust", eps), f"AutoAttack, ε = {eps:g}", "%", 1, "high", scale=100)
            for eps in autoattack_radii(grid)
        ),
    )

    def row(key: str, method: str, eps_train: float | None) -> dict[str, Any]:
        cells: dict[str, Any] = {"method": method, "eps_train": eps_train, "clean": grid.accuracy_interval(store, key)}
        for eps in autoattack_radii(grid):
            cells[column_key("score", eps)] = grid.score_interval(store, key, autoattack_key(eps))
            cells[column_key("robust", eps)] = grid.accuracy_interval(store, key, autoattack_key(eps))
        return cells

    rows = [
        row(STANDARD, STANDARD, None),
        *(
            row(training_key(method, eps), method_name, eps)
            for method, method_name in METHOD_NAMES.items()
            for eps in training_radii(grid)
        ),
    ]
    caption = f"Score: mean of clean accuracy and accuracy under {autoattack_title(grid)}, L∞. {grid.caption()}"
    return Table(f"scores-{label}", title, columns, tuple(rows), caption)


def compare_scores(grid: Grid, store: Store, table: str, data: str) -> list[CellComparison]:
    """Compare every printed score that the grid contains."""
    comparisons = []
    for row in printed_numbers("uta"):
        key = f"{row['method'].removeprefix('LS-')} {float(row['eps_train']):g}"
        if (row["table"], row["dataset"]) == (table, data) and key in grid.methods:
            ours = grid.score_interval(store, key, autoattack_key(float(row["eps_test"])))
            labels = {"Method": row["method"], "Trained at": row["eps_train"], "Tested at": row["eps_test"]}
            comparisons.append(CellComparison(labels, float(row["value"]) / 100, ours))
    return comparisons


def score_comparison(grid: Grid, store: Store, data: str, label: str, title: str) -> Table:
    """The paper's table 1 and our scores, cell by cell."""
    comparisons = compare_scores(grid, store, "1", data)
    title = f"The paper's table 1 and our scores, {title}"
    return paper_comparison.comparison_table(f"printed-{label}", title, comparisons, grid.caption())


def single_member_table(member: SingleMember, store: Store, label: str) -> Table:
    """Accuracy of one network without the networks that it was trained with."""
    grid = member.grid
    columns = (
        Column("method", "Trained by"),
        Column("clean", "Clean", "%", 2, "high", scale=100),
        *(
            Column(column_key("robust", eps), f"AutoAttack, ε = {eps:g}", "%", 1, "high", scale=100)
            for eps in autoattack_radii(grid)
        ),
    )
    rows = tuple(
        {"method": name, "clean": member.accuracy_interval(store, name)}
        | {
            column_key("robust", eps): member.accuracy_interval(store, name, autoattack_key(eps))
            for eps in autoattack_radii(grid)
        }
        for name in member.victims
    )
    caption = (
        "The first of the networks that UTA trains together, without the others; the table above shows the mean "
        f"prediction of all. Under {autoattack_title(grid)}, L∞; 95 % intervals over test images."
    )
    return Table(label, "A single network of the ensemble", columns, rows, caption)
