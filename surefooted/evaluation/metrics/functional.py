"""Metrics as weighted functionals: the same code gives the value and its bootstrap distribution.

A metric is written as a function of the predictions and its options. The function prepares everything that does not
depend on the weights (losses per example, bins, a sorted order) and returns a ``Functional``, which maps weights
(D, N), one row per bootstrap draw, to D values. ``@metric`` turns it into a component that returns the value at equal
weights as a Python float, and keeps the functional as ``.weighted``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.predictions import Predictions

Functional = Callable[[Float[Tensor, "d n"]], Float[Tensor, " d"]]
Metric = Callable[..., float]
Better = Literal["high", "low", "zero"]
IntervalKind = Literal["percentile", "calibration", "wilson", "auroc"]
# What a metric reads of a prediction: the predicted class and its probability, or the probabilities of all classes.
Reads = Literal["confidence", "probabilities"]


@runtime_checkable
class MetricComponent(Protocol):
    """A metric made by ``@metric``: a function of predictions with facts about itself.

    Attributes:
        perfect: its value when every example gets probability 1 for its true class; nan if it is undefined there.
        better: which values are better, or None for a metric that describes predictions without rating them.
        interval: the confidence interval that suits it, see ``metric_interval``.
        reads: ``confidence`` if it reads the predicted class and its probability only, else ``probabilities``.
        weighted: takes the same arguments and returns the ``Functional``.
    """

    __name__: str
    perfect: float
    better: Better | None
    interval: IntervalKind
    reads: Reads
    weighted: Callable[..., Functional]

    def __call__(self, p: Predictions, /, **options: Any) -> float: ...


@dataclass(frozen=True)
class GapFunctional:
    """The functional of a calibration error, with the gaps that it summarises; ``calibration_interval`` needs them.

    Attributes:
        value: maps weights (D, N) to D values.
        gaps: maps weights (D, N) to signed gaps (G, D), confidence minus accuracy in each of G parts.
        norm: maps gaps (G, D) to the D values of the error without any correction of its bias. It is convex, and
            doubling the gaps doubles it.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> f = as_functional(sf.metrics.ece, p)
        >>> f.gaps(torch.ones(1, 2, dtype=torch.float64)).shape
        torch.Size([15, 1])
    """

    value: Functional
    gaps: Callable[[Float[Tensor, "d n"]], Float[Tensor, "g d"]]
    norm: Callable[[Float[Tensor, "g d"]], Float[Tensor, " d"]]

    def __call__(self, weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        return self.value(weights)


def metric(
    *,
    perfect: float,
    better: Better | None,
    interval: IntervalKind = "percentile",
    reads: Reads = "probabilities",
) -> Callable[[Callable[..., Functional]], MetricComponent]:
    """Make a component ``(p, *, options) -> float`` from a function that returns the weighted functional.

    The arguments are the facts that ``MetricComponent`` describes. Tests and ``measure`` read them.

    Example:
        >>> import surefooted as sf
        >>> sf.metrics.brier.better, sf.metrics.brier.perfect
        ('low', 0.0)
    """

    def decorate(prepare: Callable[..., Functional]) -> MetricComponent:
        weighted = component(prepare)

        @functools.wraps(prepare)
        def value(p: Any, /, *args: Any, **options: Any) -> float:
            functional = weighted(p, *args, **options)
            equal = torch.ones(1, len(p.y), dtype=torch.float64, device=p.log_p.device)
            return float(functional(equal))

        value.__annotations__ = {**prepare.__annotations__, "return": float}
        signature = inspect.signature(prepare).replace(return_annotation=float)
        facts = {"perfect": perfect, "better": better, "interval": interval, "reads": reads, "weighted": weighted}
        vars(value).update(facts, __signature__=signature)
        return cast(MetricComponent, value)

    return decorate


def split_partial(metric: Metric) -> tuple[Metric, dict[str, Any]]:
    """The metric and the options of ``partial(metric, option=...)``; any other function has no options."""
    if isinstance(metric, partial) and not metric.args:
        return metric.func, metric.keywords
    return metric, {}


def as_functional(metric: Metric, p: Predictions) -> Functional:
    """The weighted functional of a metric, of ``partial(metric, option=...)``, or of any function of ``Predictions``.

    A function without a weighted form is called once per draw, on the rows repeated as often as they were drawn.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> as_functional(sf.metrics.accuracy, p)(torch.tensor([[1.0, 1.0], [3.0, 1.0]], dtype=torch.float64))
        tensor([0.5000, 0.7500], dtype=torch.float64)
    """
    function, options = split_partial(metric)
    if isinstance(function, MetricComponent):
        return function.weighted(p, **options)
    rows = torch.arange(len(p.y), device=p.log_p.device)
    return lambda weights: torch.tensor(
        [metric(p.take(rows.repeat_interleave(draw.long()))) for draw in weights], dtype=torch.float64
    )


def weighted_mean(values: Float[Tensor, " n"]) -> Functional:
    """Weighted mean over the examples; infinite in exactly those draws that contain an infinite value.

    Example:
        >>> weighted_mean(torch.tensor([1.0, 4.0]).double())(torch.tensor([[1.0, 1.0], [2.0, 1.0]]).double())
        tensor([2.5000, 2.0000], dtype=torch.float64)
    """
    infinite = values.isinf().double()
    finite = values.masked_fill(values.isinf(), 0)  # 0 · inf is nan: an example that was not drawn must not count
    if not infinite.any():
        return lambda weights: weights @ finite / weights.sum(1)
    return lambda weights: (weights @ finite / weights.sum(1)).masked_fill(weights @ infinite > 0, torch.inf)
