"""Tables of the AR-AdaLS study: our numbers beside the paper's for CIFAR-10-C."""

from __future__ import annotations

from typing import Any

from surefooted.components.spec import base_name
from surefooted.evaluation.metrics import accuracy, brier, ece, nll
from surefooted.pipeline.tasks import load_splits
from surefooted.pipeline.tasks.corruption import INTENSITIES
from surefooted.report import Column, Table
from surefooted.studies.ar_adals.design import JOINT_AR_ADALS
from surefooted.studies.ar_adals.results import ShiftResults, ensemble_name
from surefooted.studies.paper_numbers import printed_numbers
from surefooted.studies.shared_figures import mean_and_std


def setup_table(n: ShiftResults) -> Table:
    """Table 1: data, network, and the accuracy of standard training."""
    columns = (
        Column("data", "Data"),
        Column("network", "Network"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("paper", "paper", "%", 1, scale=100),
    )
    row = {
        "data": load_splits(n.design.data_spec).title,
        "network": base_name(n.design.net),
        "accuracy": mean_and_std(n.network_metric(accuracy, "Vanilla")[:, 0].tolist()),
    } | _paper("1", "Vanilla", "accuracy_pct", n.design.data_set)
    caption = f"Vanilla on clean test images, mean ± standard deviation over {n.design.seeds} networks."
    return Table("base", "Data and network (table 1)", columns, (row,), caption)


def network_table(n: ShiftResults) -> Table:
    """One row per method: single networks on clean images and under shift."""
    columns = (
        Column("method", "Method"),
        Column("swept", "Selected setting"),
        Column("accuracy", "Accuracy", "%", 1, "high", scale=100),
        Column("nll", "NLL", "nats", 3, "low"),
        Column("brier", "Brier", "", 3, "low"),
        Column("ece", "ECE", "%", 2, "low", "15 equal-width bins, right-closed", scale=100),
        Column("shifted_accuracy", "Accuracy, shifted", "%", 1, "high", "mean over types and intensities", scale=100),
        Column("shifted_ece", "ECE, shifted", "%", 2, "low", "mean over types and intensities", scale=100),
        Column("variance", "Variance × 100", "", 2, "low", "over the networks, clean images", scale=100),
        Column("shifted_variance", "Variance × 100, shifted", "", 2, "low", scale=100),
    )
    selected = n.selected_settings()
    rows: list[dict[str, Any]] = []
    for name in n.names:
        values = {m: n.network_metric(m, name) for m in (accuracy, nll, brier, ece)}
        variance = n.variance(name)
        row: dict[str, Any] = {m.__name__: mean_and_std(v[:, 0].tolist()) for m, v in values.items()}
        row |= {f"shifted_{m.__name__}": mean_and_std(values[m][:, 1:].mean(1).tolist()) for m in (accuracy, ece)}
        row |= {"method": name if name != JOINT_AR_ADALS else f"{name}, members", "swept": selected.get(name)}
        rows.append(row | {"variance": float(variance[0]), "shifted_variance": float(variance[1:].mean())})
    caption = f"Single networks, mean ± standard deviation over {n.design.seeds}. {n.design.caption()}"
    return Table("summary", "Single networks", columns, tuple(rows), caption)


def ece_table(n: ShiftResults, *, ensembles: bool) -> Table:
    """Table 3: ECE by intensity."""
    rows: list[dict[str, Any]] = []
    for name in n.names:
        values: list[Any]
        if ensembles:
            values, label = n.ensemble_metric(ece, name).tolist(), ensemble_name(name)
        elif name == JOINT_AR_ADALS:
            continue
        else:
            values, label = [mean_and_std(column) for column in n.network_metric(ece, name).T.tolist()], name
        rows.append({"method": label} | dict(zip(_keys(), values)) | _paper("3", label, "ece_x1e2"))
    kind = "ensembles" if ensembles else "single networks"
    return Table(
        f"ece-{'ensembles' if ensembles else 'single'}",
        f"ECE of {kind} by intensity of the shift (table 3)",
        (Column("method", "Method"), *_columns("low", 2)),
        tuple(rows),
        f"Mean over types{'' if ensembles else ', ± standard deviation over networks'}. Right: the paper's numbers "
        f"for CIFAR-10-C{_mismatch(n)}. {n.design.caption()}",
    )


def variance_table(n: ShiftResults, names: list[str]) -> Table:
    """Table 2: variance over networks by intensity, multiplied by 100 as the paper prints it."""
    rows = tuple(
        {"method": name} | dict(zip(_keys(), n.variance(name).tolist())) | _paper("2", name, "variance_x1e2")
        for name in names
    )
    return Table(
        "variances",
        "Variance × 100 by intensity of the shift (table 2)",
        (Column("method", "Method"), *_columns("low", 2, unit="")),
        rows,
        f"Mean over types. Right: the paper's numbers for CIFAR-10-C{_mismatch(n)}. {n.design.caption()}",
    )


def _keys() -> list[str]:
    return ["clean", *(f"intensity_{k}" for k in INTENSITIES)]


def _columns(best: str, digits: int, unit: str = "%") -> list[Column]:
    ours = [Column(key, "clean" if key == "clean" else key[-1], unit, digits, best, scale=100) for key in _keys()]
    return [*ours, *(Column(f"paper_{k}", f"paper: {k}", unit, digits, scale=100) for k in INTENSITIES)]


def _mismatch(n: ShiftResults) -> str:
    return "" if n.design.matches_paper else ", another data set and network"


def _paper(table: str, method: str, metric: str, data: str = "cifar10c") -> dict[str, float]:
    """The paper's numbers for a data set as shares, by intensity; its table 1 has no intensities."""
    return {
        f"paper_{row['shift_intensity']}" if table != "1" else "paper": float(row["value"]) / 100
        for row in printed_numbers("ar_adals")
        if (row["table"], row["dataset"], row["method"], row["metric"]) == (table, data, method, metric)
    }
