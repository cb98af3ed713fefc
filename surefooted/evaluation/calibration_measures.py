"""What is measured about the calibration of predictions: metrics, reliability, temperature, risk, a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

import torch

from surefooted.core.interval import Interval
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError, DataError
from surefooted.evaluation import metrics as metric_package
from surefooted.evaluation.metrics.functional import Metric, MetricComponent, split_partial
from surefooted.evaluation.metrics.intervals import binomial_interval
from surefooted.evaluation.metrics.measuring import metric_interval
from surefooted.evaluation.metrics.paired import Difference, McNemar, mcnemar, paired_bootstrap
from surefooted.evaluation.metrics.reliability import reliability_curve
from surefooted.evaluation.metrics.selective import RiskCoverage, risk_coverage
from surefooted.evaluation.saved_predictions import SavedPredictions, pair_rows
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature

COVERAGES = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)  # at which the risk is printed


class ReliabilityBin(NamedTuple):
    """A bin of the reliability diagram.

    Attributes:
        low, high: edges of the confidence.
        count: number of examples.
        confidence: mean confidence; nan if the bin is empty.
        accuracy: with Wilson's interval; nan if the bin is empty.
    """

    low: float
    high: float
    count: int  # type: ignore[assignment]  # hides tuple.count
    confidence: float
    accuracy: Interval


@dataclass(frozen=True)
class TemperatureEffect:
    """What temperature scaling would do to these predictions.

    Attributes:
        temperature: fitted on all of them; above 1 if they are over-confident.
        halves: fitted on each half; each scales the other half.
        before, after: metrics of the predictions as they are, and scaled so that no example is in its own fit. Rows
            without an answer are left out.
        change: after minus before, by the paired bootstrap.
        note: why there is none; empty otherwise.
    """

    temperature: float = nan
    halves: tuple[float, float] = (nan, nan)
    before: Mapping[str, Interval] | None = None
    after: Mapping[str, Interval] | None = None
    change: Mapping[str, Difference] | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The predictions compared with others of the same examples.

    Attributes:
        name: of the other file.
        values: metrics of the other.
        differences: first minus other, by the paired bootstrap.
        mcnemar: test of equal accuracy; None if examples have several rows.
    """

    name: str
    values: Mapping[str, float]
    differences: Mapping[str, Difference]
    mcnemar: McNemar | None


@dataclass(frozen=True, eq=False)
class CalibrationMeasures:
    """Everything about the calibration of given predictions, as values.

    Attributes:
        saved: the predictions, and what they were read as.
        metrics: by name, with intervals.
        omitted: metrics that need probabilities of all classes, where only confidences are known.
        reliability: the bins of the reliability diagram.
        temperature: what temperature scaling would do.
        risk: by coverage, the error rate among the most confident examples, with Wilson's interval.
        curve: the risk-coverage curve.
        comparison: with other predictions; None if there are none.
        resampling: number of draws, confidence level and seed of the intervals.
    """

    saved: SavedPredictions
    metrics: Mapping[str, Interval]
    omitted: tuple[str, ...]
    reliability: tuple[ReliabilityBin, ...]
    temperature: TemperatureEffect
    risk: Mapping[float, Interval]
    curve: RiskCoverage
    comparison: Comparison | None
    resampling: Mapping[str, Any]

    @property
    def heading(self) -> str:
        """What was measured, in one line."""
        p, saved = self.saved.p, self.saved
        classes = "" if saved.confidence_only else f", {p.log_p.shape[1]} classes"
        return f"{saved.name}: {len(p.y):,} rows{classes}, read as {saved.outputs.replace('_', '-')} ({saved.reason})"

    @property
    def missing(self) -> str:
        """A sentence on rows without an answer; empty if there are none."""
        missing = int((~self.saved.p.answered).sum())
        if not missing:
            return ""
        return f"{missing:,} of {len(self.saved.p.y):,} rows are no answer (NaN or +inf): wrong, with confidence 1."

    def document(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        p, t, c = self.saved.p, self.temperature, self.comparison

        def plain(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
            return None if values is None else {name: value._asdict() for name, value in values.items()}

        return {
            "predictions": self.saved.name,
            "n": len(p.y),
            "no_answer": int((~p.answered).sum()),
            "outputs": self.saved.outputs,
            "reason": self.saved.reason,
            **self.resampling,
            "metrics": plain(self.metrics),
            "omitted": list(self.omitted),
            "reliability": [one._asdict() | {"accuracy": one.accuracy._asdict()} for one in self.reliability],
            "temperature": {
                "temperature": t.temperature,
                "halves": list(t.halves),
                "before": plain(t.before),
                "after": plain(t.after),
                "change": plain(t.change),
                "note": t.note,
            },
            "risk": [{"coverage": coverage} | risk._asdict() for coverage, risk in self.risk.items()],
            "against": c
            and {
                "predictions": c.name,
                "values": dict(c.values),
                "differences": plain(c.differences),
                "mcnemar": c.mcnemar and c.mcnemar._asdict(),
            },
        }


def measure_calibration(
    saved: SavedPredictions,
    chosen: Mapping[str, Metric],
    other: SavedPredictions | None = None,
    *,
    explicit: bool = False,
    bins: int = 15,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> CalibrationMeasures:
    """Compute everything about the calibration of predictions that were read already.

    Args:
        saved: the predictions.
        chosen: metrics by name.
        other: predictions to compare with.
        explicit: whether the user asked for these metrics: those that cannot be computed are an error then.
        bins, draws, level, seed: as for ``calibration``.
    """
    p = saved.p
    resampling: dict[str, Any] = {"draws": draws, "level": level, "seed": seed}
    unknown = [name for name, metric in chosen.items() if saved.confidence_only and not _reads_confidence(metric)]
    if unknown and explicit:
        raise ArgumentError(
            f"{unknown[0]} needs probabilities of all classes; {saved.name} has the predicted label and its confidence."
        )
    chosen = {name: metric for name, metric in chosen.items() if name not in unknown}
    return CalibrationMeasures(
        saved,
        {name: metric_interval(metric, p, **resampling) for name, metric in chosen.items()},
        tuple(unknown),
        _reliability(p, bins, level),
        _temperature_effect(saved, resampling),
        _risk_at_coverages(p, level),
        risk_coverage(p),
        _compare(saved, other, chosen, resampling) if other else None,
        resampling,
    )


def _reads_confidence(metric: Metric) -> bool:
    """Whether a metric is defined if only the confidence of the predicted class is known; functions have to see."""
    function = split_partial(metric)[0]
    return not isinstance(function, MetricComponent) or function.reads == "confidence"


def _reliability(p: Predictions, bins: int, level: float) -> tuple[ReliabilityBin, ...]:
    curve = reliability_curve(p, bins=bins)

    def accuracy(share: float, n: int) -> Interval:
        return binomial_interval(round(share * n), n, level=level) if n else Interval(nan, nan, nan)

    rows = zip(*(column.tolist() for column in curve))
    return tuple(ReliabilityBin(lo, hi, n, confidence, accuracy(share, n)) for lo, hi, n, confidence, share in rows)


def _temperature_effect(saved: SavedPredictions, resampling: Mapping[str, Any]) -> TemperatureEffect:
    if saved.confidence_only:
        return TemperatureEffect(note="No temperature: it needs probabilities of all classes.")
    p = saved.p.take(saved.p.answered)
    try:
        temperature = fit_temperature(saved.p)
        scaled, halves = cross_fit_temperature(p)
    except DataError as error:
        return TemperatureEffect(note=f"No temperature: {error}")
    chosen = {name: getattr(metric_package, name) for name in ("nll", "brier", "ece", "smooth_ece", "overconfidence")}
    return TemperatureEffect(
        temperature,
        halves,
        {name: metric_interval(metric, p, **resampling) for name, metric in chosen.items()},
        {name: metric_interval(metric, scaled, **resampling) for name, metric in chosen.items()},
        {name: paired_bootstrap(metric, scaled, p, **resampling) for name, metric in chosen.items()},
    )


def _risk_at_coverages(p: Predictions, level: float) -> dict[float, Interval]:
    """The error rate among the most confident examples; equal confidences are answered together."""
    curve, n = risk_coverage(p), len(p.y)
    risks = {}
    for coverage in COVERAGES:
        place = int((curve.coverage < coverage - 1e-9).sum())
        answered = round(float(curve.coverage[place]) * n)
        risks[coverage] = binomial_interval(round(float(curve.risk[place]) * answered), answered, level=level)
    return risks


def _compare(
    saved: SavedPredictions, other: SavedPredictions, chosen: Mapping[str, Metric], resampling: Mapping[str, Any]
) -> Comparison:
    p, q = pair_rows(saved, other)
    if other.confidence_only:
        chosen = {name: metric for name, metric in chosen.items() if _reads_confidence(metric)}
    differences = {name: paired_bootstrap(metric, p, q, **resampling) for name, metric in chosen.items()}
    once = len(torch.unique(p.rows)) == len(p.rows)
    values = {name: float(metric(q)) for name, metric in chosen.items()}
    return Comparison(other.name, values, differences, mcnemar(p, q) if once else None)
