"""Tables of the AR-AdaLS study: ours, with the paper's CIFAR-10-C numbers beside."""

from __future__ import annotations

from typing import Any

from surefooted.components.spec import base_name
from surefooted.evaluation.metrics import accuracy, brier, ece, nll
from surefooted.pipeline.tasks import load_splits
from surefooted.pipeline.tasks.corruption import INTENSITIES
from surefooted.report import Column, Table
from surefooted.studies.ar_adals.design import OF_ENSEMBLE
from surefooted.studies.ar_adals.results import ShiftResults, ensemble_of
from surefooted.studies.paper_numbers import printed
from surefooted.studies.shared_figures import spread


def base(n: ShiftResults) -> Table:
    """Table 1: data, network, and the accuracy of ordinary training."""
    columns = (
        Column("data", "Data"),
        Column("network", "Network"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("paper", "paper", "%", 1, scale=100),
    )
    row = {
        "data": load_splits(n.made.data_spec).title,
        "network": base_name(n.made.net),
        "accuracy": spread(n.single(accuracy, "Vanilla")[:, 0].tolist()),
    } | _paper("1", "Vanilla", "accuracy_pct", n.made.data_set)
    caption = f"Vanilla on clean test images, mean ± standard deviation over {n.made.seeds} networks."
    return Table("base", "Data and network (table 1)", columns, (row,), caption)


def summary(n: ShiftResults) -> Table:
    """A row a method: single networks on clean images and under shift."""
    columns = (
        Column("method", "Method"),
        Column("swept", "Swept"),
        Column("accuracy", "Accuracy", "%", 1, "high", scale=100),
        Column("nll", "NLL", "nats", 3, "low"),
        Column("brier", "Brier", "", 3, "low"),
        Column("ece", "ECE", "%", 2, "low", "15 equal-width bins, right-closed", scale=100),
        Column("shifted_accuracy", "Accuracy, shifted", "%", 1, "high", "mean over types and intensities", scale=100),
        Column("shifted_ece", "ECE, shifted", "%", 2, "low", "mean over types and intensities", scale=100),
        Column("variance", "Variance × 100", "", 2, "low", "over the networks, clean images", scale=100),
        Column("shifted_variance", "Variance × 100, shifted", "", 2, "low", scale=100),
    )
    swept = n.swept()
    rows: list[dict[str, Any]] = []
    for name in n.names:
        values = {m: n.single(m, name) for m in (accuracy, nll, brier, ece)}
        unstable = n.variance(name)
        row: dict[str, Any] = {m.__name__: spread(v[:, 0].tolist()) for m, v in values.items()}
        row |= {f"shifted_{m.__name__}": spread(values[m][:, 1:].mean(1).tolist()) for m in (accuracy, ece)}
        row |= {"method": name if name != OF_ENSEMBLE else f"{name}, members", "swept": swept.get(name)}
        rows.append(row | {"variance": float(unstable[0]), "shifted_variance": float(unstable[1:].mean())})
    caption = f"Single networks, mean ± standard deviation over {n.made.seeds}. {n.made.caption()}"
    return Table("summary", "Single networks", columns, tuple(rows), caption)


def by_intensity(n: ShiftResults, *, ensembles: bool) -> Table:
    """ECE by intensity (the paper's table 3)."""
    rows: list[dict[str, Any]] = []
    for name in n.names:
        values: list[Any]
        if ensembles:
            values, label = n.ensemble(ece, name).tolist(), ensemble_of(name)
        elif name == OF_ENSEMBLE:
            continue
        else:
            values, label = [spread(column) for column in n.single(ece, name).T.tolist()], name
        rows.append({"method": label} | dict(zip(_keys(), values)) | _paper("3", label, "ece_x1e2"))
    kind = "ensembles" if ensembles else "single networks"
    return Table(
        f"ece-{'ensembles' if ensembles else 'single'}",
        f"ECE of {kind} by intensity of the shift (table 3)",
        (Column("method", "Method"), *_columns("low", 2)),
        tuple(rows),
        f"Mean over types{'' if ensembles else ', ± standard deviation over networks'}. Beside: the paper's numbers "
        f"for CIFAR-10-C{_other(n)}. {n.made.caption()}",
    )


def variances(n: ShiftResults, names: list[str]) -> Table:
    """Variance over the networks by intensity (the paper's table 2), times 100 as printed there."""
    rows = tuple(
        {"method": name} | dict(zip(_keys(), n.variance(name).tolist())) | _paper("2", name, "variance_x1e2")
        for name in names
    )
    return Table(
        "variances",
        "Variance × 100 by intensity of the shift (table 2)",
        (Column("method", "Method"), *_columns("low", 2, unit="")),
        rows,
        f"Mean over types. Beside: the paper's numbers for CIFAR-10-C{_other(n)}. {n.made.caption()}",
    )


def _keys() -> list[str]:
    return ["clean", *(f"intensity_{k}" for k in INTENSITIES)]


def _columns(best: str, digits: int, unit: str = "%") -> list[Column]:
    ours = [
        Column(key, "clean" if key == "clean" else key[-1], unit, digits, best, scale=100)  # type: ignore[arg-type]
        for key in _keys()
    ]
    return [*ours, *(Column(f"paper_{k}", f"paper: {k}", unit, digits, scale=100) for k in INTENSITIES)]


def _other(n: ShiftResults) -> str:
    return "" if n.made.as_printed else ", another set and network"


def _paper(table: str, method: str, metric: str, data: str = "cifar10c") -> dict[str, float]:
    """What the paper prints for a data set, as shares; without an intensity where its table has none."""
    return {
        f"paper_{row['shift_intensity']}" if table != "1" else "paper": float(row["value"]) / 100
        for row in printed("ar_adals")
        if (row["table"], row["dataset"], row["method"], row["metric"]) == (table, data, method, metric)
    }
