"""Tables of EntM's analysis, with the paper's numbers beside ours."""

from __future__ import annotations

from typing import Any

import torch

from surefooted.evaluation.analysis import correlation, normalised_margin
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.report import Column, Table
from surefooted.studies.claims import ZERO_TOLERANCE
from surefooted.studies.entm.design import ANALYSED, SEARCHED, Analysis
from surefooted.studies.paper_numbers import printed_numbers
from surefooted.studies.shared_figures import column_key

# What the analysis is of.
FIRST = "The first network of each method; intervals are over images."


def analysis(a: Analysis, store: Store) -> Table:
    """Table 4: margins, Jacobians and non-linearity."""
    columns = (
        Column("method", "Method"),
        Column("margin", "Margin M", "", 3, help="logit of the class less the greatest other, mean"),
        Column("norm", "‖J‖₂", "", 3, "low", "spectral norm of the logits' Jacobian, mean"),
        Column("normalised", "M / ‖J‖₂", "", 3, "high", "mean over images"),
        *(
            column
            for eps in a.bent
            for column in (
                Column(
                    column_key("robust", eps), f"PGD20-{eps:g}", "%", 1, "high", f"accuracy, L2, ε = {eps:g}", scale=100
                ),
                Column(column_key("q", eps), f"Q at PGD20-{eps:g}", "", 2, "low", "non-linearity, mean"),
                Column(column_key("q_median", eps), f"Q at PGD20-{eps:g}, median", "", 2, "low"),
            )
        ),
        Column("distortion", "Distortion", "", 3, "high", "L2 distance of the nearest misclassified point, mean"),
        Column("correlation", "Correlation", "", 3, "", "Pearson, normalised margin and distortion, 95 % bootstrap"),
        *(
            Column(f"paper_{key}", f"paper: {title}", unit, digits, scale=scale)
            for key, title, unit, digits, scale in PAPER
        ),
    )
    rows = []
    for name in ANALYSED:
        row: dict[str, Any] = {"method": name}
        found = a.analysed[name, a.bent[0]].result(store)
        margin = found["margin"].double()
        normal = normalised_margin(margin, found["jacobian_norm"].double())
        normal_of_right, far, _ = a.distances(store, name)
        row |= {
            "margin": _mean(margin),
            "norm": _mean(found["jacobian_norm"]),
            "normalised": float(normal[normal.isfinite()].mean()),
            "distortion": _mean(far),
            "correlation": correlation(normal_of_right, far),
        }
        for eps in a.bent:
            moved = a.analysed[name, eps].result(store)
            q = moved["q"][moved["q"].isfinite()]
            row[column_key("robust", eps)] = robust_accuracy(moved["found"])
            row |= {column_key("q", eps): float(q.mean()), column_key("q_median", eps): float(q.median())}
        rows.append(row | _printed(name))
    caption = (
        f"The first {a.examples} test images; means of M, ‖J‖₂ and distortion with 95 % intervals (Student's t). "
        "PGD20-ε: 20 steps of ε/10 in L2, from a Gaussian step of 0.005, 5 restarts, the point of highest loss; where "
        "most images withstand it, Q is read at points that fool nobody. Q leaves out images that the attack did not "
        "move, M / ‖J‖₂ those without a gradient; both are ratios, whose means a few images decide. Distortion: "
        "nearest_boundary, a minimal-norm attack without bound (the paper's runs until misclassification); it and the "
        "correlation are over images that are classified correctly. Beside: the paper's numbers, which are for "
        f"CIFAR-10 and ResNet-18. {a.grid.describe_setup()} {FIRST}"
    )
    return Table("analysis", "Margin, Jacobian and non-linearity (table 4)", columns, tuple(rows), caption)


PAPER = (
    ("margin", "M", "", 2, 1.0),
    ("jacobian_spectral_norm", "‖J‖₂", "", 2, 1.0),
    ("normalized_margin", "M / ‖J‖₂", "", 2, 1.0),
    ("accuracy_pgd20_l2_0_5", "PGD20-0.5", "%", 1, 100.0),
    ("nonlinearity_q", "Q", "", 2, 1.0),
    ("pearson_normalized_margin_vs_distortion", "correlation", "", 3, 1.0),
)


def searched(a: Analysis, store: Store) -> Table:
    """Table 10: does random search break what PGD did not?"""
    columns = (
        Column("method", "Method"),
        Column("withstood", "Withstand PGD-10", "images", 0),
        Column("broken", "Broken by random search", "images", 0, "low"),
        Column("share", "Of those", "%", 1, "low", scale=100),
        Column("paper_withstood", "paper: withstand", "images", 0),
        Column("paper_broken", "paper: broken", "images", 0),
    )
    rows = []
    for name in SEARCHED:
        broken = a.searched(store, name)
        paper = {
            r["metric"]: float(r["value"])
            for r in printed_numbers("entm_analysis")
            if (r["table"], r["method"]) == ("10", name)
        }
        rows.append(
            {
                "method": name,
                "withstood": broken.n,
                "broken": round(broken.value * broken.n),
                "share": broken if broken.n else None,
                "paper_withstood": paper.get("survives_pgd8_of_1000"),
                "paper_broken": paper.get("of_those_broken_by_random_search"),
            }
        )
    caption = (
        f"The first {a.images} test images; PGD-10 with five restarts, then {a.draws} uniform draws, in the L∞ ball of "
        f"{a.pixels[0]}/255. "
        f"Beside: the paper's numbers, for CIFAR-10 and 8/255. {a.grid.describe_setup()} {FIRST}"
    )
    return Table("random-search", "Random search on what withstood PGD (table 10)", columns, tuple(rows), caption)


def obfuscation(a: Analysis, store: Store) -> Table:
    """What speaks for masked gradients, method by method."""
    white, black = next(k for k in a.grid.white_box if k.startswith("PGD10")), next(iter(a.grid.black_box))
    columns = (
        Column("method", "Method"),
        Column("white", white, "%", 1, scale=100),
        Column("black", black, "%", 1, "", "gradients of another network", scale=100),
        Column("flags", "Flags of the checks"),
        Column("verdict", "Verdict"),
    )
    rows = []
    for name in a.grid.methods:
        raised = a.probed[name].flags(store)
        flags = [flag.name.replace("_", " ") for flag in raised]
        masked = a.grid.accuracy_gain(store, (name, white), (name, black)).low > 0
        masked |= any("gradient" in flag.name and flag.severity == "serious" for flag in raised)
        if name in SEARCHED:
            masked |= a.searched(store, name).low > ZERO_TOLERANCE
        row: dict[str, Any] = {"method": name, "white": a.grid.accuracy_interval(store, name, white)}
        row |= {"black": a.grid.accuracy_interval(store, name, black), "flags": ", ".join(flags) or "none"}
        rows.append(row | {"verdict": "masks gradients" if masked else "no sign of it"})
    caption = (
        "Gradients are called masked where the network's own are worth less than another's (95 %), where a serious "
        "flag says that they vanish, or where random search surely (95 %) breaks more than 1 % of what withstood "
        f"PGD-10 (of the methods in its table). {a.grid.describe_setup()} {FIRST}"
    )
    return Table("obfuscation", "Are gradients masked? (section 5.2, appendix C)", columns, tuple(rows), caption)


def _printed(name: str) -> dict[str, float]:
    keys = [key for key, *_ in PAPER]
    found = {
        row["metric"].replace(".", "_"): float(row["value"])
        for row in printed_numbers("entm_analysis")
        if (row["table"], row["method"]) == ("4", name)
    }
    return {f"paper_{key}": found[key] for key in keys if key in found}


def _mean(values: torch.Tensor) -> Interval:
    """Over images; what is not finite is left out."""
    return mean_interval(values[values.isfinite()])
