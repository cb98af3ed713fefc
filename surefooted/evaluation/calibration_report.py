"""Everything about the calibration of given predictions: metrics, reliability, temperature, risk and a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from surefooted.core.arrays import ArrayLike
from surefooted.core.interval import Interval
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError, DataError
from surefooted.evaluation import metrics as metric_package
from surefooted.evaluation.metrics.functional import Metric, MetricComponent, split_partial
from surefooted.evaluation.metrics.intervals import binomial_interval
from surefooted.evaluation.metrics.measuring import MetricChoice, choose_metrics, metric_interval
from surefooted.evaluation.metrics.paired import Difference, McNemar, mcnemar, paired_bootstrap
from surefooted.evaluation.metrics.reliability import reliability_curve
from surefooted.evaluation.metrics.selective import RiskCoverage, risk_coverage
from surefooted.evaluation.prediction_files import read_predictions
from surefooted.evaluation.saved_predictions import SavedPredictions, pair_rows, read_outputs
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature
from surefooted.report.display import Printable
from surefooted.report.terminal import escape, make_table

if TYPE_CHECKING:
    from rich.console import RenderableType

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


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationReport(Printable):
    """Everything about the calibration of given predictions; it prints a summary, and ``write`` writes a page.

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

    def write(self, directory: str | PathLike[str]) -> Path:
        """Write a page with tables and figures into a directory; return the path of its ``index.html``."""
        from surefooted.evaluation.calibration_page import calibration_page
        from surefooted.report import write_page

        return write_page(calibration_page(self), directory)

    def lines(self) -> list[RenderableType]:
        """The summary for a terminal."""
        shown: list[RenderableType] = [f"[bold]{escape(self.heading)}[/]"]
        if not self.saved.p.answered.all():
            shown.append(f"[yellow]{self.missing}[/]")
        table = make_table("metric", "value", "95 % interval" if self._at_95 else "interval")
        for name, one in self.metrics.items():
            table.add_row(escape(name), f"{one.value:.4f}", bounds_text(one))
        shown.append(table)
        if self.omitted:
            shown.append(f"Not known from confidences: {', '.join(self.omitted)}.")
        table = make_table("confidence", "examples", "mean", "accuracy", "interval")
        for row in self.reliability:
            if row.count:
                edges = f"{row.low:.3f} to {row.high:.3f}"
                accuracy = row.accuracy
                table.add_row(
                    edges, f"{row.count:,}", f"{row.confidence:.3f}", f"{accuracy.value:.3f}", bounds_text(accuracy, 3)
                )
        shown += [table, *self._temperature_lines()]
        table = make_table("most confident", "error rate", "interval")
        for coverage, one in self.risk.items():
            table.add_row(f"{coverage:.0%}", f"{one.value:.4f}", bounds_text(one))
        return [*shown, table, *self._comparison_lines()]

    @property
    def _at_95(self) -> bool:
        return bool(self.resampling["level"] == 0.95)

    def _temperature_lines(self) -> list[RenderableType]:
        t = self.temperature
        if not (t.before and t.after and t.change):
            return [t.note]
        table = make_table("temperature scaling", "before", "after", "change", "interval", "p")
        for name, one in t.change.items():
            table.add_row(
                name,
                f"{t.before[name].value:.4f}",
                f"{t.after[name].value:.4f}",
                f"{one.value:+.4f}",
                bounds_text(one),
                f"{one.p:.3g}",
            )
        halves = f"{t.halves[0]:.3f} and {t.halves[1]:.3f}"
        return [f"temperature {t.temperature:.3f} [dim](of each half, used on the other: {halves})[/]", table]

    def _comparison_lines(self) -> list[RenderableType]:
        c = self.comparison
        if c is None:
            return []
        table = make_table("metric", "other", "difference", "interval", "p")
        for name, one in c.differences.items():
            table.add_row(escape(name), f"{c.values[name]:.4f}", f"{one.value:+.4f}", bounds_text(one), f"{one.p:.3g}")
        lines: list[RenderableType] = [f"[bold]compared with {escape(c.name)}, row by row[/]", table]
        if c.mcnemar:
            only, other, p = c.mcnemar
            lines.append(
                f"only these are right: {only}; only the others are right: {other} "
                f"[dim](McNemar's exact p = {p:.3g})[/]"
            )
        return lines


def bounds_text(value: Interval | Difference, digits: int = 4) -> str:
    """The bounds of an interval as console markup; a dash if they are undefined.

    Example:
        >>> bounds_text(Interval(0.5, 0.25, 0.75), 2)
        '\\\\[0.25, 0.75]'
    """
    if value.low != value.low:
        return "–"
    return escape(f"[{value.low:.{digits}f}, {value.high:.{digits}f}]")


def calibration(
    predictions: Any,
    y: ArrayLike | None = None,
    *,
    outputs: str = "auto",
    confidence: ArrayLike | None = None,
    metrics: MetricChoice = (),
    against: Any = None,
    bins: int = 15,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> CalibrationReport:
    """Measure the calibration of predictions from anywhere, with an interval for every number.

    Args:
        predictions: (N, K) logits, probabilities or log-probabilities; (N,) of the second of two classes; (N,)
            predicted labels, with `confidence`; ``Predictions``; a pair of any of these and `y`; or the path of a file,
            see ``read_predictions``.
        y: (N,) labels: class indices or one-hot rows; names only with predicted labels. Not for files.
        outputs: what the numbers are: ``logits``, ``probabilities``, ``log_probabilities`` or ``labels``. By default
            their values tell, or the error says that they do not.
        confidence: (N,) probability of the predicted label.
        metrics: as for ``measure``; by default all that can be computed.
        against: other predictions of the same examples, in any of these forms, to compare with. An array is of the same
            labels. Files are paired by their column ``id``, or by position.
        bins: number of bins of the reliability diagram.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Raises:
        DataError: if the predictions cannot be used.
        ArgumentError: for an unknown metric or an invalid option.

    Example:
        >>> import surefooted as sf
        >>> logits = [[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.5, 0.0]] * 10
        >>> report = sf.calibration(logits, [0, 1, 1, 0] * 10, draws=100)
        >>> report.metrics["accuracy"]
        0.750 [0.598, 0.858]
        >>> report.temperature.temperature > 1
        True
    """
    saved = _as_saved(predictions, y, outputs, confidence, "predictions")
    other = None
    if against is not None:
        holds_labels = isinstance(against, tuple | SavedPredictions | str | PathLike)
        other = _as_saved(against, None if holds_labels else y, outputs, None, "against")
    return report_calibration(
        saved, choose_metrics(metrics), other, explicit=bool(metrics), bins=bins, draws=draws, level=level, seed=seed
    )


def report_calibration(
    saved: SavedPredictions,
    chosen: Mapping[str, Metric],
    other: SavedPredictions | None = None,
    *,
    explicit: bool = False,
    bins: int = 15,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> CalibrationReport:
    """``calibration`` of predictions that were read already.

    Args:
        saved: the predictions.
        chosen: metrics by name.
        other: predictions to compare with.
        explicit: whether the user asked for these metrics: those that cannot be computed are an error then.
        bins, draws, level, seed: as for ``calibration``.
    """
    p, resampling = saved.p, {"draws": draws, "level": level, "seed": seed}
    unknown = [name for name, metric in chosen.items() if saved.confidence_only and not _reads_confidence(metric)]
    if unknown and explicit:
        raise ArgumentError(
            f"{unknown[0]} needs probabilities of all classes; {saved.name} has the predicted label and its confidence."
        )
    chosen = {name: metric for name, metric in chosen.items() if name not in unknown}
    return CalibrationReport(
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


def _as_saved(
    predictions: Any, y: ArrayLike | None, outputs: str, confidence: ArrayLike | None, argument: str
) -> SavedPredictions:
    if isinstance(predictions, SavedPredictions):
        return predictions
    if isinstance(predictions, Predictions):  # itself a tuple
        ids = predictions.rows.cpu().numpy()
        return SavedPredictions(
            predictions, "log_probabilities", "they are Predictions", predictions.y.cpu().numpy(), ids, argument
        )
    if isinstance(predictions, str | PathLike):
        if y is not None:
            raise ArgumentError(f"`{argument}` is a file, which holds its labels; leave out `y`.")
        return read_predictions(predictions, outputs=outputs)
    if y is None and isinstance(predictions, tuple) and len(predictions) == 2:
        predictions, y = predictions
    if y is None:
        raise ArgumentError("`y` is missing: calibration needs the true label of every row.")
    return read_outputs(predictions, y, outputs=outputs, confidence=confidence, name=argument)


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
    once = len(p.rows.unique()) == len(p.rows)
    values = {name: float(metric(q)) for name, metric in chosen.items()}
    return Comparison(other.name, values, differences, mcnemar(p, q) if once else None)
