"""Metrics of predictions, each with the confidence interval that suits it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import isnan, nan
from typing import Any, TypeAlias

import torch

from surefooted.components.spec import parse_spec, resolve
from surefooted.core.arrays import ArrayLike
from surefooted.core.predictions import Predictions, predictions_from_logits, warn_of_missing_answers
from surefooted.errors import ArgumentError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.detection import auroc_interval
from surefooted.evaluation.metrics.functional import Metric, split_partial
from surefooted.evaluation.metrics.intervals import Interval, binomial_interval, bootstrap, calibration_interval
from surefooted.evaluation.metrics.levels import check_level

# A metric is a name, ``{name: options}`` or a function of predictions; several are a sequence or a table of them.
MetricChoice: TypeAlias = Any


def measure(
    p: Any,
    names: MetricChoice = (),
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compute metrics of predictions with confidence intervals over the examples.

    The intervals cover the sampling of the test set, not the variation between training seeds.

    Args:
        p: predictions, as from ``sf.predict``, or a pair ``(logits, labels)`` of arrays.
        names: a metric or several; all metrics if it is empty. A metric is a name, ``{name: options}`` such as
            ``{"ece": {"bins": 20}}`` (one table may hold several), or a function of ``Predictions``.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Returns:
        An interval per metric, in the given order, by the name of the metric or function; see ``metric_interval``.

    Raises:
        ArgumentError: for an unknown name, or invalid options.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 15 + [1] * 5))
        >>> found = sf.measure(p, ["accuracy", {"ece": {"bins": 20}}])
        >>> found["accuracy"].percent()
        '75.00 % [53.13, 88.81]'
        >>> round(found["ece"].value, 3)
        0.15
    """
    p = _as_predictions(p)
    chosen = choose_metrics(names)
    warn_of_missing_answers(p)
    return {name: metric_interval(metric, p, draws=draws, level=level, seed=seed) for name, metric in chosen.items()}


def measure_by_level(
    p: Predictions,
    level: ArrayLike,
    names: MetricChoice = (),
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, list[Interval]]:
    """Metrics within each robustness level, with confidence intervals over the examples of the level.

    Args:
        p: predictions.
        level: (N,) level of each example as whole numbers from 0, as from ``levels_of``.
        names: as for ``measure``.
        draws: number of bootstrap resamples.
        confidence: confidence level of the intervals.
        seed: seed of the resamples.

    Returns:
        By the name of the metric, an interval per level; nan for a level without examples.

    Raises:
        ArgumentError: if `level` is not one whole number per example, or a metric is unknown.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 15 + [1] * 5))
        >>> measure_by_level(p, torch.tensor([0, 1] * 10), "accuracy")["accuracy"][0]
        0.800 [0.490, 0.943]
    """
    index = check_level(level, len(p.y), "measure_by_level").to(p.y.device)
    parts = [p.take(index == r) for r in range(int(index.max()) + 1)]

    def one(metric: Metric, part: Predictions) -> Interval:
        if not len(part.y):
            return Interval(nan, nan, nan)
        return metric_interval(metric, part, draws=draws, level=confidence, seed=seed)

    return {name: [one(metric, part) for part in parts] for name, metric in choose_metrics(names).items()}


def choose_metrics(given: MetricChoice) -> dict[str, Metric]:
    """Metrics by name, with their options bound.

    Args:
        given: as ``names`` of ``measure``.

    Raises:
        ArgumentError: for an unknown name, for what is no metric, or if two have the same name.

    Example:
        >>> choose_metrics([{"ece": {"bins": 20}}, "nll"])["ece"].keywords
        {'bins': 20}
    """
    single = isinstance(given, str | Mapping) or callable(given)
    if not single and not isinstance(given, Iterable):
        given = [_name(given)]
    parts: Sequence[Any] = [given] if single else list(given) or metrics.__all__
    chosen: dict[str, Metric] = {}
    for part in parts:
        entries = part.items() if isinstance(part, Mapping) else [(_name(part), part)]
        for name, value in entries:
            if name in chosen:
                raise ArgumentError(
                    f"Duplicate metric {name!r}; names must be unique. Give one of them a name of its own, such as "
                    f'{{"{name}_20": functools.partial(sf.metrics.ece, bins=20)}}.'
                )
            chosen[name] = _bind(name, value)
    return chosen


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    if not callable(metric):
        raise ArgumentError(
            f"{metric!r} is no metric; expected a name, {{name: options}}, or a function of Predictions."
        )
    function = split_partial(metric)[0]
    return str(getattr(function, "__name__", type(function).__name__))


def _bind(name: Any, value: Any) -> Metric:
    """The metric of one entry: a function, or the options of a named metric."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        value = {}
    _, options = parse_spec({name: value})
    metric = resolve("metric", name)
    return partial(metric, **options) if options else metric


def _as_predictions(p: Any) -> Predictions:
    if isinstance(p, Predictions):
        return p
    if isinstance(p, tuple | list) and len(p) == 2:
        return predictions_from_logits(*p)
    raise ArgumentError(
        f"measure needs Predictions, as from sf.predict, or a pair (logits, labels); got {type(p).__name__}. "
        "Of images, such as an attack's: sf.predict(model, (x, y)). From log-probabilities: "
        "surefooted.core.predictions.predictions(log_p, y)."
    )


def metric_interval(
    metric: Metric, p: Predictions, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """A metric with the confidence interval over the examples that suits it.

    The metric states which one (``MetricComponent.interval``):

    - ``percentile``: the bootstrap's percentile interval. This is the default for any function of predictions.
    - ``calibration``: the interval of a calibration error, which chance makes positive; see ``calibration_interval``.
    - ``auroc``: Newcombe's interval of an AUROC, see ``auroc_interval``. It suits ``error_auroc``, which is undefined
      in draws without an error. Views of one example count once.
    - ``wilson``: Wilson's interval of a proportion. It suits accuracy: if all predictions are correct, so are all
      resamples, and a bootstrap interval would have width 0. If some rows are views of one example, they are not
      independent trials, and the percentile interval is used instead.

    A percentile interval is widened to hold the value, if a bias of the value has put it outside.

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
    if kind == "calibration":
        return calibration_interval(metric, p, draws=draws, level=level, seed=seed)
    if kind == "auroc":
        return _auroc_interval(metric(p), p, level)
    found = bootstrap(metric, p, draws=draws, level=level, seed=seed)
    if isnan(found.low):
        return found
    return found._replace(low=min(found.low, found.value), high=max(found.high, found.value))


def _auroc_interval(value: float, p: Predictions, level: float) -> Interval:
    """The interval of an AUROC of error detection, from the numbers of examples with right and with wrong answers."""
    n = len(torch.unique(p.rows))
    if isnan(value):  # all are right, or all wrong
        return Interval(value, nan, nan, n)
    correct = p.top()[1].bool()
    right, wrong = (len(torch.unique(p.rows[side])) for side in (correct, ~correct))
    return auroc_interval(value, wrong, right, level=level)._replace(n=n)
