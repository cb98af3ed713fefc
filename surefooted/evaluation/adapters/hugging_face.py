"""Metrics as modules of Hugging Face's ``evaluate``: tried with evaluate 0.4.6 and datasets 5.2."""

from __future__ import annotations

from functools import cache
from typing import Any

from surefooted.core.packages import import_package
from surefooted.evaluation.adapters.shared import choose_metric, predictions_from_outputs
from surefooted.evaluation.metrics.functional import Metric


def evaluate_metric(metric: Any = "ece", **options: Any) -> Any:
    """A metric as an ``evaluate.Metric``, for ``compute``, ``add_batch``, ``evaluate.combine`` and ``Trainer``.

    Args:
        metric: a name, such as ``ece``, or a function of ``Predictions``.
        options: of the metric, such as ``bins``.

    Returns:
        The metric: ``compute(predictions=..., references=...)`` takes (N, K) logits or probabilities and (N,) class
        indices, and returns the value by the metric's name.

    Raises:
        DependencyError: if evaluate or datasets is missing or broken.
        ArgumentError: for an unknown metric.

    Example:
        >>> ece = evaluate_metric("ece", bins=10)  # doctest: +SKIP
        >>> ece.compute(predictions=[[0.8, 0.2], [0.7, 0.3]], references=[0, 1])  # doctest: +SKIP
        {'ece': 0.45}
    """
    name, chosen = choose_metric(metric, options)
    return _metric_class()(name, chosen)


@cache
def _metric_class() -> type:
    datasets = import_package("datasets", "A metric of evaluate", "datasets")
    evaluate = import_package("evaluate", "A metric of evaluate", "evaluate")

    class SurefootedMetric(evaluate.Metric):  # type: ignore[misc]
        def __init__(self, name: str, metric: Metric) -> None:
            self.called, self.metric = name, metric
            super().__init__(config_name=name, keep_in_memory=True)

        def _info(self) -> Any:
            summary = (self.metric.__doc__ or "").partition("\n")[0]
            row = datasets.Sequence(datasets.Value("float32"))
            features = datasets.Features({"predictions": row, "references": datasets.Value("int64")})
            inputs = "predictions: logits or probabilities per class; references: class indices."
            return evaluate.MetricInfo(description=summary, citation="", inputs_description=inputs, features=features)

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            return {self.called: self.metric(predictions_from_outputs(predictions, references))}

    return SurefootedMetric
