"""The page of a calibration report."""

from __future__ import annotations

from math import isnan
from typing import Any

import torch

from surefooted.core.interval import Interval
from surefooted.evaluation import metrics
from surefooted.evaluation.calibration_measures import CalibrationMeasures
from surefooted.evaluation.metrics.functional import MetricComponent
from surefooted.evaluation.metrics.intervals import binomial_interval
from surefooted.report import Column, Figure, Finding, Page, Panel, Section, Table
from surefooted.report import figures as draw
from surefooted.report.style import PALETTE

_MODEL = "the classifier"
_CURVE_POINTS = 200


def calibration_page(report: CalibrationMeasures) -> Page:
    """The page: findings, metrics, reliability, temperature, risk and coverage, and the comparison.

    Example:
        >>> import surefooted as sf
        >>> calibration_page(sf.calibration([[2.0, 0.0], [0.0, 1.0]] * 10, [0, 0] * 10, draws=50))
        Page('Calibration of predictions', 2 findings, 4 tables, 2 figures)
    """
    level = f"{100 * report.resampling['level']:g} % intervals over examples; they do not cover training seeds."
    missing = f" {report.missing}" if report.missing else ""
    sections = [
        Section("Metrics", "", (_metric_table(report, level),)),
        Section("Reliability", "", (_reliability_figure(report, level), _reliability_table(report, level))),
        _temperature_section(report, level),
        Section("Risk and coverage", "", (_risk_figure(report, level), _risk_table(report, level))),
    ]
    if report.comparison:
        sections.append(_comparison_section(report, level))
    return Page(
        f"Calibration of {report.saved.name}",
        f"{report.heading}.{missing}",
        _findings(report),
        tuple(sections),
        {"read as": report.saved.outputs, "because": report.saved.reason, **report.resampling},
    )


def _findings(report: CalibrationMeasures) -> tuple[Finding, ...]:
    found = []
    gap = report.metrics.get("overconfidence")
    if gap and not isnan(gap.low):
        way, holds = ("under", gap.high < 0) if gap.value < 0 else ("over", gap.low > 0)
        found.append(
            Finding(
                f"The classifier is {way}-confident on average.",
                "holds" if holds else "unclear",
                f"confidence − accuracy = {_points(gap)}",
                "metrics",
            )
        )
    t = report.temperature
    if t.change:
        nll = t.change["nll"]
        verdict = "holds" if nll.high < 0 else "does not hold" if nll.low > 0 else "unclear"
        found.append(
            Finding(
                "Temperature scaling would lower the negative log-likelihood.",
                verdict,
                f"T = {t.temperature:.3f}; change {nll.value:+.4f} nats [{nll.low:+.4f}, {nll.high:+.4f}]",
                "temperature",
            )
        )
    if report.comparison and "accuracy" in report.comparison.differences:
        one = report.comparison.differences["accuracy"]
        verdict = "holds" if one.low > 0 else "does not hold" if one.high < 0 else "unclear"
        found.append(
            Finding(
                f"{report.saved.name} is more accurate than {report.comparison.name}.",
                verdict,
                f"difference {_points(one)}",
                "comparison",
            )
        )
    return tuple(found)


def _points(one: Any) -> str:
    return f"{100 * one.value:+.2f} points [{100 * one.low:+.2f}, {100 * one.high:+.2f}]"


def _metric_table(report: CalibrationMeasures, level: str) -> Table:
    columns = (Column("metric", "Metric"), Column("value", "Value", digits=4), Column("about", "Better"))
    rows = [{"metric": name, "value": one, "about": _better(name)} for name, one in report.metrics.items()]
    omitted = f" Not known from confidences: {', '.join(report.omitted)}." if report.omitted else ""
    return Table(
        "metrics",
        "Metrics",
        columns,
        tuple(rows),
        f"{level} Wilson for accuracy, Newcombe for the AUROC, inversion of a test for calibration errors, bootstrap "
        f"for the others ({report.resampling['draws']} draws).{omitted}",
    )


def _better(name: str) -> str:
    metric = getattr(metrics, name, None)
    return {"high": "higher", "low": "lower", "zero": "near 0"}.get(
        str(metric.better) if isinstance(metric, MetricComponent) else "", ""
    )


def _reliability_figure(report: CalibrationMeasures, level: str) -> Figure:
    rows = report.reliability
    curve = draw.ReliabilityBins(
        [row.confidence for row in rows],
        [row.accuracy.value for row in rows],
        [row.count for row in rows],
        [row.accuracy.low for row in rows],
        [row.accuracy.high for row in rows],
    )
    one = {_MODEL: curve}
    return Figure(
        "reliability",
        "Reliability diagram",
        Panel(lambda ax: draw.reliability_diagram(ax, one), size=(4.8, 4.4), series=one),
        f"Accuracy by confidence of the predicted class in {len(rows)} bins of equal width; below, the share of "
        f"examples. Points below the diagonal are over-confident. Thin lines: {level}",
        "Accuracy over confidence, with intervals, and the share of examples in each bin.",
    )


def _reliability_table(report: CalibrationMeasures, level: str) -> Table:
    columns = (
        Column("bin", "Confidence"),
        Column("count", "Examples"),
        Column("confidence", "Mean confidence", "%", 1, scale=100),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("gap", "Confidence − accuracy", "%", 1, scale=100),
    )
    rows = [
        {
            "bin": f"{row.low:.3f} to {row.high:.3f}",
            "count": row.count,
            "confidence": row.confidence,
            "accuracy": row.accuracy,
            "gap": row.confidence - row.accuracy.value,
        }
        for row in report.reliability
        if row.count
    ]
    return Table("reliability-bins", "Bins that are not empty", columns, tuple(rows), f"{level} Wilson's intervals.")


def _temperature_section(report: CalibrationMeasures, level: str) -> Section:
    t = report.temperature
    if not (t.before and t.after and t.change):
        return Section("Temperature scaling", t.note)
    columns = (
        Column("metric", "Metric"),
        Column("before", "As they are", digits=4),
        Column("after", "Scaled", digits=4),
        Column("change", "Change", digits=4),
        Column("p", "p", digits=3),
    )
    rows = [
        {"metric": name, "before": t.before[name], "after": t.after[name], "change": _interval(one), "p": one.p}
        for name, one in t.change.items()
    ]
    caption = (
        f"T = {t.temperature:.3f} on all examples; {t.halves[0]:.3f} and {t.halves[1]:.3f} on the halves. Each half is "
        f"scaled by the temperature of the other, so no example is in its own fit. {level} Change: paired bootstrap."
    )
    table = Table("temperature", "What temperature scaling would do", columns, tuple(rows), caption)
    return Section("Temperature scaling", "", (table,))


def _risk_figure(report: CalibrationMeasures, level: str) -> Figure:
    curve, n = report.curve, len(report.saved.p.y)
    keep = torch.linspace(0, len(curve.coverage) - 1, min(_CURVE_POINTS, len(curve.coverage))).round().long()
    coverage, risk = curve.coverage[keep].tolist(), curve.risk[keep].tolist()
    level_of = report.resampling["level"]
    answered = [round(share * n) for share in coverage]
    intervals = [binomial_interval(round(r * m), m, level=level_of) for r, m in zip(risk, answered)]
    line = draw.Line(coverage, risk, [one.low for one in intervals], [one.high for one in intervals])

    def plot(ax: Any) -> None:
        draw.draw_line(ax, line, PALETTE[0], "")
        ax.set(xlabel="Coverage: share of examples answered", ylabel="Error rate among them", xlim=(0, 1.01))
        ax.set_ylim(0, max(1e-3, *(1.3 * r for r in risk[len(risk) // 4 :])))
        draw.format_as_percent(ax.xaxis, ax.yaxis)

    return Figure(
        "risk-coverage",
        "Error rate if only the most confident examples are answered",
        Panel(plot, size=(4.8, 3.6), series={_MODEL: line}),
        f"The least confident examples are left out first. Band: {level} Wilson's intervals, for each coverage alone.",
        "Error rate over coverage.",
    )


def _risk_table(report: CalibrationMeasures, level: str) -> Table:
    columns = (
        Column("coverage", "Coverage", "%", 0, scale=100),
        Column("risk", "Error rate", "%", 2, scale=100),
    )
    rows = tuple({"coverage": coverage, "risk": one} for coverage, one in report.risk.items())
    return Table("risk", "Error rate by coverage", columns, rows, f"{level} Wilson's intervals.")


def _comparison_section(report: CalibrationMeasures, level: str) -> Section:
    c = report.comparison
    assert c is not None
    columns = (
        Column("metric", "Metric"),
        Column("own", report.saved.name, digits=4),
        Column("other", c.name, digits=4),
        Column("difference", "Difference", digits=4),
        Column("p", "p", digits=3),
    )
    rows = [
        {"metric": name, "own": report.metrics[name].value, "other": c.values[name], "difference": _interval(one),
         "p": one.p}
        for name, one in c.differences.items()
    ]  # fmt: skip
    test = (
        f" Only the first is right on {c.mcnemar.only_first} examples, only the second on {c.mcnemar.only_second}; "
        f"McNemar's exact p = {c.mcnemar.p:.3g}."
        if c.mcnemar
        else ""
    )
    caption = f"Paired row by row, {level} Paired bootstrap; p is two-sided.{test}"
    table = Table("comparison", f"Compared with {c.name}", columns, tuple(rows), caption)
    return Section("Comparison", "", (table,))


def _interval(one: Any) -> Interval:
    return Interval(one.value, one.low, one.high, one.n)
