"""The values that everything exchanges: points, what a victim said of them, and a number per example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import log
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.errors import InputError


class Points(NamedTuple):
    """Inputs in [0, 1] with their labels and their rows in the data set (the rows key every random draw)."""

    x: Float[Tensor, "b *d"]
    y: Int[Tensor, " b"]
    rows: Int[Tensor, " b"]

    def take(self, rows: Int[Tensor, " n"] | Bool[Tensor, " b"] | slice) -> Points:
        return Points(self.x[rows], self.y[rows], self.rows[rows])

    def to(self, device: torch.device | str) -> Points:
        """On a device. Only the way from the host is not waited for: what comes back would be read too early."""
        return Points(*(t.to(device, non_blocking=t.device.type == "cpu") for t in self))


INTEGER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)


def check_points(points: object) -> None:
    """Refuse what is not one image, one class and one row an example."""
    if not isinstance(points, Points):
        raise InputError(
            f"images come as Images (data.test) or as Points(x, y, rows), pixels, classes and row numbers; got "
            f"{type(points).__name__}. Write Points(x, y, torch.arange(len(x)))."
        )
    x = points.x
    if not isinstance(x, Tensor) or x.ndim < 2 or not x.is_floating_point():
        raise InputError(f"x of these points is {_seen(x)}; expected floating-point numbers, an image a row.")
    for name, column in (("y", points.y), ("rows", points.rows)):
        if not isinstance(column, Tensor) or column.shape != x.shape[:1] or column.dtype not in INTEGER_DTYPES:
            raise InputError(
                f"{name} of these points is {_seen(column)}; expected a whole number for each of {len(x)} images."
            )


def _seen(value: object) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def check_pixels(x: Tensor) -> None:
    """Refuse images that are not finite numbers in [0, 1]."""
    low, high = (float(v) for v in torch.aminmax(x))
    if not (low >= 0 and high <= 1):  # also catches NaN, which compares false
        cure = "divide by 255" if high > 2 else "scale them; a normalisation belongs inside the model (--mean, --std)"
        raise InputError(f"images go from {low:g} to {high:g}, not from 0 to 1; {cure}.")


@dataclass(frozen=True, eq=False)
class Forward:
    """What a victim said about a batch.

    Attributes:
        logits: one slice per sample of the model: S = 1 for a plain network, M for an ensemble, T for dropout masks.
        target: class indices, or a distribution over the classes.
        clean: the logits at the unperturbed points, where a score asks for them.
    """

    logits: Float[Tensor, "s b k"]
    target: Int[Tensor, " b"] | Float[Tensor, "b k"]
    clean: Float[Tensor, "s b k"] | None = None

    @cached_property
    def log_p(self) -> Float[Tensor, "b k"]:
        """Logarithm of the mean prediction. Differences of it are differences of logits when S = 1."""
        return log_mean_softmax(self.logits)

    @cached_property
    def label(self) -> Int[Tensor, " b"]:
        """The class that the target names, or holds most likely."""
        return self.target if self.target.ndim == 1 else self.target.argmax(-1)

    def at_clean(self) -> Forward:
        """The forward pass of the unperturbed points, as if it were the one asked about."""
        if self.clean is None:
            raise ValueError("this forward pass carries no clean logits; declare the score with uses_clean=True")
        return Forward(self.clean, self.target, self.clean)


def log_mean_softmax(logits: Float[Tensor, "s b k"]) -> Float[Tensor, "b k"]:
    log_p = logits.log_softmax(-1)
    return log_p[0] if len(log_p) == 1 else log_p.logsumexp(0) - log(len(log_p))


@dataclass(frozen=True)
class Score(Component):
    """A number per example, read off a forward pass: what training lowers, an attack raises, or a detector ranks by.

    Scores add, subtract and scale: ``cross_entropy - 2 * entropy`` is the loss of EntM.

    Attributes:
        evaluate: the function of the forward pass, differentiable in its logits.
        uses_clean: whether it reads ``Forward.clean``; only then is the clean pass run.
        epistemic: whether it is the same for any prediction of a single sample: what only several can tell.
    """

    kind = "score"

    evaluate: Callable[[Forward], Float[Tensor, " b"]]
    name: str = ""
    uses_clean: bool = False
    epistemic: bool = False
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(self, f: Forward) -> Float[Tensor, " b"]:
        return self.evaluate(f)

    @property
    def called(self) -> str:
        """By its function's name where one made it, else by its formula."""
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
            raise TypeError(f"a score is scaled by a number; got {type(scale).__name__}")
        return Score(lambda f: scale * self.evaluate(f), f"{scale:g} ({self.name})", self.uses_clean, self.epistemic)

    __rmul__ = __mul__
