"""The values that everything exchanges: labelled inputs, forward passes of a victim, and scores per example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, log
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.components.component import Component, Spec
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
            f"got {type(points).__name__}. Write Points(x, y, torch.arange(len(x)))."
        )
    x = points.x
    if not isinstance(x, Tensor) or x.ndim < 2 or not x.is_floating_point():
        raise ArgumentError(f"x of these points is {_describe(x)}; expected a float tensor with one image per row.")
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

    Scores can be added, subtracted and scaled: ``cross_entropy() - 2 * entropy()`` is the loss of EntM.

    Attributes:
        evaluate: the function of the forward pass, differentiable in its logits.
        name: the formula.
        uses_clean: whether it reads ``Forward.clean``; only then is the clean forward pass run.
        epistemic: whether it measures how the samples of a prediction differ. It is constant for a single sample.
        ascent: what an attack raises in its place: equal to it but where float32 leaves it without a gradient. None if
            there is no such place.

    Example:
        >>> import surefooted as sf
        >>> loss = sf.scores.cross_entropy() - 2 * sf.scores.entropy()
        >>> loss.name
        'CE + -1 (2 (H))'
        >>> loss(Forward(torch.zeros(1, 3, 10), torch.tensor([0, 1, 2]))).shape
        torch.Size([3])
    """

    kind = "score"

    evaluate: Callable[[Forward], Float[Tensor, " b"]]
    name: str = ""
    uses_clean: bool = False
    epistemic: bool = False
    ascent: Callable[[Forward], Float[Tensor, " b"]] | None = None
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(self, f: Forward) -> Float[Tensor, " b"]:
        return self.evaluate(f)

    def __repr__(self) -> str:
        return f"Score({self.spec or self.name})"

    @property
    def called(self) -> str:
        """The name of the function that made it; the formula if no registered function did."""
        return self.spec.name if self.spec else self.name

    def __add__(self, other: Score) -> Score:
        return Score(
            lambda f: self.evaluate(f) + other.evaluate(f),
            f"{self.name} + {other.name}",
            self.uses_clean or other.uses_clean,
            self.epistemic and other.epistemic,
        )

    def __sub__(self, other: Score) -> Score:
        return self + (-1) * other

    def __mul__(self, scale: float) -> Score:
        if not isinstance(scale, int | float):
            raise TypeError(f"A score can be multiplied by a number only; got {type(scale).__name__}.")
        return Score(lambda f: scale * self.evaluate(f), f"{scale:g} ({self.name})", self.uses_clean, self.epistemic)

    __rmul__ = __mul__
