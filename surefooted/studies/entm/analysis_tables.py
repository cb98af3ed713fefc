"""Tables of EntM's analysis, with the paper's numbers next to ours."""

from __future__ import annotations

from typing import Any

import torch

from surefooted.evaluation.analysis import correlation, normalised_margin
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.report import Column, Table
from surefooted.studies.claims import ZERO_TOLERANCE
from surefooted.studies.entm.curves import FIRST_NETWORK
from surefooted.studies.entm.design import ANALYSIS_METHODS, RANDOM_SEARCH_METHODS, Analysis
from surefooted.studies.grid import name_subset
from surefooted.studies.paper_numbers import printed_numbers
from surefooted.studies.shared_figures import column_key

# For each of the paper's numbers in table 4: its metric, the column's title, unit, digits and scale.
_PAPER_COLUMNS = (
    ("margin", "M", "", 2, 1.0),
    ("jacobian_spectral_norm", "‖J‖₂", "", 2, 1.0),
    ("normalized_margin", "M / ‖J‖₂", "", 2, 1.0),
    ("accuracy_pgd20_l2_0_5", "PGD20-0.5", "%", 1, 100.0),
    ("nonlinearity_q", "Q", "", 2, 1.0),
    ("pearson_normalized_margin_vs_distortion", "correlation", "", 3, 1.0),
)


def analysis_table(a: Analysis, store: Store) -> Table:
    """Table 4: margins, Jacobians and non-linearity."""
    columns = (
        Column("method", "Method"),
        Column("margin", "Margin M", "", 3, help="logit of the true class minus the largest other logit, mean"),
        Column("norm", "‖J‖₂", "", 3, "low", "spectral norm of the Jacobian of the logits, mean"),
        Column("normalised", "M / ‖J‖₂", "", 3, "high", "mean over images"),
        *(
            column
            for eps in a.l2_radii
            for column in (
                Column(
                    column_key("robust", eps),
                    f"PGD20-{eps:g}",
                    "%",
                    1,
                    "high",
                    f"robust accuracy, L2, ε = {eps:g}",
                    scale=100,
                ),
                Column(column_key("q", eps), f"Q at PGD20-{eps:g}", "", 2, "low", "non-linearity, mean"),
                Column(column_key("q_median", eps), f"Q at PGD20-{eps:g}, median", "", 2, "low"),
            )
        ),
        Column("distortion", "Distortion", "", 3, "high", "L2 distance to the nearest misclassified point, mean"),
        Column("correlation", "Correlation", "", 3, "", "Pearson, of normalised margin and distortion, 95 % bootstrap"),
        *(
            Column(f"paper_{key}", f"paper: {title}", unit, digits, scale=scale)
            for key, title, unit, digits, scale in _PAPER_COLUMNS
        ),
    )
    rows = []
    for name in ANALYSIS_METHODS:
        local = a.local_analyses[name, a.l2_radii[0]].result(store)
        margin = local["margin"].double()
        normalised = normalised_margin(margin, local["jacobian_norm"].double())
        margin_of_correct, distortion, _ = a.geometry(store, name)
        row: dict[str, Any] = {
            "method": name,
            "margin": _finite_mean(margin),
            "norm": _finite_mean(local["jacobian_norm"]),
            "normalised": float(normalised[normalised.isfinite()].mean()),
            "distortion": _finite_mean(distortion),
            "correlation": correlation(margin_of_correct, distortion),
        }
        for eps in a.l2_radii:
            attacked = a.local_analyses[name, eps].result(store)
            q = attacked["q"][attacked["q"].isfinite()]
            row[column_key("robust", eps)] = robust_accuracy(attacked["found"])
            row |= {column_key("q", eps): float(q.mean()), column_key("q_median", eps): float(q.median())}
        rows.append(row | _paper_numbers(name))
    caption = (
        f"{name_subset(a.analysis_images)}; means of M, ‖J‖₂ and distortion with 95 % intervals (Student's "
        "t). PGD20-ε: 20 steps of ε/10 in L2 from a Gaussian step of 0.005, 5 restarts, the point of highest loss; "
        "if the attack fails on most images, most values of Q are measured at points that are classified correctly. Q "
        "excludes images that the attack did not move, M / ‖J‖₂ excludes images without a gradient. Both are ratios, "
        "and a few images dominate their means. Distortion: nearest_boundary, a minimal-norm attack without a bound "
        "(the paper's attack runs until misclassification). Distortion and correlation use correctly classified images "
        f"only. The paper's numbers are for CIFAR-10 and ResNet-18. {a.grid.describe_setup()} {FIRST_NETWORK}"
    )
    return Table("analysis", "Margin, Jacobian and non-linearity (table 4)", columns, tuple(rows), caption)


def random_search_table(a: Analysis, store: Store) -> Table:
    """Table 10: images robust to PGD that random search breaks."""
    columns = (
        Column("method", "Method"),
        Column("withstood", "Robust to PGD-10", "images", 0),
        Column("broken", "Broken by random search", "images", 0, "low"),
        Column("share", "Share of them", "%", 1, "low", scale=100),
        Column("paper_withstood", "paper: robust", "images", 0),
        Column("paper_broken", "paper: broken", "images", 0),
    )
    rows = []
    for name in RANDOM_SEARCH_METHODS:
        broken = a.random_search_success(store, name)
        paper = {
            row["metric"]: float(row["value"])
            for row in printed_numbers("entm_analysis")
            if (row["table"], row["method"]) == ("10", name)
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
        f"{name_subset(a.images)}; PGD-10 with five restarts, then {a.search_draws} uniform draws from the L∞ "
        f"ball of radius {a.step_radii[0]}/255. "
        f"The paper's numbers are for CIFAR-10 and 8/255. {a.grid.describe_setup()} {FIRST_NETWORK}"
    )
    return Table("random-search", "Random search on images robust to PGD (table 10)", columns, tuple(rows), caption)


def gradient_masking_table(a: Analysis, store: Store) -> Table:
    """Signs of gradient masking, a row per method."""
    white, black = a.masking_attacks
    columns = (
        Column("method", "Method"),
        Column("white", white, "%", 1, help="robust accuracy", scale=100),
        Column("black", black, "%", 1, help="robust accuracy, gradients of another network", scale=100),
        Column("flags", "Flags of the checks"),
        Column("verdict", "Verdict"),
    )
    rows = []
    for name in a.grid.methods:
        flags = a.sanity_checks[name].flags(store)
        masked = a.grid.accuracy_gain(store, (name, white), (name, black)).low > 0
        masked |= any("gradient" in flag.name and flag.severity == "serious" for flag in flags)
        if name in RANDOM_SEARCH_METHODS:
            masked |= a.random_search_success(store, name).low > ZERO_TOLERANCE
        rows.append(
            {
                "method": name,
                "white": a.grid.accuracy_interval(store, name, white),
                "black": a.grid.accuracy_interval(store, name, black),
                "flags": ", ".join(flag.name.replace("_", " ") for flag in flags) or "none",
                "verdict": "masks gradients" if masked else "no sign of masking",
            }
        )
    caption = (
        "A method masks its gradients if accuracy is significantly lower (95 %) with another network's gradients than "
        "with its own, if a serious flag reports vanishing gradients, or if random search breaks significantly (95 %) "
        "more than 1 % of the images robust to PGD-10 (for the methods in its table). "
        f"{a.grid.describe_setup()} {FIRST_NETWORK}"
    )
    return Table("obfuscation", "Signs of gradient masking (section 5.2, appendix C)", columns, tuple(rows), caption)


def _paper_numbers(name: str) -> dict[str, float]:
    """The paper's row of table 4 for a method."""
    values = {
        row["metric"].replace(".", "_"): float(row["value"])
        for row in printed_numbers("entm_analysis")
        if (row["table"], row["method"]) == ("4", name)
    }
    return {f"paper_{key}": values[key] for key, *_ in _PAPER_COLUMNS if key in values}


def _finite_mean(values: torch.Tensor) -> Interval:
    """Mean over images with a finite value."""
    return mean_interval(values[values.isfinite()])
