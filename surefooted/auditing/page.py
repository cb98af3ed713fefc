"""The page that says what an audit found."""

from __future__ import annotations

from dataclasses import asdict

from surefooted.auditing.findings import Findings, claims
from surefooted.components.spec import base_name
from surefooted.evaluation import checks
from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.tasks import made_by
from surefooted.report import Column, Figure, Page, Panel, Section, Table
from surefooted.report import figures as draw
from surefooted.studies.method_comparison.design import NORM_SYMBOLS
from surefooted.studies.shared_figures import reliability_bins

MODEL = "the classifier"


def page(f: Findings) -> Page:
    a = f.audit
    return Page(
        f"Audit of {a.model}",
        f"Is it as sure as it should be, does it keep its footing within {NORM_SYMBOLS[a.norm]} ε = {a.eps:.4g}, and "
        "can these numbers be trusted?",
        claims(f),
        (
            Section("Can these numbers be trusted?", "", (_flag_table(f),)),
            Section("Calibration", "", (_calibration_table(f), _reliability(f))),
            Section("Robustness", "", (_robustness_table(f), _curve(f))),
            Section(
                "Robustness and calibration",
                "Where the answer is easy to change: how often is the classifier right there, and how sure is it?",
                (_level_figure(f), _size_figure(f)),
            ),
        ),
        {"attacks": {name: task.attack for name, (_, task, _) in f.attacks.items()}, **made_by(a.tasks, f.store)},
    )


def _flag_table(f: Findings) -> Table:
    columns = (
        Column("flag", "Flag"),
        Column("severity", "Severity"),
        Column("seen", "What was seen"),
        Column("cure", "What to do"),
    )
    rows = [{**asdict(flag), "flag": flag.name.replace("_", " ")} for flag in f.flags]
    for row in rows:
        del row["name"]
    none = {"flag": "none", "seen": f"none of {len(checks.FLAGS)} checks tripped"}
    return Table("flags", "Flags", columns, tuple(rows or [none]), f.caption())


def _calibration_table(f: Findings) -> Table:
    columns = (
        Column("which", "Predictions"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("confidence", "Confidence", "%", 1, scale=100),
        Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
        Column("nll", "NLL", "nats", 3),
        Column("brier", "Brier", "", 3),
        Column("ece", "ECE", "%", 2, "", "15 equal-width bins, right-closed", scale=100),
        Column("classwise_ece", "Classwise ECE", "%", 2, scale=100),
    )
    names = {
        "clean": "as they are",
        "temperature": "after temperature scaling",
        "attacked": "at the points that AutoAttack kept",
    }
    rows = tuple({"which": names[name], **values} for name, values in f.calibration.items())
    caption = (
        f"95 % intervals over images: Wilson's for accuracy, bootstrap elsewhere ({f.audit.budget.draws} draws). "
        f"Temperature: {f.cooled[1]}. "
        f"AutoAttack: {NORM_SYMBOLS[f.audit.norm]}, ε = {f.audit.eps:.4g}; a row retires when it is misclassified. "
        + f.caption()
    )
    return Table("calibration", "Calibration", columns, rows, caption)


def _robustness_table(f: Findings) -> Table:
    columns = (
        Column("attack", "Attack"),
        Column("eps", "ε", "", 4),
        Column("robust", "Robust accuracy", "%", 1, scale=100),
        Column("queries", "Mean queries an image", "", 1),
    )
    rows = [
        {
            "attack": name.rpartition(", ε")[0],
            "eps": eps,
            "robust": robust_accuracy(found),
            "queries": float(task.result(f.store)["queries"].double().mean()),
        }
        for name, (eps, task, found) in f.attacks.items()
    ]
    rows.append(
        {
            "attack": "worst case of all within ε",
            "eps": f.audit.eps,
            "robust": robust_accuracy(f.attacks_at(f.audit.eps)),
        }
    )
    norm = NORM_SYMBOLS[f.audit.norm]
    caption = f"{norm}; 95 % Wilson intervals; a row retires when it is misclassified. {_missing(f)}{f.caption()}"
    return Table("robust-accuracy", "Robust accuracy", columns, tuple(rows), caption)


def _missing(f: Findings) -> str:
    """What AutoAttack cannot do on few classes."""
    classes = len(f.audit.splits.test.classes)
    return f"On {classes} classes AutoAttack's targeted APGD gives way to APGD on the margin. " * (classes < 4)


def _curve(f: Findings) -> Figure:
    share = [accuracy(f.clean), *(robust_accuracy(f.attacks_at(eps)).value for eps in f.audit.rungs)]
    bounds = [robust_accuracy(f.attacks_at(eps)) for eps in f.audit.rungs]
    first = f.calibration["clean"]["accuracy"]
    curve = draw.Line(
        [0.0, *f.audit.rungs],
        share,
        [first.low, *(b.low for b in bounds)],
        [first.high, *(b.high for b in bounds)],
    )
    return Figure(
        "accuracy-vs-eps",
        "Accuracy under attack",
        Panel(lambda ax: draw.accuracy_vs_eps(ax, {MODEL: curve}), size=(6.4, 4.2), series={MODEL: curve}),
        f"The worst of all attacks at each {NORM_SYMBOLS[f.audit.norm]} ε, with 95 % intervals. {f.caption()}",
        "Accuracy of the classifier against the size of the perturbation.",
    )


def _reliability(f: Findings) -> Figure:
    shown = {"as it is": f.clean, "after temperature scaling": f.cooled[0]}
    curves = {name: reliability_bins(p) for name, p in shown.items()}

    def panel(name: str) -> Panel:
        one = {name: curves[name]}
        return Panel(lambda ax: draw.reliability_diagram(ax, one, names=list(curves)), name, (3.6, 3.4), one)

    return Figure(
        "reliability",
        "Reliability diagram",
        tuple(panel(name) for name in curves),
        "Accuracy by confidence of the predicted class, 15 equal-width bins; below, the share of images. Points "
        f"below the diagonal are over-confident. {f.cooled[1]}. {f.caption()}",
        "Reliability diagrams before and after temperature scaling.",
    )


def _level_figure(f: Findings) -> Figure:
    x = list(range(1, int(f.level.max()) + 2))
    lines = {what: draw.Line(x, values) for what, values in f.per_level.items()}
    one = [{MODEL: curve} for curve in lines.values()]
    return Figure(
        "levels",
        "Accuracy, confidence and calibration by adversarial-robustness level",
        Panel(lambda ax: draw.by_level(ax, *one), series=lines),
        f"Level 1 holds the images whose answer is easiest to change ({base_name(f.audit.nearest.attack)}, L2, "
        f"from the classifier's own prediction). A level has {len(f.level) // len(x)} images or one more: its "
        f"ECE is biased upward. {f.caption()}",
        "Accuracy, confidence and calibration error over robustness levels.",
    )


def _size_figure(f: Findings) -> Figure:
    return Figure(
        "sizes",
        "How far images are from another answer",
        Panel(lambda ax: draw.size_distribution(ax, {MODEL: f.sizes.tolist()}), size=(6.4, 4.2)),
        f"Share of images whose answer changes within ‖δ‖₂, by {base_name(f.audit.nearest.attack)}. " + f.caption(),
        "Cumulative distribution of the size of minimal perturbations.",
    )
