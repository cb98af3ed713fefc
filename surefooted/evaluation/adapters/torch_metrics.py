"""Metrics as ``torchmetrics.Metric``: tried with torchmetrics 1.9."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from surefooted.core.packages import import_package
from surefooted.evaluation.adapters.shared import choose_metric, predictions_from_outputs
from surefooted.evaluation.metrics.functional import split_partial

# Arguments that every metric of torchmetrics takes.
_SETTINGS = {
    *("compute_on_cpu", "compute_with_cache", "sync_on_compute", "process_group"),
    *("dist_sync_on_step", "dist_sync_fn", "distributed_available_fn"),
}


def torchmetrics_metric(metric: Any = "ece", **options: Any) -> Any:
    """A metric as a ``torchmetrics.Metric``, for ``MetricCollection``, Lightning's ``self.log`` and training loops.

    All predictions are kept until ``compute``, as exact calibration errors need them. Processes gather them, so the
    value is that of the whole test set and not a mean of means.

    Args:
        metric: a name, such as ``ece``, or a function of ``Predictions``.
        options: of the metric, such as ``bins``, and of every metric of torchmetrics, such as ``sync_on_compute``.

    Returns:
        The metric: ``update(preds, target)`` takes (N, K) logits or probabilities and (N,) class indices.

    Raises:
        DependencyError: if torchmetrics is missing or broken.
        ArgumentError: for an unknown metric.

    Example:
        >>> ece = torchmetrics_metric("ece", bins=10)
        >>> ece.update(torch.tensor([[0.8, 0.2], [0.7, 0.3]]), torch.tensor([0, 1]))
        >>> ece.compute()
        tensor(0.4500)
    """
    settings = {name: options.pop(name) for name in _SETTINGS & options.keys()}
    return _metric_class()(metric, options, settings)


@cache
def _metric_class() -> type:
    torchmetrics = import_package("torchmetrics", "A metric of torchmetrics", "torchmetrics")

    class SurefootedMetric(torchmetrics.Metric):  # type: ignore[misc]
        is_differentiable = False
        full_state_update = False
        preds: list[Tensor]
        target: list[Tensor]

        def __init__(self, metric: Any, options: dict[str, Any], settings: dict[str, Any]) -> None:
            super().__init__(**settings)
            self.made_from = partial(torchmetrics_metric, metric, **options, **settings)
            self.metric = choose_metric(metric, options)[1]
            self.add_state("preds", default=[], dist_reduce_fx="cat")
            self.add_state("target", default=[], dist_reduce_fx="cat")

        @property
        def higher_is_better(self) -> bool | None:
            return {"high": True, "low": False}.get(getattr(split_partial(self.metric)[0], "better", None) or "")

        def update(self, preds: Tensor, target: Tensor) -> None:
            self.preds.append(preds.detach())
            self.target.append(target.detach())

        def compute(self) -> Tensor:
            cat = torchmetrics.utilities.dim_zero_cat
            return torch.tensor(self.metric(predictions_from_outputs(cat(self.preds), cat(self.target))))

        def __reduce__(self) -> tuple[Any, ...]:  # a class made in a function is not found by its name
            return self.made_from, (), self.__getstate__()

    return SurefootedMetric
