"""Tables of methods side by side."""

from __future__ import annotations

from typing import Any

from surefooted.evaluation.metrics import accuracy, brier, classwise_ece, ece, nll
from surefooted.evaluation.metrics.measuring import measure
from surefooted.report import Column, Table
from surefooted.studies.method_comparison.design import ComparisonResults
from surefooted.studies.shared_figures import column_key, mean_and_std, pool


def summary_table(r: ComparisonResults, eps: float) -> Table:
    """One row per method, mean ± standard deviation over seeds."""
    columns = (
        Column("method", "Method"),
        Column("accuracy", "Accuracy", "%", 1, "high", scale=100),
        Column("robust", f"Robust, ε = {eps:g}", "%", 1, "high", scale=100),
        Column("nll", "NLL", "nats", 3, "low"),
        Column("brier", "Brier", "", 3, "low"),
        Column("ece", "ECE", "%", 2, "low", "15 equal-width bins, right-closed", scale=100),
        Column("classwise_ece", "Classwise ECE", "%", 2, "low", scale=100),
        Column("ece_attacked", "ECE under attack", "%", 1, "low", "at the points that the attack keeps", scale=100),
        Column(
            "size",
            "Median ‖δ‖₂",
            "",
            3,
            "high",
            f"smallest perturbation that changes the model's own prediction ({r.comparison.boundary_method})",
        ),
        Column("n", "Test images", digits=0),
        Column("seeds", "Seeds", digits=0),
    )
    rows: list[dict[str, Any]] = []
    for name in r.comparison.names:
        clean = r.clean_predictions(name)
        row: dict[str, Any] = {
            m.__name__: mean_and_std([m(p) for p in clean]) for m in (accuracy, nll, brier, ece, classwise_ece)
        }
        row |= {
            "method": name,
            "robust": mean_and_std(r.robust_accuracies(name, eps)),
            "ece_attacked": mean_and_std([ece(p) for p in r.attacked_predictions(name, eps)]),
            "size": mean_and_std([float(distance.median()) for distance in r.boundary_distances(name)]),
            "n": len(clean[0].y),
            "seeds": r.comparison.seeds,
        }
        rows.append(row)
    caption = f"Mean ± standard deviation over seeds. {r.comparison.caption(attack=True)}"
    return Table("summary", "Methods side by side", columns, tuple(rows), caption)


def interval_table(r: ComparisonResults) -> Table:
    """The same clean metrics with 95 % intervals over test images."""
    metrics = ("accuracy", "nll", "brier", "ece", "overconfidence")
    columns = (
        Column("method", "Method"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("nll", "NLL", "nats", 3),
        Column("brier", "Brier", "", 3),
        Column("ece", "ECE", "%", 2, scale=100),
        Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
    )
    rows = tuple({"method": name, **measure(pool(r.clean_predictions(name)), metrics)} for name in r.comparison.names)
    caption = (
        "95 % bootstrap intervals over test images (1,000 resamples; an image is drawn with the predictions of all "
        "seeds). ECE is that of the pooled predictions, with the basic bootstrap interval, clipped to [0, 1]. With one "
        "seed, the interval of accuracy is Wilson's. " + r.comparison.caption()
    )
    return Table("intervals", "Confidence intervals", columns, rows, caption)


def radius_table(r: ComparisonResults) -> Table:
    """Robust accuracy by radius."""
    radii = r.comparison.radii
    columns = (
        Column("method", "Method"),
        Column("clean", "ε = 0", "%", 1, "high", scale=100),
        *(Column(column_key("eps", eps), f"ε = {eps:g}", "%", 1, "high", scale=100) for eps in radii),
    )
    rows = tuple(
        {"method": name, "clean": mean_and_std([accuracy(p) for p in r.clean_predictions(name)])}
        | {column_key("eps", eps): mean_and_std(r.robust_accuracies(name, eps)) for eps in radii}
        for name in r.comparison.names
    )
    return Table("robust-accuracy", "Robust accuracy", columns, rows, r.comparison.caption(attack=True))
