"""The report of an audit."""

from __future__ import annotations

from typing import Any

from surefooted.auditing.black_box import CHECKS, RESERVED_QUERIES, BlackBoxDesign
from surefooted.auditing.findings import WORST_CASE, AuditFindings, attack_name, claims
from surefooted.auditing.ood import ood_section
from surefooted.auditing.shift import shift_section
from surefooted.auditing.suites import attacks_run, suite_description
from surefooted.components.spec import base_name, parse_spec
from surefooted.evaluation import checks
from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.tasks import collect_provenance
from surefooted.report import Column, Figure, Page, Panel, Section, Table
from surefooted.report import figures as draw
from surefooted.studies.method_comparison.design import NORM_SYMBOLS
from surefooted.studies.shared_figures import reliability_bins

# The one series of every figure.
MODEL = "the classifier"


def audit_page(f: AuditFindings) -> Page:
    """The report: flags, calibration, robustness, and calibration by robustness level."""
    d = f.design
    levels: tuple[Figure, ...]
    limits = d.limits if isinstance(d, BlackBoxDesign) else ""
    trust = (_flag_table(f), _price_table(f, d)) if isinstance(d, BlackBoxDesign) else (_flag_table(f),)
    if d.scores:
        near = (
            "How accurate and how confident is the classifier on the images that are closest to its decision boundary?"
        )
        calibration = Section("Calibration", "", (_calibration_table(f), _reliability_figure(f)))
        levels = (_level_figure(f), _distance_figure(f))
    else:
        calibration = Section("Accuracy", "", (_calibration_table(f),))
        levels, near = (_distance_figure(f),), "How far are images from the decision boundary?"
    return Page(
        f"Audit of {d.model}",
        f.headline_text(),
        claims(f),
        (
            Section("Can these numbers be trusted?", limits, trust),
            calibration,
            Section("Robustness", f.headline_text(), (_robustness_table(f), _accuracy_figure(f))),
            Section("Robustness and calibration" if d.scores else "Distance to the boundary", near, levels),
            *([shift_section(f.shift)] if f.shift else ()),
            *([ood_section(f.ood)] if f.ood else ()),
        ),
        {
            "budget": d.options.budget,
            "precision of the model": getattr(d.model, "precision", "float32"),
            **({"queries per image": f"at most {d.queries:,}"} if isinstance(d, BlackBoxDesign) else {}),
            "attacks": _attacks_run(f),
            **collect_provenance(d.tasks, f.store),
        },
    )


def _flag_table(f: AuditFindings) -> Table:
    columns = (
        Column("flag", "Flag"),
        Column("severity", "Severity"),
        Column("seen", "Observation"),
        Column("cure", "What to do"),
    )
    count = f"{len(CHECKS)} checks without gradients" if f.design.black_box else f"{len(checks.FLAGS)} checks"
    none = {"flag": "none", "seen": f"none of {count} raised a doubt"}
    rows = [
        {"flag": flag.name.replace("_", " "), "severity": flag.severity, "seen": flag.seen, "cure": flag.cure}
        for flag in f.flags
    ]
    return Table("flags", "Flags", columns, tuple(rows or [none]), f.caption())


def _price_table(f: AuditFindings, design: BlackBoxDesign) -> Table:
    columns = (
        Column("attack", "Attack"),
        Column("mean", "Mean queries per image", "", 1),
        Column("most", "Most queries for an image", "", 0),
        Column("total", "Queries", "", 0),
        Column("seconds", "Time", "s", 1),
    )
    caption = (
        f"At most {design.queries:,} queries per image in the whole audit, of which {RESERVED_QUERIES} are kept for "
        "clean predictions, checks, and for the answers that confirm what an attack found. A query is one image. "
        f"{f.caption()}"
    )
    return Table("queries", "Queries and their price", columns, tuple(f.prices), caption)


def _calibration_table(f: AuditFindings) -> Table:
    columns: tuple[Column, ...] = (
        Column("which", "Predictions"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("confidence", "Confidence", "%", 1, scale=100),
        Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
        Column("nll", "NLL", "nats", 3),
        Column("brier", "Brier", "", 3),
        Column("ece", "ECE", "%", 2, "", "15 equal-width bins, right-closed", scale=100),
        Column("classwise_ece", "Classwise ECE", "%", 2, scale=100),
    )
    columns = columns if f.design.scores else columns[:2]
    names = {"clean": "clean", "temperature": "clean, temperature-scaled", "attacked": f"under {f.suite}"}
    rows = tuple({"which": names[name], **values} for name, values in f.calibration.items())
    d = f.design
    if not d.scores:
        caption = f"Interval: 95 % Wilson, over test images. {f.caption()}"
        return Table("calibration", "Accuracy", columns, rows, caption)
    caption = (
        "Intervals: 95 %, over test images; Wilson for accuracy, bootstrap for the other metrics "
        f"({d.budget.draws} draws). Temperature: {f.temperature_scaled[1]}. "
        f"Attack: {NORM_SYMBOLS[d.options.norm]}, ε = {d.options.eps:.4g}, {_suite_note(f)}; an image is dropped once "
        "an attack succeeds. " + f.caption()
    )
    return Table("calibration", "Calibration", columns, rows, caption)


def _robustness_table(f: AuditFindings) -> Table:
    columns = (
        Column("attack", "Attack"),
        Column("eps", "ε", "", 4),
        Column("robust", "Robust accuracy", "%", 1, scale=100),
        Column("queries", "Mean queries per image", "", 1),
    )
    eps = f.design.options.eps
    rows = [
        {
            "attack": attack_name(name),
            "eps": outcome.eps,
            "robust": robust_accuracy(outcome.success),
            "queries": float(outcome.task.result(f.store)["queries"].double().mean()),
        }
        for name, outcome in f.attacks.items()
    ]
    nearest = base_name(f.design.minimal_norm.attack)
    rows.append({"attack": WORST_CASE, "eps": eps, "robust": f.headline.accuracy})
    if f.design.black_box:
        square = "Square drops an image once it succeeds. " if f.design.scores else ""
        caption = (
            f"{NORM_SYMBOLS[f.design.options.norm]}; 95 % Wilson intervals. {square}HopSkipJump looks for the smallest "
            f"perturbation, and succeeds if that is within ε. {f.caption()}"
        )
        return Table("robust-accuracy", "Robust accuracy", columns, tuple(rows), caption)
    caption = (
        f"{NORM_SYMBOLS[f.design.options.norm]}; 95 % Wilson intervals; an image is dropped once an attack succeeds. "
        f"{_suite_note(f)}. The worst case also counts images whose distance to the decision boundary, by {nearest}, "
        f"is at most ε. {_note_on_few_classes(f)}{f.caption()}"
    )
    return Table("robust-accuracy", "Robust accuracy", columns, tuple(rows), caption)


def _note_on_few_classes(f: AuditFindings) -> str:
    few = len(f.design.splits.test.classes) < 4 and not f.design.black_box
    return "APGD-T needs at least 4 classes; AutoAttack uses margin-APGD instead. " if few else ""


def _suite_note(f: AuditFindings) -> str:
    if f.design.black_box:
        return f"{f.suite}, without gradients"
    return f"{f.suite}: {suite_description(f.design.autoattack.attack)}"


def _attacks_run(f: AuditFindings) -> dict[str, Any]:
    """The attacks with the arguments that they ran with; of a union, its parts in turn."""
    classes = f.clean.log_p.shape[1]
    ran = {name: attacks_run(outcome.task, classes) for name, outcome in f.attacks.items()}
    nearest = f.design.minimal_norm
    return {**ran, base_name(nearest.attack): attacks_run(nearest, classes)}


def _nearest_norm(f: AuditFindings) -> str:
    """The norm of the distances to the decision boundary."""
    return str(parse_spec(f.design.minimal_norm.attack)[1].get("norm", "l2"))


def _accuracy_figure(f: AuditFindings) -> Figure:
    intervals = [f.calibration["clean"]["accuracy"], *(_worst_case(f, eps) for eps in f.design.radii)]
    curve = draw.Line(
        [0.0, *f.design.radii],
        [accuracy(f.clean), *(interval.value for interval in intervals[1:])],
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
    )
    return Figure(
        "accuracy-vs-eps",
        "Accuracy under attack",
        Panel(lambda ax: draw.accuracy_curves(ax, {MODEL: curve}), size=(6.4, 4.2), series={MODEL: curve}),
        f"Worst case per image over all attacks at each {NORM_SYMBOLS[f.design.options.norm]} ε, with 95 % intervals. "
        + (f"{f.suite} ran at ε = {f.design.options.eps:.4g} only. " if f.design.scores else "")
        + f.caption(),
        "Accuracy of the classifier against the perturbation radius.",
    )


def _worst_case(f: AuditFindings, eps: float) -> Interval:
    return robust_accuracy(f.any_success_within(eps))


def _reliability_figure(f: AuditFindings) -> Figure:
    scaled, note = f.temperature_scaled
    curves = {"clean": reliability_bins(f.clean), "temperature-scaled": reliability_bins(scaled)}

    def panel(name: str) -> Panel:
        one = {name: curves[name]}
        return Panel(lambda ax: draw.reliability_diagram(ax, one, names=list(curves)), name, (3.6, 3.4), one)

    return Figure(
        "reliability",
        "Reliability diagram",
        tuple(panel(name) for name in curves),
        "Accuracy by confidence of the predicted class, 15 equal-width bins; below, the share of images. Points "
        f"below the diagonal are over-confident. {note}. {f.caption()}",
        "Reliability diagrams before and after temperature scaling.",
    )


def _level_figure(f: AuditFindings) -> Figure:
    x = list(range(1, int(f.level.max()) + 2))
    lines = {metric: draw.Line(x, values) for metric, values in f.per_level.items()}
    one = [{MODEL: curve} for curve in lines.values()]
    nearest = f.design.minimal_norm
    return Figure(
        "levels",
        "Accuracy, confidence and calibration by robustness level",
        Panel(lambda ax: draw.level_curves(ax, *one), series=lines),
        "Level 1 contains the images closest to the decision boundary, by their "
        f"{NORM_SYMBOLS[_nearest_norm(f)]} distance from the classifier's own prediction "
        f"({base_name(nearest.attack)}). Levels have {len(f.level) // len(x)} or one more images: their ECE is biased "
        f"upward. {f.caption()}",
        "Accuracy, confidence and calibration error over robustness levels.",
    )


def _distance_figure(f: AuditFindings) -> Figure:
    return Figure(
        "sizes",
        "Distance to the decision boundary",
        Panel(lambda ax: draw.size_distribution(ax, {MODEL: f.distances.tolist()}), size=(6.4, 4.2)),
        f"Share of images whose prediction changes within a {NORM_SYMBOLS[_nearest_norm(f)]} distance, by "
        f"{base_name(f.design.minimal_norm.attack)}. {f.caption()}",
        "Cumulative distribution of the size of minimal perturbations.",
    )
