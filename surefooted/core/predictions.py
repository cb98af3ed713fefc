"""The input of the metrics: the mean prediction of every example, its label, and its row in the data set."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function
from torch import Tensor

from surefooted.core.types import INTEGER_DTYPES
from surefooted.errors import ArgumentError


class Predictions(NamedTuple):
    """Predictions with their labels; make them with ``predictions``, which checks the parts.

    Attributes:
        log_p: (N, K) natural-log probabilities of the mean prediction.
        y: (N,) class indices.
        rows: (N,) indices in the data set.
    """

    log_p: Float[Tensor, "n k"]
    y: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]

    def __repr__(self) -> str:
        return f"Predictions(n={len(self.y)}, classes={self.log_p.shape[1]})"

    def take(self, rows: Int[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> Predictions:
        """A part of the predictions, by indices, by a mask or by a slice."""
        return Predictions(self.log_p[rows], self.y[rows], self.rows[rows])

    def top(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Confidence and correctness per example, in float64.

        Returns:
            The probability of the predicted class, and 1 if that class is right, else 0.

        Example:
            >>> p = predictions(torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(), torch.tensor([0, 0]))
            >>> confidence, correct = p.top()
            >>> correct.tolist()
            [1.0, 0.0]
        """
        log_p, label = self.log_p.double().max(-1)
        return log_p.exp(), (label == self.y).double()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Components accept an instance only: a plain tuple might hold logits."""
        return no_info_plain_validator_function(_check_type)


def predictions(log_p: Tensor, y: Tensor, rows: Tensor | None = None) -> Predictions:
    """Check the parts of ``Predictions`` and put them together.

    Args:
        log_p: (N, K) natural-log probabilities; -inf is probability 0. Rows sum to 1 within 1e-3.
        y: (N,) class indices, 0 to K - 1.
        rows: (N,) indices in the data set, the units of the bootstrap; by default 0 to N - 1.

    Raises:
        ArgumentError: if a part has the wrong type, shape or range.

    Example:
        >>> predictions(torch.full((2, 4), 0.25).log(), torch.tensor([0, 3])).rows
        tensor([0, 1])
    """
    check_log_p(log_p, "predictions")
    n, k = log_p.shape
    rows = torch.arange(n, device=log_p.device) if rows is None else rows
    for name, column in (("y", y), ("rows", rows)):
        if column.dtype not in INTEGER_DTYPES:
            raise ArgumentError(f"predictions needs whole numbers in {name}; got {column.dtype}. Pass {name}.long().")
        if column.shape != (n,):
            raise ArgumentError(
                f"predictions needs one entry of {name} per row of log_p, shape ({n},); "
                f"got shape {tuple(column.shape)}."
            )
    if y.min() < 0 or y.max() >= k:
        raise ArgumentError(
            f"predictions needs class indices from 0 to {k - 1} for {k} columns of log_p; "
            f"y ranges from {int(y.min())} to {int(y.max())}."
        )
    return Predictions(log_p, y.long(), rows.long())


def check_log_p(log_p: Tensor, caller: str) -> None:
    """Check that ``log_p`` is an (N, K) tensor of log-probabilities; messages start with the name of the caller.

    Raises:
        ArgumentError: if it is not.

    Example:
        >>> check_log_p(torch.full((2, 4), 0.25).log(), "ece")
    """
    if log_p.ndim != 2 or not log_p.is_floating_point():
        raise ArgumentError(
            f"{caller} needs log-probabilities as floats of shape (n, k); "
            f"got {log_p.dtype} of shape {tuple(log_p.shape)}. Pass f.log_p."
        )
    if log_p.numel() == 0:
        raise ArgumentError(f"{caller} needs at least one example and one class; got shape {tuple(log_p.shape)}.")
    if log_p.isnan().any():
        bad = log_p.isnan().any(-1)
        raise ArgumentError(
            f"{caller} needs log-probabilities; {int(bad.sum())} of {len(bad)} rows hold NaN, the first is row "
            f"{int(bad.nonzero()[0])}. Find out where the model diverged."
        )
    total = log_p.double().exp().sum(-1)
    if (total - 1).abs().max() > 1e-3:
        worst = float(total[(total - 1).abs().argmax()])
        looks_like_p = log_p.min() >= 0 and (log_p.double().sum(-1) - 1).abs().max() < 1e-3
        hint = "These are probabilities: pass their logarithm" if looks_like_p else "Pass f.log_p, not f.logits"
        raise ArgumentError(f"{caller} needs log-probabilities; rows sum to {worst:.4g}, not 1. {hint}.")


def _check_type(p: Any) -> Predictions:
    if not isinstance(p, Predictions):
        raise ValueError(f"needs Predictions, not {type(p).__name__}; make them with predictions(log_p, y)")
    if len(p.y) == 0:
        raise ValueError("needs at least one example, but the split is empty; hold out images (`data.validation=0.1`)")
    return p
