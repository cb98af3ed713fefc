"""``surefooted measure --predictions``: predictions that were saved by any program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefooted.errors import ArgumentError

if TYPE_CHECKING:
    from surefooted.evaluation.saved_predictions import SavedPredictions


def refuse_options(given: Mapping[str, Any], why: str) -> None:
    """Refuse options that have no meaning here.

    Raises:
        ArgumentError: if one of them is given.

    Example:
        >>> refuse_options({"--split": None}, "predictions in a file have no split")
    """
    if named := [name for name, value in given.items() if value]:
        raise ArgumentError(f"{named[0]} cannot be used: {why}. Leave it out.")


def measure_files(
    files: Sequence[Path],
    metrics: Mapping[str, Callable[..., float]],
    against: str | None,
    outputs: str,
    out: Path | None,
    *,
    explicit: bool,
    resampling: Mapping[str, Any],
) -> tuple[dict[str, Any], list[Any]]:
    """Measure files of predictions; one gives a calibration report, several the variance between models as well.

    Returns:
        The JSON document, and lines for the terminal.
    """
    from surefooted.core.files import as_input_error
    from surefooted.evaluation.calibration_measures import measure_calibration
    from surefooted.evaluation.calibration_report import CalibrationReport
    from surefooted.evaluation.prediction_files import read_predictions
    from surefooted.report.terminal import check_writable, escape

    if len(files) > 1 and (against or out):
        raise ArgumentError(
            "Several files of --predictions are several models of one test set: --against and --out need one file."
        )
    saved = [read_predictions(file, outputs=outputs) for file in files]
    other = read_predictions(against, outputs=outputs) if against else None
    if len(saved) > 1:
        return _several_models(saved, metrics, explicit, resampling)
    if out:
        check_writable(out / "index.html")
    report = CalibrationReport(**vars(measure_calibration(saved[0], metrics, other, explicit=explicit, **resampling)))
    document, lines = report.document(), report.lines()
    if out:
        with as_input_error(out):
            index = report.write(out)
        document["report"] = str(index)
        lines.append(f"report: {escape(str(index))}")
    return document, lines


def _several_models(
    saved: Sequence[SavedPredictions],
    metrics: Mapping[str, Callable[..., float]],
    explicit: bool,
    resampling: Mapping[str, Any],
) -> tuple[dict[str, Any], list[Any]]:
    """Metrics of every model, and σ² between them."""
    from surefooted.evaluation.calibration_measures import measure_calibration
    from surefooted.evaluation.calibration_report import bounds_text
    from surefooted.evaluation.metrics.intervals import mean_interval
    from surefooted.evaluation.metrics.stability import variance_of_each
    from surefooted.evaluation.saved_predictions import pair_rows
    from surefooted.report.terminal import escape, make_table

    if unknown := [one.name for one in saved if one.confidence_only]:
        raise ArgumentError(
            f"{unknown[0]} has confidences only; the variance between models needs probabilities of all classes."
        )
    first, *others = saved
    paired = [first.p, *(pair_rows(first, other)[1] for other in others)]
    answered = [p.answered for p in paired]
    keep = answered[0]
    for one in answered[1:]:
        keep = keep & one
    if not keep.any():
        raise ArgumentError("No row is an answer of every model (NaN or +inf among the outputs).")
    variance = mean_interval(variance_of_each([p.log_p[keep] for p in paired]), level=resampling["level"])
    reports = [measure_calibration(one, metrics, explicit=explicit, **resampling) for one in saved]
    document = {"models": [report.document() for report in reports], "variance": variance._asdict()}
    table = make_table("metric", *(f"model {number}" for number in range(1, len(saved) + 1)))
    for name in reports[0].metrics:
        table.add_row(escape(name), *(f"{report.metrics[name].value:.4f}" for report in reports))
    lines: list[Any] = [f"[bold]model {number}[/]: {escape(one.heading)}" for number, one in enumerate(reports, 1)]
    left_out = f", without {int((~keep).sum()):,} rows that some model did not answer" if not keep.all() else ""
    lines += [table, f"variance between the {len(saved)} models, σ² {variance.value:.5f} "
              f"{bounds_text(variance, 5)} (100 σ² = {100 * variance.value:.3f}){left_out}"]  # fmt: skip
    return document, lines
