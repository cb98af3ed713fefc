"""Metrics of predictions, each with the interval that suits it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from surefooted.components.spec import resolve
from surefooted.core.predictions import Predictions
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.functional import Metric
from surefooted.evaluation.metrics.intervals import Interval, binomial_interval, bootstrap


def measure(
    p: Predictions, names: str | Sequence[str] = (), *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Metrics of predictions with intervals over the examples; all metrics where none is named.

    They are bootstrap intervals, but for accuracy, which has Wilson's; ``interval_of`` says more.
    """
    named = [names] if isinstance(names, str) else names or metrics.__all__
    chosen = {name: resolve("metric", name) for name in named}
    return {name: metric_interval(name, of, p, draws=draws, level=level, seed=seed) for name, of in chosen.items()}


def metric_interval(
    name: str, metric: Metric, p: Predictions, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The interval that suits a metric by its name.

    Accuracy gets Wilson's: resamples of answers that are all right are all right, and would leave no width. Resampling
    adds to a calibration error what chance adds: the basic interval takes it off again, and covers far better near 0;
    no such error lies outside [0, 1].
    """
    if name == "accuracy" and len(p.rows.unique()) == len(p.rows):
        return binomial_interval(int(p.top()[1].sum()), len(p.y), level=level)
    resampled = partial(bootstrap, metric, p, draws=draws, level=level, seed=seed)
    if name not in ("ece", "classwise_ece", "max_calibration_error"):
        return resampled()
    found = resampled(kind="basic")
    return found._replace(low=min(max(found.low, 0.0), 1.0), high=min(max(found.high, 0.0), 1.0))
