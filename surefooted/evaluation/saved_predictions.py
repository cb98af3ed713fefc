"""Outputs that were saved elsewhere as ``Predictions``: which kind of numbers they are, and which class a label means.

Logits, probabilities and log-probabilities are told apart by the name that they were saved under or by their values,
never silently: what was read, and why, is kept. Values that could be either are refused. A predicted class with its
confidence is enough for the metrics that read nothing else.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import ArgumentError, DataError, DataNotice

OutputKind = Literal["logits", "probabilities", "log_probabilities", "labels"]

_ROUNDING = 1e-3  # of the sum of a row's probabilities, as in ``Predictions``
_LARGEST_CORRECTION = 0.02  # sums further from 1 are no rounding
_MOST_STAND_INS = 1000  # classes that share what a confidence leaves


@dataclass(frozen=True, eq=False)
class SavedPredictions:
    """Predictions, and how they were read.

    Attributes:
        p: the predictions. If only confidences were saved, they are stand-ins that ``Predictions.top`` reads rightly:
            class 0 is the true one, and what a confidence leaves is spread evenly.
        outputs: what the numbers were read as.
        reason: why they were read as that.
        labels: (N,) true labels as they were saved, numbers or text.
        ids: (N,) names of the rows, by which two files are paired; None if there are none.
        name: of the file, for messages and titles.
    """

    p: Predictions
    outputs: OutputKind
    reason: str
    labels: np.ndarray
    ids: np.ndarray | None = None
    name: str = "predictions"

    @property
    def confidence_only(self) -> bool:
        """Whether the probabilities of classes that were not predicted are unknown."""
        return self.outputs == "labels"


def read_outputs(
    values: ArrayLike,
    y: ArrayLike,
    *,
    outputs: str = "auto",
    confidence: ArrayLike | None = None,
    classes: tuple[str, ...] = (),
    ids: ArrayLike | None = None,
    stated: tuple[OutputKind, str] | None = None,
    name: str = "predictions",
) -> SavedPredictions:
    """Read the outputs of a classifier, whatever they are.

    Args:
        values: (N, K) logits, probabilities or log-probabilities; (N,) or (N, 1) for two classes, of the second one; or
            (N,) predicted labels, with `confidence`.
        y: (N,) labels: class indices, names of `classes`, or one-hot rows.
        outputs: ``logits``, ``probabilities``, ``log_probabilities``, ``labels``, or ``auto``: what their name states,
            else what the values look like.
        confidence: (N,) probability of the predicted label.
        classes: names of the K classes in the order of the columns, if labels are names.
        ids: (N,) names of the rows; equal ones are views of one example.
        stated: the kind that the name of the values states, and that name.
        name: of the file, for messages.

    Raises:
        DataError: if the values cannot be used as what they are said to be, or may be several things.
        ArgumentError: if `outputs` is unknown.

    Example:
        >>> read_outputs([[0.9, 0.1], [0.4, 0.6]], [0, 1]).reason
        'every row is in [0, 1] and sums to 1'
        >>> read_outputs([[2.0, -1.0], [0.5, 0.6]], [0, 1]).outputs
        'logits'
        >>> read_outputs(["cat", "dog"], ["cat", "cat"], confidence=[0.9, 0.8]).p.top()[1].tolist()
        [1.0, 0.0]
    """
    if outputs not in ("auto", *get_args(OutputKind)):
        known = ", ".join(("auto", *get_args(OutputKind)))
        raise ArgumentError(f"`outputs` is {outputs!r}; expected one of {known}.")
    rows = None if ids is None else _rows(ids, name)
    if confidence is not None or outputs == "labels":
        if outputs not in ("auto", "labels"):
            raise ArgumentError(
                f"A confidence goes with predicted labels, but `outputs` is {outputs!r}. Leave one out."
            )
        return _from_confidence(values, y, confidence, ids, rows, name)
    numbers, rounding = _numbers(values, name)
    kind, reason = _choose_kind(numbers, rounding, outputs, stated, name)
    log_p = _log_probabilities(numbers, rounding, kind, name)
    labels = _flat(y, f"labels of {name}", columns=log_p.shape[1])
    index = _class_indices(labels, log_p.shape[1], classes, name)
    p = predictions(log_p, index, rows)
    return SavedPredictions(p, kind, reason, labels, _as_ids(ids), name)


def pair_rows(first: SavedPredictions, second: SavedPredictions) -> tuple[Predictions, Predictions]:
    """The predictions of two files for the same rows in the same order.

    If both have names of rows, the second is put in the order of the first; otherwise they are paired by position, with
    a notice if one of them has names other than 0, 1, ... If one of them has confidences only, so have both in what is
    returned.

    Raises:
        DataError: if they have different rows, or different labels.

    Example:
        >>> first = read_outputs([[2.0, -1.0], [0.5, 0.9]], [0, 1], ids=["a", "b"])
        >>> second = read_outputs([[0.0, 1.0], [3.0, 0.0]], [1, 0], ids=["b", "a"])
        >>> pair_rows(first, second)[1].log_p.argmax(-1).tolist()
        [0, 1]
    """
    order = _matching_order(first, second)
    labels = second.labels[order]
    same = _as_text(first.labels) == _as_text(labels)
    if not same.all():
        row = int(np.flatnonzero(~same)[0])
        raise DataError(
            f"{first.name} and {second.name} have different labels in {int((~same).sum())} of {len(same)} rows; the "
            f"first is row {row}, {first.labels[row]} against {labels[row]}. Were they saved for the same images, in "
            "the same order? A column `id` in both pairs rows by name."
        )
    p, q = first.p, second.p.take(torch.from_numpy(order))._replace(rows=first.p.rows)
    if first.confidence_only or second.confidence_only:
        tops = [one.top() for one in (p, q)]
        columns = max(_stand_ins(confidence, max(p.log_p.shape[1], q.log_p.shape[1]), "") for confidence, _ in tops)
        p, q = (_confidence_predictions(*top, one.answered, p.rows, columns) for top, one in zip(tops, (p, q)))
    if p.log_p.shape != q.log_p.shape:
        raise DataError(
            f"{first.name} has {p.log_p.shape[1]} classes, {second.name} {q.log_p.shape[1]}; expected the same."
        )
    return p, q


def _matching_order(first: SavedPredictions, second: SavedPredictions) -> np.ndarray:
    """The row of the second for each row of the first."""
    if first.ids is None or second.ids is None:
        if (n := len(first.labels)) != (m := len(second.labels)):
            raise DataError(
                f"{first.name} has {n} rows, {second.name} {m}; expected the same rows, or a column `id` in both, by "
                "which to pair them."
            )
        named, other = (second, first) if first.ids is None else (first, second)
        if named.ids is not None and (_as_text(named.ids) != np.arange(n).astype(str)).any():
            warnings.warn(
                f"{named.name} has ids of its rows, {other.name} has none: rows are paired by position. Save the ids "
                "with both to pair them by name.",
                DataNotice,
                stacklevel=4,
            )
        return np.arange(n)
    own, others = _as_text(first.ids), _as_text(second.ids)
    if len(own) == len(others) and (own == others).all():
        return np.arange(len(own))
    only = np.setdiff1d(own, others), np.setdiff1d(others, own)
    if len(only[0]) or len(only[1]):
        parts = [
            f"{len(ids)} rows of {one.name} are not in {other.name}, such as {str(ids[0])!r}"
            for ids, one, other in zip(only, (first, second), (second, first))
            if len(ids)
        ]
        raise DataError(f"{'; '.join(parts)}. Save both for the same rows.")
    if len(np.unique(own)) < len(own) or len(np.unique(others)) < len(others):
        raise DataError(
            f"Rows of {first.name} or {second.name} share an id, and the order differs; they cannot be paired. Save "
            "both in the same order, or give every row its own id."
        )
    place = np.argsort(others, kind="stable")
    return place[np.searchsorted(others[place], own)]


def _numbers(values: ArrayLike, name: str) -> tuple[Float[Tensor, "n _"], float]:
    """The outputs as floats with a column per class, or one column; and how exactly probabilities sum to 1."""
    numbers = as_tensor(values, "predictions")
    if numbers.ndim == 1 and len(numbers):
        numbers = numbers[:, None]
    if numbers.ndim != 2 or numbers.numel() == 0:
        raise DataError(
            f"{name} has outputs of shape {tuple(numbers.shape)}; expected (n, classes), with at least one row."
        )
    if numbers.dtype == torch.bool or (not numbers.is_floating_point() and numbers.shape[1] == 1):
        raise DataError(
            f"{name} has one whole number per row, {numbers.dtype}: these are predicted labels. Calibration needs the "
            "probability of the predicted label too: `confidence`, or logits or probabilities of all classes."
        )
    if not numbers.is_floating_point():
        return numbers.double(), _ROUNDING
    rounding = max(_ROUNDING, torch.finfo(numbers.dtype).eps)
    return (numbers.float() if numbers.dtype.itemsize == 2 else numbers), rounding


def _choose_kind(
    numbers: Float[Tensor, "n k"], rounding: float, outputs: str, stated: tuple[OutputKind, str] | None, name: str
) -> tuple[OutputKind, str]:
    """What the numbers are, and why; refused if they cannot be what they are said to be."""
    seen = _kind_by_values(numbers, rounding)
    if outputs != "auto":
        chosen: OutputKind = outputs  # type: ignore[assignment]
        if chosen == "logits" and seen == "probabilities" and numbers.shape[1] > 1:
            warnings.warn(
                f"The outputs of {name} are read as logits, as `outputs` says, but every row is in [0, 1] and sums to "
                "1.",
                DataNotice,
                stacklevel=4,
            )
        return chosen, "as `outputs` says"
    if stated:
        if stated[0] == "logits" and seen == "probabilities" and numbers.shape[1] > 1:
            raise DataError(
                f"{name} names its outputs {stated[1]}, but every row is in [0, 1] and sums to 1. Set "
                "`outputs=probabilities`, or `outputs=logits` if they are logits all the same."
            )
        return stated[0], f"they are named {stated[1]}"
    if seen == "probabilities":
        column = "every row is in [0, 1] and sums to 1" if numbers.shape[1] > 1 else "every one is in [0, 1]"
        return seen, column
    if seen:
        return seen, "every row is at most 0 and its exponentials sum to 1"
    rows = _finite(numbers)
    if len(rows) and rows.min() >= 0 and rows.max() <= 1:
        sums = rows.double().sum(-1)
        raise DataError(
            f"The outputs of {name} are in [0, 1], but rows sum to between {float(sums.min()):.4g} and "
            f"{float(sums.max()):.4g}: they are no probabilities of exclusive classes, and unlikely logits. If they "
            "are logits, set `outputs=logits`; sigmoid outputs have to be normalised first."
        )
    return "logits", "they are no probabilities and no log-probabilities"


def _kind_by_values(numbers: Float[Tensor, "n k"], rounding: float) -> OutputKind | None:
    """``probabilities`` or ``log_probabilities`` if all rows can be that, else None. One column: probabilities only."""
    rows = _finite(numbers).double()
    if not len(rows):
        return None
    if rows.shape[1] == 1:
        return "probabilities" if rows.min() >= 0 and rows.max() <= 1 else None
    if rows.min() >= 0 and ((rows.sum(-1) - 1).abs() < rounding).all():
        return "probabilities"
    if rows.max() <= 1e-6 and ((rows.exp().sum(-1) - 1).abs() < rounding).all():
        return "log_probabilities"
    return None


def _finite(numbers: Float[Tensor, "n k"]) -> Float[Tensor, "m k"]:
    """Rows without NaN and +inf."""
    return numbers[(numbers < torch.inf).all(-1)]


def _log_probabilities(
    numbers: Float[Tensor, "n _"], rounding: float, kind: OutputKind, name: str
) -> Float[Tensor, "n k"]:
    """Log-probabilities of at least two classes; NaN in rows without an answer."""
    answered = (numbers < torch.inf).all(-1)
    if numbers.shape[1] == 1:  # the second of two classes
        other = {"logits": torch.zeros_like(numbers), "probabilities": 1 - numbers}.get(kind)
        if other is None:
            raise DataError(f"{name} has one column of log-probabilities; expected one per class.")
        numbers = torch.cat([other, numbers], 1)
    if kind == "logits":
        return numbers.log_softmax(-1)
    p = numbers.double() if kind == "probabilities" else numbers.double().exp()
    known = p[answered]
    if len(known) and (known.min() < -1e-6 or (kind == "probabilities" and known.max() > 1 + 1e-3)):
        scale = "Divide per cent by 100. " if known.min() >= 0 and 1.5 < known.max() <= 100 else ""
        raise DataError(
            f"The probabilities of {name} range from {float(known.min()):.4g} to {float(known.max()):.4g}; expected "
            f"[0, 1]. {scale}If they are logits, set `outputs=logits`."
        )
    total = p.clamp(min=0).sum(-1)
    error = torch.where(answered, (total - 1).abs(), 0)
    if error.max() > _LARGEST_CORRECTION:
        row = int(error.argmax())
        raise DataError(
            f"The {kind.replace('_', '-')} of {name} sum to {float(total[row]):.4g} in row {row}, not to 1. If they "
            "are logits, set `outputs=logits`; sigmoid outputs have to be normalised first."
        )
    if error.max() > rounding:
        warnings.warn(
            f"Probabilities of {name} sum to 1 only within {float(error.max()):.2g}: "
            f"{int((error > rounding).sum())} of {len(error)} rows were divided by their sum.",
            DataNotice,
            stacklevel=3,
        )
    log_p = (p.clamp(min=0) / total[:, None]).log() if kind == "probabilities" else numbers.double().log_softmax(-1)
    return log_p.masked_fill(~answered[:, None], torch.nan)


def _from_confidence(
    predicted: ArrayLike,
    y: ArrayLike,
    confidence: ArrayLike | None,
    ids: ArrayLike | None,
    rows: Tensor | None,
    name: str,
) -> SavedPredictions:
    """Stand-ins for predictions of which only the predicted label and its probability are known."""
    if confidence is None:
        raise DataError(f"{name} has predicted labels without their probability; expected `confidence` too.")
    own, labels = _flat(predicted, f"predicted labels of {name}"), _flat(y, f"labels of {name}")
    sure = as_tensor(confidence, "confidence").double()
    if not own.shape == labels.shape == tuple(sure.shape) or not len(labels):
        raise DataError(
            f"{name} has {len(own)} predicted labels, {len(labels)} labels and confidences of shape "
            f"{tuple(sure.shape)}; expected one of each per row."
        )
    answered = sure < torch.inf
    known = sure[answered]
    if len(known) and (known.min() < 0 or known.max() > 1 + 1e-6):
        scale = " Divide per cent by 100." if known.min() >= 0 and known.max() <= 100 else ""
        raise DataError(
            f"The confidences of {name} range from {float(known.min()):.4g} to {float(known.max()):.4g}; expected "
            f"[0, 1].{scale}"
        )
    right = torch.from_numpy(_as_text(own) == _as_text(labels)).double()
    classes = len(np.unique(np.concatenate([_as_text(own), _as_text(labels)])))
    rows = torch.arange(len(labels)) if rows is None else rows
    columns = _stand_ins(known, classes, name)
    p = _confidence_predictions(sure.clamp(max=1), right, answered, rows, columns)
    reason = "there are predicted labels with a confidence"
    return SavedPredictions(predictions(*p), "labels", reason, labels, _as_ids(ids), name)


def _stand_ins(confidence: Float[Tensor, " n"], classes: int, name: str) -> int:
    """How many classes share what a confidence leaves, so that none of them has as much as the predicted one."""
    least = float(confidence.min()) if len(confidence) else 1.0
    columns = max(classes, 2) if least <= 0 else max(classes, 2, int(1 / least) + 2)
    if least <= 0 or columns > max(classes, _MOST_STAND_INS):
        raise DataError(
            f"{name} has a confidence of {least:.4g}, but the most probable of {classes} classes has at least "
            f"{1 / classes:.4g}. Expected the probability of the predicted label."
        )
    return columns


def _confidence_predictions(
    confidence: Float[Tensor, " n"], right: Float[Tensor, " n"], answered: Tensor, rows: Tensor, columns: int
) -> Predictions:
    """Class 0 is the true one; class 1 is predicted where the prediction is wrong."""
    rest = ((1 - confidence) / (columns - 1)).log()
    log_p = rest[:, None].repeat(1, columns)
    log_p.scatter_(1, (1 - right).long()[:, None], confidence.log()[:, None])
    return Predictions(log_p.masked_fill(~answered[:, None], torch.nan), torch.zeros_like(rows), rows)


def _flat(values: ArrayLike, what: str, columns: int = 0) -> np.ndarray:
    """One label per row as numbers or text; one-hot rows become class indices."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype == object and all(isinstance(value, str) for value in array.ravel()):
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise DataError(f"The {what} are {array.dtype}; expected whole numbers or text.")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[1] == columns and array.dtype.kind != "U":
        if not (np.isin(array, (0, 1)).all() and (array.sum(1) == 1).all()):
            raise DataError(f"The {what} have {columns} columns that are not one-hot; expected one label per row.")
        array = array.argmax(1)
    if array.ndim != 1:
        raise DataError(f"The {what} have the shape {array.shape}; expected one label per row.")
    if array.dtype.kind == "f":
        if (bad := np.flatnonzero(~np.isfinite(array) | (array != np.round(array)))).size:
            raise DataError(f"The {what} are no whole numbers: row {bad[0]} is {array[bad[0]]}. Complete or remove it.")
        array = array.astype(np.int64)
    if array.dtype.kind == "U":
        if (bad := np.flatnonzero(np.char.strip(array) == "")).size:
            raise DataError(f"The {what} lack row {bad[0]}. Complete or remove it.")
        return np.char.strip(array)
    return array.astype(np.int64)


def _class_indices(labels: np.ndarray, k: int, classes: tuple[str, ...], name: str) -> Tensor:
    """The column of each label."""
    if labels.dtype.kind == "U":
        text = [label.lstrip("-").isdigit() for label in labels.tolist()]
        if not classes and all(text):
            labels = labels.astype(np.int64)
        elif not classes:
            other = labels[text.index(False)]
            raise DataError(
                f"{name} has labels that are names, such as {str(other)!r}, but does not say which column is which "
                "class. Name the columns by class (prob_cat, prob_dog), or store the names in order as `classes`."
            )
    if labels.dtype.kind == "U" or (classes and not set(map(str, range(k))) >= set(map(str, np.unique(labels)))):
        index = {str(label): column for column, label in enumerate(classes)}
        unknown = [label for label in dict.fromkeys(map(str, labels.tolist())) if label not in index]
        if unknown:
            shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
            raise DataError(f"{name} has the label {unknown[0]!r}; its columns are of the classes {shown}.")
        labels = np.array([index[str(label)] for label in labels.tolist()], np.int64)
    if len(labels) and (labels.min() < 0 or labels.max() >= k):
        low, high = int(labels.min()), int(labels.max())
        hint = " Subtract 1: labels count from 0." if low == 1 and high == k else ""
        raise DataError(
            f"The labels of {name} range from {low} to {high}; expected 0 to {k - 1} for {k} classes.{hint}"
        )
    return torch.from_numpy(labels)


def _rows(ids: ArrayLike, name: str) -> Tensor:
    """A number per row; rows of one id share it."""
    array = _as_ids(ids)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iuU":
        raise DataError(f"The ids of the rows of {name} are no list of whole numbers or text.")
    if array.dtype.kind in "iu":
        return torch.from_numpy(array.astype(np.int64))
    _, first, index = np.unique(array, return_index=True, return_inverse=True)
    return torch.from_numpy(np.argsort(np.argsort(first))[index])


def _as_ids(ids: Any) -> np.ndarray | None:
    if ids is None:
        return None
    array = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
    return array.astype(str) if array.dtype == object else array


def _as_text(values: np.ndarray) -> np.ndarray:
    """Labels or ids in the form in which those of two files are compared."""
    return values.astype(str)
