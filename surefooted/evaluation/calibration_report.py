"""The calibration report of given predictions: a summary for a terminal, plain data, and a page."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefooted.core.arrays import ArrayLike
from surefooted.core.interval import Interval
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError
from surefooted.evaluation.calibration_measures import CalibrationMeasures, measure_calibration
from surefooted.evaluation.calibration_page import calibration_page
from surefooted.evaluation.metrics.measuring import MetricChoice, choose_metrics
from surefooted.evaluation.metrics.paired import Difference
from surefooted.evaluation.prediction_files import read_predictions
from surefooted.evaluation.saved_predictions import SavedPredictions, read_outputs
from surefooted.report import write_page
from surefooted.report.display import Printable
from surefooted.report.terminal import escape, make_table

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationReport(CalibrationMeasures, Printable):
    """The measures of ``CalibrationMeasures``; it prints a summary, and ``write`` writes a page.

    Example:
        >>> report = calibration([[2.0, 0.0], [0.0, 1.0]] * 10, [0, 0] * 10, draws=20)
        >>> report.write("calibration").as_posix()
        'calibration/index.html'
    """

    def write(self, directory: str | PathLike[str]) -> Path:
        """Write a page with tables and figures into a directory; return the path of its ``index.html``."""
        return write_page(calibration_page(self), directory)

    def lines(self) -> list[RenderableType]:
        """The summary for a terminal."""
        shown: list[RenderableType] = [f"[bold]{escape(self.heading)}[/]"]
        if self.missing:
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
        '[0.25, 0.75]'
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
    measures = measure_calibration(
        saved, choose_metrics(metrics), other, explicit=bool(metrics), bins=bins, draws=draws, level=level, seed=seed
    )
    return CalibrationReport(**vars(measures))


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
