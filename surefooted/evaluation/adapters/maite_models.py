"""Models and metrics that satisfy MAITE's protocols for image classification: tried with MAITE 0.10.

The protocols are structural, so MAITE itself is not needed to make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.types import Points, log_mean_softmax
from surefooted.evaluation.adapters.shared import predictions_from_outputs, stack_arrays
from surefooted.evaluation.metrics.measuring import MetricChoice, measure
from surefooted.models.prediction import map_logits
from surefooted.models.victims import Victim


class MaiteModel:
    """A classifier as a MAITE ``Model``: a batch of images to a batch of class probabilities.

    Args:
        model: a module from pixels in [0, 1] to logits, or a victim such as an ensemble.
        classes: names of the classes.
        name: identifies the model.

    Example:
        >>> import surefooted as sf
        >>> model = MaiteModel(sf.nets.mlp((1, 8, 8), 10))
        >>> probabilities = model([torch.rand(1, 8, 8), torch.rand(1, 8, 8)])
        >>> len(probabilities), probabilities[0].shape
        (2, torch.Size([10]))
    """

    def __init__(self, model: nn.Module | Victim, classes: Sequence[str] = (), name: str = "") -> None:
        self.model = model
        self.metadata = {"id": name or type(model).__name__, "index2label": dict(enumerate(classes))}

    def __call__(self, batch: Sequence[Any], /) -> Sequence[Tensor]:
        x = stack_arrays(batch)
        nobody = torch.zeros(len(x), dtype=torch.long)  # labels are not used
        log_p = torch.cat(map_logits(self.model, Points(x, nobody, nobody), log_mean_softmax))
        return list(log_p.exp().cpu())


class MaiteMetric:
    """Metrics as a MAITE ``Metric``: of each the value, and its 95 % interval over the images as ``_low``, ``_high``.

    Args:
        metrics: as ``names`` of ``sf.measure``; all metrics by default.
        name: identifies the metric.

    Example:
        >>> metric = MaiteMetric(["accuracy", {"ece": {"bins": 10}}])
        >>> metric.update([torch.tensor([0.8, 0.2])] * 2, [torch.tensor([1.0, 0.0])] * 2, [{"id": 0}, {"id": 1}])
        >>> round(metric.compute()["ece"], 3)
        0.2
    """

    def __init__(self, metrics: MetricChoice = (), name: str = "surefooted") -> None:
        self.metrics, self.metadata = metrics, {"id": name}
        self.reset()

    def reset(self) -> None:
        self._predicted: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, predictions: Sequence[Any], targets: Sequence[Any], metadata: Sequence[Any], /) -> None:
        self._predicted.append(stack_arrays(predictions))
        self._labels.append(stack_arrays(targets).argmax(-1))

    def compute(self) -> dict[str, float]:
        found = measure(predictions_from_outputs(torch.cat(self._predicted), torch.cat(self._labels)), self.metrics)
        parts = ((name, one) for name, one in found.items())
        return {
            key: value
            for name, one in parts
            for key, value in ((name, one.value), (f"{name}_low", one.low), (f"{name}_high", one.high))
        }
