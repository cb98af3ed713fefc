"""Balls of perturbations: sizes, steepest directions, projection and uniform draws, for pixels in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from surefooted.core.rng import Noise
from surefooted.errors import ArgumentError

Norm = Literal["linf", "l2"]

# Squares of perturbations have to stay in the range of float32.
_LARGEST = 1e18


@runtime_checkable
class Ball(Protocol):
    """All perturbations whose norm is at most ``eps``. A ball of radius ``inf`` holds every perturbation."""

    @property
    def eps(self) -> float:
        """The radius."""

    def size(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, " b"]:
        """The norm of each perturbation."""

    def steepest(self, g: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        """The perturbation of norm 1 with the greatest inner product with each gradient."""

    def clip(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        """The nearest perturbation in the ball, in Euclidean distance."""

    def draw(self, noise: Noise, shape: tuple[int, ...]) -> Float[Tensor, "b *d"]:
        """A perturbation for each row, drawn uniformly from the ball."""

    def scaled(self, share: float) -> Ball:
        """The ball with the radius multiplied by ``share``."""


@dataclass(frozen=True)
class Linf:
    """The L∞ ball.

    Example:
        >>> Linf(0.1).clip(torch.tensor([[0.3, -0.05]]))
        tensor([[ 0.1000, -0.0500]])
    """

    eps: float

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def size(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, " b"]:
        return d.flatten(1).abs().amax(1)

    def steepest(self, g: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return g.sign()

    def clip(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return d.clamp(-self.eps, self.eps)

    def draw(self, noise: Noise, shape: tuple[int, ...]) -> Float[Tensor, "b *d"]:
        return noise.uniform(*shape).mul_(2 * self.eps).sub_(self.eps)

    def scaled(self, share: float) -> Linf:
        return Linf(share * self.eps)


@dataclass(frozen=True)
class L2:
    """The L2 ball.

    Example:
        >>> L2(1.0).clip(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    eps: float

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def size(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, " b"]:
        size: Tensor = d.flatten(1).norm(dim=1)
        return size

    def steepest(self, g: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        # A gradient of 1e-30 still has a direction; scaling before taking the norm keeps its square from vanishing.
        g = g / per_row(g.flatten(1).abs().amax(1).clamp_min(torch.finfo(g.dtype).tiny), g)
        return g / per_row(self.size(g).clamp_min(1e-12), g)

    def clip(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return d * per_row((self.eps / self.size(d).clamp_min(1e-12)).clamp_max(1), d)

    def draw(self, noise: Noise, shape: tuple[int, ...]) -> Float[Tensor, "b *d"]:
        n = prod(shape)
        # The radius comes from its own stream, because it must be independent of the direction.
        direction = self.steepest(noise.normal(*shape))
        radius = self.eps * Noise(noise.seed, noise.rows, noise.step, noise.stream + 1).uniform(1)[:, 0] ** (1 / n)
        return direction * per_row(radius, direction)

    def scaled(self, share: float) -> L2:
        return L2(share * self.eps)


def ball(norm: Norm, eps: float) -> Ball:
    """The ball of a norm and a radius.

    Args:
        norm: ``linf`` or ``l2``.
        eps: the radius, for pixels in [0, 1].

    Raises:
        ArgumentError: if the radius is negative, nan, or finite but above 1e18.

    Example:
        >>> ball("l2", 0.5)
        L2(eps=0.5)
    """
    return Linf(eps) if norm == "linf" else L2(eps)


def per_row(values: Shaped[Tensor, " b"], like: Shaped[Tensor, "b *d"]) -> Tensor:
    """View one value per row in a shape that broadcasts against ``like``.

    Example:
        >>> per_row(torch.zeros(2), torch.zeros(2, 3, 4, 4)).shape
        torch.Size([2, 1, 1, 1])
    """
    return values.view(-1, *[1] * (like.ndim - 1))


def check_fits_box(allowed: Ball, box: tuple[float, float]) -> None:
    """Refuse an L∞ ball that is larger than the whole box: such a radius is meant for pixels from 0 to 255.

    The radius ``inf`` stands for no limit and is accepted.

    Raises:
        ArgumentError: if it is larger.

    Example:
        >>> check_fits_box(Linf(8), (0.0, 1.0))
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: `eps` is 8, but pixels are in [0, 1]: ... Did you mean 8/255?
    """
    low, high = box
    if isinstance(allowed, Linf) and high - low < allowed.eps < inf:
        raise ArgumentError(
            f"`eps` is {allowed.eps:g}, but pixels are in [{low:g}, {high:g}]: an L∞ ball of that radius contains "
            f"every image. Did you mean {allowed.eps:g}/255?"
        )


def check_step(name: str, size: float | None) -> None:
    """Refuse a step size with which a step could leave the range of float32.

    Raises:
        ArgumentError: if it is above 1e18; the message calls it by its argument's ``name``.

    Example:
        >>> check_step("step_size", 0.1)
    """
    if size is not None and size > _LARGEST:
        raise ArgumentError(f"`{name}` is {size:g}; expected a number of at most {_LARGEST:g}, for pixels in [0, 1].")


def _check_eps(eps: float) -> None:
    if not (0 <= eps <= _LARGEST or eps == inf):
        raise ArgumentError(
            f"eps is {eps:g}; expected a radius from 0 to {_LARGEST:g}, for pixels in [0, 1] (8/255, not 8)."
        )
