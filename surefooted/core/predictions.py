"""What the metrics read: the mean prediction of every example, its label, and its row in the data set."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function
from torch import Tensor

from surefooted.errors import InputError


class Predictions(NamedTuple):
    """Natural-log probabilities of the mean prediction, true classes, rows in the data set; made by ``predictions``."""

    log_p: Float[Tensor, "n k"]
    y: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]

    def take(self, rows: Int[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> Predictions:
        return Predictions(self.log_p[rows], self.y[rows], self.rows[rows])

    def top(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Per example the probability of the predicted class, and 1 where that class is right, else 0; float64."""
        log_p, label = self.log_p.double().max(-1)
        return log_p.exp(), (label == self.y).double()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Where arguments are checked, take nothing else: a plain tuple may hold logits."""
        return no_info_plain_validator_function(_only_predictions)


def predictions(log_p: Tensor, y: Tensor, rows: Tensor | None = None) -> Predictions:
    """Check the parts of ``Predictions`` and put them together.

    Args:
        log_p: (N, K) natural-log probabilities; -inf is probability 0. Rows sum to 1 within 1e-3.
        y: (N,) true classes, 0 to K - 1.
        rows: (N,) rows in the data set, the units of the bootstrap; 0 to N - 1 when left out.
    """
    check_log_p(log_p, "predictions")
    n, k = log_p.shape
    rows = torch.arange(n, device=log_p.device) if rows is None else rows
    for name, column in (("y", y), ("rows", rows)):
        if column.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
            raise InputError(f"predictions needs whole numbers in {name}; got {column.dtype}. Pass {name}.long().")
        if column.shape != (n,):
            raise InputError(
                f"predictions needs one {name} per row of log_p, shape ({n},); got shape {tuple(column.shape)}."
            )
    if y.min() < 0 or y.max() >= k:
        raise InputError(
            f"predictions needs classes from 0 to {k - 1} for {k} columns of log_p; "
            f"y runs from {int(y.min())} to {int(y.max())}."
        )
    return Predictions(log_p, y.long(), rows.long())


def check_log_p(log_p: Tensor, who: str) -> None:
    """Refuse what is not an (N, K) tensor of log-probabilities; ``who`` is the name that the message begins with."""
    if log_p.ndim != 2 or not log_p.is_floating_point():
        raise InputError(
            f"{who} needs log-probabilities as floats of shape (n, k); "
            f"got {log_p.dtype} of shape {tuple(log_p.shape)}. Pass f.log_p."
        )
    if log_p.numel() == 0:
        raise InputError(f"{who} needs at least one example and one class; got shape {tuple(log_p.shape)}.")
    if log_p.isnan().any():
        bad = log_p.isnan().any(-1)
        raise InputError(
            f"{who} needs log-probabilities; {int(bad.sum())} of {len(bad)} rows hold NaN, the first is row "
            f"{int(bad.nonzero()[0])}. Find out where the model diverged."
        )
    total = log_p.double().exp().sum(-1)
    if (total - 1).abs().max() > 1e-3:
        worst = float(total[(total - 1).abs().argmax()])
        looks_like_p = log_p.min() >= 0 and (log_p.double().sum(-1) - 1).abs().max() < 1e-3
        cure = "These are probabilities: pass their logarithm" if looks_like_p else "Pass f.log_p, not f.logits"
        raise InputError(f"{who} needs log-probabilities; rows sum to {worst:.4g}, not 1. {cure}.")


def _only_predictions(p: Any) -> Predictions:
    if not isinstance(p, Predictions):
        raise ValueError(f"needs Predictions, not {type(p).__name__}; make them with predictions(log_p, y)")
    if len(p.y) == 0:
        raise ValueError("needs at least one example, and the split is empty (hold some out: --data.validation 0.1)")
    return p
