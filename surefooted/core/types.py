"""The values that everything exchanges: labelled inputs, forward passes of a victim, and scores per example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, log
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.finite import has_answer
from surefooted.errors import ArgumentError, DataError

# An image that was normalised and scaled back is outside the box by about this much.
_PIXEL_ROUNDING = 1e-6
INTEGER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)


class Points(NamedTuple):
    """Inputs with their labels and their rows in the data set.

    Attributes:
        x: (B, ...) floats in [0, 1].
        y: (B,) class indices.
        rows: (B,) indices in the data set. They key every random draw, so results do not depend on the batch.

    Example:
        >>> points = Points(torch.rand(5, 1, 8, 8), torch.arange(5), torch.arange(5))
        >>> points.take(slice(2)).x.shape
        torch.Size([2, 1, 8, 8])
    """

    x: Float[Tensor, "b *d"]
    y: Int[Tensor, " b"]
    rows: Int[Tensor, " b"]

    def take(self, rows: Int[Tensor, " n"] | Bool[Tensor, " b"] | slice) -> Points:
        """A part of the points, by indices, by a mask or by a slice."""
        return Points(self.x[rows], self.y[rows], self.rows[rows])

    def to(self, device: torch.device | str) -> Points:
        """The points on another device.

        The copy to a device does not block. The copy back to the host does, so that no value is read too early.
        """
        return Points(*(t.to(device, non_blocking=t.device.type == "cpu") for t in self))


def as_points(x: ArrayLike, y: ArrayLike, rows: ArrayLike | None = None) -> Points:
    """Images and labels as points. Tensors stay as they are; NumPy arrays and lists become tensors, floats float32.

    Args:
        x: (B, ...) floats in [0, 1], in the layout that the model takes.
        y: (B,) class indices.
        rows: (B,) indices in the data set; 0 to B − 1 by default.

    Raises:
        ArgumentError: if there is not one image, one class index and one row per example.

    Example:
        >>> as_points([[0.5, 0.1], [0.2, 0.3]], [0, 1]).rows
        tensor([0, 1])
    """
    images = as_tensor(x, "x")
    if images.dtype == torch.float64 and not isinstance(x, Tensor):  # NumPy's and Python's own precision
        images = images.float()
    given_rows = torch.arange(len(images) if images.ndim else 0) if rows is None else as_tensor(rows, "rows")
    points = Points(images, as_tensor(y, "y"), given_rows)
    check_points(points)
    return points


def check_points(points: object) -> None:
    """Check that there is one image, one class index and one row per example.

    Raises:
        ArgumentError: if not.

    Example:
        >>> check_points(Points(torch.rand(2, 1, 8, 8), torch.tensor([0, 1]), torch.arange(2)))
    """
    if not isinstance(points, Points):
        raise ArgumentError(
            "Expected Images (such as data.test) or Points(x, y, rows) with pixels, class indices and rows; "
            f"got {type(points).__name__}. Pass images with their labels: (x, y)."
        )
    x = points.x
    if not isinstance(x, Tensor) or x.ndim < 2 or not x.is_floating_point():
        whole = isinstance(x, Tensor) and x.dtype in INTEGER_DTYPES and x.ndim > 1
        hint = " Divide it by 255, or pass it through sf.arrays." if whole else ""
        raise ArgumentError(
            f"x of these points is {_describe(x)}; expected a float tensor with one image per row.{hint}"
        )
    for name, column in (("y", points.y), ("rows", points.rows)):
        if not isinstance(column, Tensor) or column.shape != x.shape[:1] or column.dtype not in INTEGER_DTYPES:
            raise ArgumentError(
                f"{name} of these points is {_describe(column)}; expected a whole number for each of {len(x)} images."
            )


def check_pixels(x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
    """Check that all pixels are finite and in [0, 1], and clamp those that are outside by rounding: at most 1e-6.

    Returns:
        The pixels in [0, 1]; ``x`` itself if nothing had to be clamped.

    Raises:
        DataError: if pixels are not finite, or farther outside.

    Example:
        >>> check_pixels(torch.tensor([[-3e-8, 0.5, 1.0000001]])).tolist()
        [[0.0, 0.5, 1.0]]
    """
    low, high = (float(v) for v in torch.aminmax(x))
    if low >= 0 and high <= 1:
        return x
    if not (low >= -_PIXEL_ROUNDING and high <= 1 + _PIXEL_ROUNDING):  # also for NaN: every comparison is false
        hint = "divide by 255" if high > 2 else "scale them; normalisation belongs inside the model (`mean`, `std`)"
        raise DataError(f"Pixel values range from {low:g} to {high:g}, not from 0 to 1; {hint}.")
    return x.clamp(0, 1)


def _describe(value: object) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


@dataclass(frozen=True, eq=False)
class Forward:
    """The outputs of a victim for a batch, with the targets.

    Attributes:
        logits: (S, B, K), one slice per sample of the model: S = 1 for a plain network, the number of members for an
            ensemble, the number of masks for MC dropout.
        target: (B,) class indices, or (B, K) distributions over the classes.
        clean: the logits at the unperturbed points; None if no score needs them.

    Example:
        >>> f = Forward(torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]]), torch.tensor([0]))
        >>> f.log_p.exp()
        tensor([[0.5000, 0.5000]])
    """

    logits: Float[Tensor, "s b k"]
    target: Int[Tensor, " b"] | Float[Tensor, "b k"]
    clean: Float[Tensor, "s b k"] | None = None

    @cached_property
    def log_p(self) -> Float[Tensor, "b k"]:
        """Logarithm of the mean prediction. If S = 1, its differences are differences of logits."""
        return log_mean_softmax(self.logits)

    @cached_property
    def label(self) -> Int[Tensor, " b"]:
        """The class of the target; the most likely one if the target is a distribution."""
        return self.target if self.target.ndim == 1 else self.target.argmax(-1)

    @cached_property
    def class_scores(self) -> Float[Tensor, "b k"]:
        """What the predicted class is read from, without a gradient; see ``class_scores``."""
        return class_scores(self.logits.detach())

    @cached_property
    def answered(self) -> Bool[Tensor, " b"]:
        """True where the mean prediction is an answer; see ``core.finite``."""
        return has_answer(self.class_scores)

    def at_clean(self) -> Forward:
        """The forward pass at the unperturbed points."""
        if self.clean is None:
            raise ValueError("This forward pass has no clean logits; declare the score with uses_clean=True.")
        return Forward(self.clean, self.target, self.clean)


def log_mean_softmax(logits: Float[Tensor, "s b k"]) -> Float[Tensor, "b k"]:
    """Logarithm of the mean over the samples of the predicted probabilities.

    Example:
        >>> log_mean_softmax(torch.zeros(3, 2, 4)).exp()[0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    log_p = logits.log_softmax(-1)
    return log_p[0] if len(log_p) == 1 else log_p.logsumexp(0) - log(len(log_p))


def class_scores(logits: Float[Tensor, "s b k"]) -> Float[Tensor, "b k"]:
    """Numbers whose largest is at the predicted class: the one rule for attacks, predictions and metrics.

    For a single sample they are its logits: log-probabilities in float32 merge logits that differ by less than their
    rounding, 2e-7 for ten classes. For several they are the logarithm of the mean prediction. Of equal classes the
    first one counts.

    Example:
        >>> logits = torch.tensor([[[0.0, 1e-9]]])
        >>> class_scores(logits).argmax(-1), log_mean_softmax(logits).argmax(-1)
        (tensor([1]), tensor([0]))
    """
    return logits[0] if len(logits) == 1 else log_mean_softmax(logits)


def predictive_log_p(logits: Float[Tensor, "s b k"]) -> Float[Tensor, "b k"]:
    """Logarithm of the mean prediction, whose largest entry is at the class of ``class_scores``.

    Where rounding has merged that class with others, its log-probability is raised by one rounding step.

    Example:
        >>> predictive_log_p(torch.tensor([[[0.0, 1e-9]]])).argmax(-1)
        tensor([1])
    """
    log_p, predicted = log_mean_softmax(logits), class_scores(logits).argmax(-1, keepdim=True)
    above = torch.nextafter(log_p.amax(-1, keepdim=True), torch.full_like(log_p[:, :1], inf))
    merged = log_p.argmax(-1, keepdim=True) != predicted
    return torch.where(merged, log_p.scatter(-1, predicted, above), log_p)


@dataclass(frozen=True)
class Score(Component):
    """A number per example, computed from a forward pass: a training loss, an attack's objective or a detection score.

    Scores can be added, subtracted and scaled: ``cross_entropy() - 2 * entropy()`` is the loss of EntM. Of named scores
    the result has a spec, too: that formula, in which every argument is written out.

    Attributes:
        evaluate: the function of the forward pass, differentiable in its logits.
        name: the formula.
        uses_clean: whether it reads ``Forward.clean``; only then is the clean forward pass run.
        epistemic: whether it measures how the samples of a prediction differ. It is constant for a single sample.
        terms: for a weighted sum, the weights and the scores.
        ascent: what an attack raises in its place: equal to it but where float32 leaves it without a gradient. None if
            there is no such place.

    Example:
        >>> import surefooted as sf
        >>> loss = sf.scores.cross_entropy() - 2 * sf.scores.entropy()
        >>> loss.name, loss.spec.name
        ('CE - 2 H', 'cross_entropy() - 2.0 * entropy()')
        >>> loss(Forward(torch.zeros(1, 3, 10), torch.tensor([0, 1, 2]))).shape
        torch.Size([3])
    """

    kind = "score"

    evaluate: Callable[[Forward], Float[Tensor, " b"]]
    name: str = ""
    uses_clean: bool = False
    epistemic: bool = False
    terms: tuple[tuple[float, Score], ...] = field(default=(), compare=False, repr=False)
    ascent: Callable[[Forward], Float[Tensor, " b"]] | None = None
    spec: Spec | None = field(default=None, init=False, compare=False, repr=False)

    def __call__(self, f: Forward) -> Float[Tensor, " b"]:
        return self.evaluate(f)

    def __repr__(self) -> str:
        return f"Score({self.spec or self.name})"

    @property
    def called(self) -> str:
        """The name of the function that made it; the formula if no registered function did."""
        return self.spec.name if self.spec else self.name

    def __add__(self, other: Score) -> Score:
        if not isinstance(other, Score):
            return NotImplemented
        return _weighted_sum((*self._as_terms(), *other._as_terms()))

    def __sub__(self, other: Score) -> Score:
        if not isinstance(other, Score):
            return NotImplemented
        return self + (-1) * other

    def __neg__(self) -> Score:
        return -1 * self

    def __mul__(self, scale: float) -> Score:
        if not isinstance(scale, int | float):
            raise TypeError(f"A score can be multiplied by a number only; got {type(scale).__name__}.")
        return _weighted_sum(tuple((scale * weight, term) for weight, term in self._as_terms()))

    __rmul__ = __mul__

    def _as_terms(self) -> tuple[tuple[float, Score], ...]:
        """Its weights and scores if it is a sum without a name of its own, else itself."""
        is_named = self.spec is not None and self.spec.name != formula_text(self.terms)
        return self.terms if self.terms and not is_named else ((1.0, self),)


def formula_text(terms: tuple[tuple[float, Score], ...]) -> str:
    """The formula of a weighted sum of named scores, which ``core.formulas`` reads; empty if one has no name.

    Example:
        >>> import surefooted as sf
        >>> formula_text(((1.0, sf.scores.entropy()), (-0.5, sf.scores.smoothed_cross_entropy())))
        'entropy() - 0.5 * smoothed_cross_entropy(gamma=0.1)'
    """
    if not terms or any(term.spec is None for _, term in terms):
        return ""
    return _join([(weight, _call_text(term.spec.json())) for weight, term in terms if term.spec], " * ")


def _weighted_sum(terms: tuple[tuple[float, Score], ...]) -> Score:
    """Σ w · term, in the order of the terms."""
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]

    def evaluate(f: Forward) -> Tensor:
        total: Tensor | None = None
        for weight, term in terms:
            value = term.evaluate(f) if weight == 1 else weight * term.evaluate(f)
            total = value if total is None else total + value
        assert total is not None
        return total

    name = _join([(weight, term.name) for weight, term in terms], " ", digits="g")
    uses_clean, epistemic = any(t.uses_clean for _, t in terms), all(t.epistemic for _, t in terms)
    score = Score(evaluate, name, uses_clean, epistemic, terms)
    if formula := formula_text(terms):
        versions = [version for _, term in terms if term.spec for version in _versions(term.spec.json())]
        version = 1 if set(versions) == {"1"} else ".".join(versions)
        object.__setattr__(score, "spec", Spec(formula, {}, version))
    return score


def _join(terms: list[tuple[float, str]], times: str, digits: str = "") -> str:
    """Weighted terms with their signs."""
    text = ""
    for weight, term in terms:
        size = (
            "" if abs(weight) == 1 else f"{abs(weight):{digits}}{times}" if digits else f"{abs(float(weight))}{times}"
        )
        sign = ("-" if weight < 0 else "") if not text else " - " if weight < 0 else " + "
        text += f"{sign}{size}{term}"
    return text


def _call_text(spec: dict[str, Any]) -> str:
    """The call that a spec describes, without versions."""
    ((name, arguments),) = spec.items()
    values = [
        f"{key}={_call_text(value) if isinstance(value, dict) else repr(value)}" for key, value in arguments.items()
    ]
    if name.partition("@")[0].isidentifier():
        return f"{name.partition('@')[0]}({', '.join(values)})"
    return f"code({', '.join([repr(name), *values])})" if ":" in name.partition("(")[0] else name.partition("@")[0]


def _versions(spec: dict[str, Any]) -> list[str]:
    """The versions of a component and of those among its arguments; of code none, since its name has its hash."""
    ((name, arguments),) = spec.items()
    inner = [version for value in arguments.values() if isinstance(value, dict) for version in _versions(value)]
    return [*([] if ":" in name.partition("(")[0] else [name.partition("@")[2] or "1"]), *inner]
