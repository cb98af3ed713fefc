"""Metrics of predictions, each with the confidence interval that suits it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from surefooted.components.spec import resolve
from surefooted.core.predictions import Predictions
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.functional import Metric, split_partial
from surefooted.evaluation.metrics.intervals import Interval, binomial_interval, bootstrap


def measure(
    p: Predictions, names: str | Sequence[str] = (), *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Compute metrics of predictions with confidence intervals over the examples.

    The intervals cover the sampling of the test set, not the variation between training seeds.

    Args:
        p: predictions, as from ``sf.predict``.
        names: one name or several names of metrics; all metrics if it is empty.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Returns:
        An interval per name, in the given order; see ``metric_interval``.

    Raises:
        ArgumentError: for an unknown name.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 15 + [1] * 5))
        >>> found = sf.measure(p, ["accuracy", "ece"])
        >>> found["accuracy"].percent()
        '75.00 % [53.13, 88.81]'
        >>> round(found["ece"].value, 3)
        0.15
    """
    named = [names] if isinstance(names, str) else names or metrics.__all__
    chosen = {name: resolve("metric", name) for name in named}
    return {name: metric_interval(metric, p, draws=draws, level=level, seed=seed) for name, metric in chosen.items()}


def metric_interval(
    metric: Metric, p: Predictions, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """A metric with the confidence interval over the examples that suits it.

    The metric states which one (``MetricComponent.interval``):

    - ``percentile``: the bootstrap's percentile interval. This is the default for any function of predictions.
    - ``basic``: the basic bootstrap interval, clipped to [0, 1]. It suits calibration errors, which resampling biases
      upward; the basic interval removes that bias and covers far better near 0 (see ``bootstrap``).
    - ``wilson``: Wilson's interval of a proportion. It suits accuracy: if all predictions are correct, so are all
      resamples, and a bootstrap interval would have width 0. If some rows are views of one example, they are not
      independent trials, and the percentile interval is used instead.

    Args:
        metric: a metric, ``functools.partial`` of one, or any function of ``Predictions``.
        p: predictions.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Raises:
        ArgumentError: if `level` is not between 0 and 1, or there is no draw.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 20))
        >>> metric_interval(sf.metrics.accuracy, p).percent()
        '100.00 % [83.89, 100.00]'
    """
    kind = getattr(split_partial(metric)[0], "interval", "percentile")
    if kind == "wilson" and len(torch.unique(p.rows)) == len(p.rows):
        return binomial_interval(round(metric(p) * len(p.y)), len(p.y), level=level)
    if kind != "basic":
        return bootstrap(metric, p, draws=draws, level=level, seed=seed)
    found = bootstrap(metric, p, draws=draws, level=level, seed=seed, kind="basic")
    return found._replace(low=min(max(found.low, 0.0), 1.0), high=min(max(found.high, 0.0), 1.0))
