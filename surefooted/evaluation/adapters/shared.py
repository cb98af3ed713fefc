"""What several adapters need: optional packages, predictions of any form, attacks at another radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.components.spec import build
from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.predictions import Predictions, predictions, predictions_from_logits
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.functional import Metric
from surefooted.evaluation.metrics.measuring import choose_metrics


def predictions_from_outputs(values: ArrayLike, y: ArrayLike) -> Predictions:
    """Predictions from logits or probabilities, as other libraries pass either.

    Args:
        values: (N, K) logits, or probabilities: rows from 0 to 1 that sum to 1. (N,) probabilities of class 1 of two.
        y: (N,) class indices.

    Raises:
        ArgumentError: if a part has the wrong type, shape or range.

    Example:
        >>> predictions_from_outputs([[0.9, 0.1]], [0]).log_p.exp().sum().item()
        1.0
    """
    scores = as_tensor(values, "predictions")
    if scores.ndim == 1:
        if not bool(((scores >= 0) & (scores <= 1)).all()):
            raise ArgumentError(
                "`predictions` has one score per example, not all in [0, 1]; expected probabilities of the second of "
                "two classes. Pass logits as one column per class."
            )
        scores = torch.stack([1 - scores, scores], 1)
    sums_to_one = scores.ndim == 2 and len(scores) > 0 and bool(((scores.sum(-1) - 1).abs() < 1e-3).all())
    if sums_to_one and bool((scores >= 0).all()):
        return predictions(scores.log(), y)
    return predictions_from_logits(scores, y)


def choose_metric(metric: Any, options: dict[str, Any]) -> tuple[str, Metric]:
    """The name of a metric and the metric with its options bound.

    Args:
        metric: a name, or a function of ``Predictions``.
        options: of the metric, such as ``bins``.

    Raises:
        ArgumentError: for an unknown name.

    Example:
        >>> choose_metric("ece", {"bins": 20})[0]
        'ece'
    """
    ((name, chosen),) = choose_metrics({metric: options} if options else metric).items()
    return name, chosen


def with_eps(attack: Attack, eps: float) -> Attack:
    """The attack at another radius, built anew, so that a default step size follows the radius.

    Example:
        >>> from surefooted.attacks import pgd
        >>> with_eps(pgd(eps=0.1), 0.2).spec.arguments["eps"]
        0.2
    """
    if attack.spec and "eps" in attack.spec.arguments:
        changed: Attack = build("attack", {attack.spec.name: attack.spec.arguments | {"eps": eps}})
        return changed
    return replace(attack, ball=type(attack.ball)(eps))  # type: ignore[call-arg]


def stack_arrays(batch: Sequence[ArrayLike]) -> Tensor:
    """A batch of arrays of any library as one tensor of floats.

    Example:
        >>> stack_arrays([[0.5, 1], [0, 1]]).shape
        torch.Size([2, 2])
    """
    return torch.stack([as_tensor(one, "batch") for one in batch]).float()
