"""Tables of methods side by side."""

from __future__ import annotations

from typing import Any

from surefooted.evaluation.metrics import accuracy, brier, classwise_ece, ece, nll
from surefooted.evaluation.metrics.measuring import measure
from surefooted.report import Column, Table
from surefooted.studies.method_comparison.design import Results
from surefooted.studies.shared_figures import column_key, pooled, spread


def summary(r: Results, eps: float) -> Table:
    """A row a method, mean ± standard deviation over the seeds."""
    columns = (
        Column("method", "Method"),
        Column("accuracy", "Accuracy", "%", 1, "high", scale=100),
        Column("robust", f"Robust, ε = {eps:g}", "%", 1, "high", scale=100),
        Column("nll", "NLL", "nats", 3, "low"),
        Column("brier", "Brier", "", 3, "low"),
        Column("ece", "ECE", "%", 2, "low", "15 equal-width bins, right-closed", scale=100),
        Column("classwise_ece", "Classwise ECE", "%", 2, "low", scale=100),
        Column("ece_attacked", "ECE under attack", "%", 1, "low", "at the points that the attack kept", scale=100),
        Column(
            "size",
            "Median ‖δ‖₂",
            "",
            3,
            "high",
            f"smallest perturbation that changes the model's own answer ({r.comparison.ranking})",
        ),
        Column("n", "Test images", digits=0),
        Column("seeds", "Seeds", digits=0),
    )
    rows: list[dict[str, Any]] = []
    for name in r.comparison.names:
        clean = r.clean(name)
        row: dict[str, Any] = {
            m.__name__: spread([m(p) for p in clean]) for m in (accuracy, nll, brier, ece, classwise_ece)
        }
        row |= {
            "method": name,
            "robust": spread(r.robust(name, eps)),
            "ece_attacked": spread([ece(p) for p in r.attacked(name, eps)]),
            "size": spread([float(size.median()) for size in r.sizes(name)]),
            "n": len(clean[0].y),
            "seeds": r.comparison.seeds,
        }
        rows.append(row)
    caption = f"Mean ± standard deviation over seeds. {r.comparison.caption(attack=True)}"
    return Table("summary", "Methods side by side", columns, tuple(rows), caption)


def intervals(r: Results) -> Table:
    """The same clean metrics with 95 % intervals over the test images."""
    chosen = ("accuracy", "nll", "brier", "ece", "overconfidence")
    columns = (
        Column("method", "Method"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("nll", "NLL", "nats", 3),
        Column("brier", "Brier", "", 3),
        Column("ece", "ECE", "%", 2, scale=100),
        Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
    )
    rows = tuple({"method": name, **measure(pooled(r.clean(name)), chosen)} for name in r.comparison.names)
    caption = (
        "95 % bootstrap intervals (1,000 draws of test images; an image is drawn with the predictions of all seeds). "
        "ECE is that of the pooled predictions, with the basic interval, cut to [0, 1]. Accuracy "
        "of one seed has Wilson's. " + r.comparison.caption()
    )
    return Table("intervals", "How sure these numbers are", columns, rows, caption)


def ladder(r: Results) -> Table:
    """Robust accuracy over the sizes of the attack."""
    sizes = r.comparison.ladder
    columns = (
        Column("method", "Method"),
        Column("clean", "ε = 0", "%", 1, "high", scale=100),
        *(Column(column_key("eps", eps), f"ε = {eps:g}", "%", 1, "high", scale=100) for eps in sizes),
    )
    rows = tuple(
        {"method": name, "clean": spread([accuracy(p) for p in r.clean(name)])}
        | {column_key("eps", eps): spread(r.robust(name, eps)) for eps in sizes}
        for name in r.comparison.names
    )
    return Table("robust-accuracy", "Robust accuracy", columns, rows, r.comparison.caption(attack=True))
