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

from surefooted.checked import Component, Spec
from surefooted.errors import InputError


class Points(NamedTuple):
    """Inputs in [0, 1] with their labels and their rows in the data set (the rows key every random draw)."""

    x: Float[Tensor, "b *d"]
    y: Int[Tensor, " b"]
    i: Int[Tensor, " b"]

    def take(self, rows: Int[Tensor, " n"] | Bool[Tensor, " b"] | slice) -> Points:
        return Points(self.x[rows], self.y[rows], self.i[rows])

    def to(self, device: torch.device | str) -> Points:
        return Points(*(t.to(device, non_blocking=True) for t in self))


IMAGES = "floating-point numbers, an image a row"
WHOLE = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)


def check_points(points: object) -> None:
    """Refuse what is not one image, one class and one row an example."""
    if not isinstance(points, Points):
        raise InputError(
            f"images come as Images (data.test) or as Points(x, y, i), pixels, classes and row numbers; got "
            f"{type(points).__name__}. Write Points(x, y, torch.arange(len(x)))."
        )
    n = len(points.x) if isinstance(points.x, Tensor) and points.x.ndim else 0
    for name, column in points._asdict().items():
        tensor = isinstance(column, Tensor)
        pixels, expected = name == "x", f"a whole number for each of {n} images"
        if not tensor or not (_are_images(column) if pixels else _are_numbers(column, n)):
            seen = f"{column.dtype} of shape {tuple(column.shape)}" if tensor else type(column).__name__
            raise InputError(f"{name} of these points is {seen}; expected {IMAGES if pixels else expected}.")


def _are_images(x: Tensor) -> bool:
    return x.ndim > 1 and x.is_floating_point()


def _are_numbers(column: Tensor, n: int) -> bool:
    return column.shape == (n,) and column.dtype in WHOLE


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
        of: the function of the forward pass, differentiable in its logits.
        uses_clean: whether it reads ``Forward.clean``; only then is the clean pass run.
        epistemic: whether it is the same for any prediction of a single sample: what only several can tell.
    """

    package = "surefooted.scores"

    of: Callable[[Forward], Float[Tensor, " b"]]
    name: str = ""
    uses_clean: bool = False
    epistemic: bool = False
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(self, f: Forward) -> Float[Tensor, " b"]:
        return self.of(f)

    @property
    def called(self) -> str:
        """By its function's name where one made it, else by its formula."""
        return self.spec.name if self.spec else self.name

    def __add__(self, other: Score) -> Score:
        return Score(
            lambda f: self.of(f) + other.of(f),
            f"{self.name} + {other.name}",
            self.uses_clean or other.uses_clean,
            self.epistemic and other.epistemic,
        )

    def __sub__(self, other: Score) -> Score:
        return self + (-1) * other

    def __mul__(self, scale: float) -> Score:
        return Score(lambda f: scale * self.of(f), f"{scale:g} ({self.name})", self.uses_clean, self.epistemic)

    __rmul__ = __mul__
