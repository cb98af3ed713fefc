"""Metrics as weighted functionals: one body gives the value and, at every resampling's weights, its bootstrap.

A metric is written as a function of the predictions and its options that prepares what does not depend on the weights
(per-example losses, bins, a sorted order) and returns a ``Functional``: from weights (D, N), one row per draw, to D
values. ``@metric`` turns it into a component that hands back the value at equal weights as a Python float, and keeps
the functional within reach as ``.weighted``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.predictions import Predictions

Functional = Callable[[Float[Tensor, "d n"]], Float[Tensor, " d"]]
Metric = Callable[..., float]


def metric(prepare: Callable[..., Functional]) -> Metric:
    """Make a component ``(p, *, options) -> float`` of a function that returns the weighted functional."""
    weighted = component(prepare)

    @functools.wraps(prepare)
    def value(p: Any, /, *args: Any, **options: Any) -> float:
        functional = weighted(p, *args, **options)
        equal = torch.ones(1, len(p.y), dtype=torch.float64, device=p.log_p.device)
        return float(functional(equal))

    value.__annotations__ = {**prepare.__annotations__, "return": float}
    value.__signature__ = inspect.signature(prepare).replace(return_annotation=float)  # type: ignore[attr-defined]
    value.weighted = weighted  # type: ignore[attr-defined]
    return value


def as_functional(metric: Metric, p: Predictions) -> Functional:
    """The weighted functional of a metric, of ``partial(metric, option=...)``, or of any function of ``Predictions``.

    A function that has no weighted form is called once per draw, on the rows repeated as often as they were drawn.
    """
    inner, options = metric, {}
    if isinstance(metric, partial) and not metric.args:
        inner, options = metric.func, metric.keywords
    if hasattr(inner, "weighted"):
        return inner.weighted(p, **options)
    rows = torch.arange(len(p.y), device=p.log_p.device)
    return lambda weights: torch.tensor(
        [metric(p.take(rows.repeat_interleave(draw.long()))) for draw in weights], dtype=torch.float64
    )


def weighted_mean(values: Float[Tensor, " n"]) -> Functional:
    """Weighted mean over the examples; infinite in exactly the draws that hold an infinite value."""
    infinite = values.isinf().double()
    finite = values.masked_fill(values.isinf(), 0)  # 0 · inf is nan: an example that was not drawn must not count
    if not infinite.any():
        return lambda weights: weights @ finite / weights.sum(1)
    return lambda weights: (weights @ finite / weights.sum(1)).masked_fill(weights @ infinite > 0, torch.inf)
