"""The input of the metrics: the mean prediction of every example, its label, and its row in the data set.

**Rows without an answer.** A model that returns NaN or +inf among the logits of an example has given no answer (-inf
excludes a class and is legitimate). The log-probabilities of such a row are NaN, and every metric counts it as the
worst prediction there is: wrong, with confidence 1, whatever its label. No metric becomes NaN because a model failed,
and none improves (but for binned errors, by at most what the regrouping of a bin changes).
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function
from torch import Tensor

from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.types import INTEGER_DTYPES
from surefooted.errors import ArgumentError, NonFiniteOutput

_TOLERANCE = 1e-3  # of the sum of a row's probabilities


class Predictions(NamedTuple):
    """Predictions with their labels; make them with ``predictions``, which checks the parts.

    Attributes:
        log_p: (N, K) natural-log probabilities of the mean prediction; NaN in the rows without an answer.
        y: (N,) class indices.
        rows: (N,) indices in the data set.
    """

    log_p: Float[Tensor, "n k"]
    y: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]

    def __repr__(self) -> str:
        missing = int((~self.answered).sum())
        failed = f", no_answer={missing}" if missing else ""
        return f"Predictions(n={len(self.y)}, classes={self.log_p.shape[1]}{failed})"

    def take(self, rows: Int[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> Predictions:
        """A part of the predictions, by indices, by a mask or by a slice."""
        return Predictions(self.log_p[rows], self.y[rows], self.rows[rows])

    @property
    def answered(self) -> Bool[Tensor, " n"]:
        """Whether each row is an answer: no NaN and no +inf.

        Example:
            >>> log_p = torch.tensor([[0.0, -torch.inf], [torch.nan, torch.nan]])
            >>> Predictions(log_p, torch.tensor([0, 0]), torch.arange(2)).answered.tolist()
            [True, False]
        """
        answered: Tensor = (self.log_p < torch.inf).all(-1)  # NaN is not below anything
        return answered

    def top(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Confidence and correctness per example, in float64; a row without an answer is wrong with confidence 1.

        Returns:
            The probability of the predicted class, and 1 if that class is right, else 0.

        Example:
            >>> p = predictions(torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(), torch.tensor([0, 0]))
            >>> confidence, correct = p.top()
            >>> correct.tolist()
            [1.0, 0.0]
        """
        log_p, label = self.log_p.double().max(-1)
        answered = self.answered
        return log_p.exp().masked_fill(~answered, 1), ((label == self.y) & answered).double()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Components accept an instance only: a plain tuple might hold logits."""
        return no_info_plain_validator_function(_check_type)


def predictions(log_p: ArrayLike, y: ArrayLike, rows: ArrayLike | None = None) -> Predictions:
    """Check the parts of ``Predictions`` and put them together; arrays and lists are read as tensors.

    Args:
        log_p: (N, K) natural-log probabilities; -inf is probability 0. Rows sum to 1 within 1e-3, and within the
            rounding of their own type. A row that holds NaN or +inf is no answer: see the module's description.
        y: (N,) class indices, 0 to K - 1.
        rows: (N,) indices in the data set, the units of the bootstrap; by default 0 to N - 1.

    Raises:
        ArgumentError: if a part has the wrong type, shape or range.

    Example:
        >>> predictions(torch.full((2, 4), 0.25).log(), torch.tensor([0, 3])).rows
        tensor([0, 1])
    """
    log_p = as_tensor(log_p, "log_p")
    answered = _check_log_p(log_p, "predictions")
    if log_p.dtype.itemsize == 2:  # a confidence must not carry the rounding of 16 bits
        log_p = log_p.float().log_softmax(-1)
    p = _with_labels(log_p, answered, y, rows, "predictions")
    warn_of_missing_answers(p, stacklevel=3)
    return p


def predictions_from_logits(logits: ArrayLike, y: ArrayLike, rows: ArrayLike | None = None) -> Predictions:
    """Make ``Predictions`` from logits, or from log-probabilities, which softmax leaves as they are.

    Args:
        logits: (N, K) logits of one network; -inf excludes a class. A row with NaN or +inf is no answer.
        y, rows: as for ``predictions``.

    Raises:
        ArgumentError: if a part has the wrong type, shape or range, or if the logits look like probabilities.

    Example:
        >>> predictions_from_logits([[2.0, 0.0], [0.0, 0.0]], [0, 1]).log_p.exp()
        tensor([[0.8808, 0.1192],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    logits = as_tensor(logits, "logits")
    _check_shape(logits, "predictions_from_logits", "logits")
    if logits.shape[1] > 1 and look_like_probabilities(logits):
        raise ArgumentError(
            "`logits` are probabilities: every row is in [0, 1] and sums to 1. Pass their logarithm, "
            "predictions(p.log(), y)."
        )
    log_p = (logits.float() if logits.dtype.itemsize == 2 else logits).log_softmax(-1)
    p = _with_labels(log_p, (log_p < torch.inf).all(-1), y, rows, "predictions_from_logits")
    warn_of_missing_answers(p, stacklevel=3)
    return p


def warn_of_missing_answers(p: Predictions, *, stacklevel: int = 2) -> None:
    """Warn if rows of `p` are no answer: how many, which is the first, and how they count.

    Example:
        >>> warn_of_missing_answers(predictions([[0.0]], [0]))
    """
    missing = (~p.answered).nonzero()[:, 0]
    if len(missing):
        warnings.warn(
            f"{len(missing):,} of {len(p.y):,} rows have NaN or +inf among their logits; the first is row "
            f"{int(p.rows[missing[0]])}. They count as wrong, with confidence 1. Find out where the model diverged.",
            NonFiniteOutput,
            stacklevel=stacklevel + 1,
        )


def check_log_p(log_p: Tensor, caller: str) -> None:
    """Check that ``log_p`` is an (N, K) tensor of log-probabilities and that every row is an answer.

    Messages start with the name of the caller.

    Raises:
        ArgumentError: if it is not.

    Example:
        >>> check_log_p(torch.full((2, 4), 0.25).log(), "ece")
    """
    answered = _check_log_p(log_p, caller)
    if not answered.all():
        missing = (~answered).nonzero()[:, 0]
        raise ArgumentError(
            f"{caller} needs log-probabilities; {len(missing)} of {len(log_p)} rows hold NaN or +inf, the first is row "
            f"{int(missing[0])}. Find out where the model diverged."
        )


def check_answered(p: Predictions, caller: str) -> None:
    """Refuse rows without an answer, for what cannot be defined with them.

    Raises:
        ArgumentError: if a row is no answer.

    Example:
        >>> check_answered(predictions([[0.0]], [0]), "brier_decomposition")
    """
    missing = (~p.answered).nonzero()[:, 0]
    if len(missing):
        raise ArgumentError(
            f"{caller} is undefined if a row is no answer: {len(missing)} of {len(p.y)} rows have NaN or +inf among "
            f"their logits, the first is row {int(p.rows[missing[0]])}. For the others: p.take(p.answered)."
        )


def look_like_probabilities(values: Float[Tensor, "n k"]) -> bool:
    """Whether every row with an answer is in [0, 1] and sums to 1, so that these can hardly be logits.

    Example:
        >>> look_like_probabilities(torch.tensor([[0.9, 0.1]])), look_like_probabilities(torch.tensor([[2.0, 0.0]]))
        (True, False)
    """
    rows = values[(values < torch.inf).all(-1)].double()
    return len(rows) > 0 and bool(rows.min() >= 0) and bool(((rows.sum(-1) - 1).abs() < _TOLERANCE).all())


def _check_log_p(log_p: Tensor, caller: str) -> Bool[Tensor, " n"]:
    """Check the type, the shape and the sums; return which rows are answers."""
    _check_shape(log_p, caller, "log-probabilities")
    answered = (log_p < torch.inf).all(-1)
    total = log_p[answered].double().exp().sum(-1)
    # The rounding of a logarithm of size ln K, which matters in 16 bits only.
    rounding = torch.finfo(log_p.dtype).eps * max(1.0, torch.tensor(float(log_p.shape[1])).log().item())
    if len(total) and (total - 1).abs().max() > max(_TOLERANCE, rounding):
        worst = float(total[(total - 1).abs().argmax()])
        if look_like_probabilities(log_p):
            hint = "These are probabilities: pass their logarithm"
        else:
            hint = "Pass f.log_p, not f.logits; logits of your own: predictions_from_logits(logits, y)"
        raise ArgumentError(f"{caller} needs log-probabilities; rows sum to {worst:.4g}, not 1. {hint}.")
    return answered


def _check_shape(values: Tensor, caller: str, what: str) -> None:
    if values.ndim != 2 or not values.is_floating_point():
        raise ArgumentError(
            f"{caller} needs {what} as floats of shape (n, k); "
            f"got {values.dtype} of shape {tuple(values.shape)}. Pass f.log_p."
        )
    if values.numel() == 0:
        raise ArgumentError(f"{caller} needs at least one example and one class; got shape {tuple(values.shape)}.")


def _with_labels(
    log_p: Tensor, answered: Bool[Tensor, " n"], labels: ArrayLike, given_rows: ArrayLike | None, caller: str
) -> Predictions:
    n, k = log_p.shape
    y = as_tensor(labels, "y")
    rows = torch.arange(n) if given_rows is None else as_tensor(given_rows, "rows")
    for name, column in (("y", y), ("rows", rows)):
        if name == "y" and n > 1 and column.shape == (n, k):
            raise ArgumentError(
                f"{caller} needs class indices in y, shape ({n},); got shape ({n}, {k}). "
                "If y is one-hot, pass y.argmax(-1)."
            )
        if column.dtype not in INTEGER_DTYPES:
            raise ArgumentError(f"{caller} needs whole numbers in {name}; got {column.dtype}. Pass {name}.long().")
        if column.shape != (n,):
            raise ArgumentError(
                f"{caller} needs one entry of {name} per row of log_p, shape ({n},); got shape {tuple(column.shape)}."
            )
    if y.min() < 0 or y.max() >= k:
        raise ArgumentError(
            f"{caller} needs class indices from 0 to {k - 1} for {k} columns of log_p; "
            f"y ranges from {int(y.min())} to {int(y.max())}.{_shift_hint(y, k)}"
        )
    if not answered.all():
        log_p = log_p.masked_fill(~answered[:, None], torch.nan)
    return Predictions(log_p, y.long().to(log_p.device), rows.long().to(log_p.device))


def _check_type(p: Any) -> Predictions:
    if not isinstance(p, Predictions):
        raise ValueError(f"needs Predictions, not {type(p).__name__}; make them with predictions(log_p, y)")
    if len(p.y) == 0:
        raise ValueError("needs at least one example, but the split is empty; hold out images (`data.validation=0.1`)")
    return p


def _shift_hint(y: Tensor, classes: int) -> str:
    """What to do if labels are those of the classes, but begin at another number."""
    first = int(y.min())
    if first in (-1, 1) and int(y.max()) - first < classes:
        return f" If the first class is {first}, pass y {'+' if first < 0 else '-'} 1."
    return ""
