"""Balls: how large a perturbation is, which way is steepest, how to come back inside. Sizes are in pixels' [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from surefooted.core.rng import Noise
from surefooted.errors import InputError

Norm = Literal["linf", "l2"]


@runtime_checkable
class Ball(Protocol):
    """All perturbations up to size ``eps``; ``inf`` is a ball without an edge."""

    @property
    def eps(self) -> float:
        """The radius."""

    def size(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, " b"]:
        """The norm of each perturbation."""

    def steepest(self, g: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        """The perturbation of size one that gains most along each gradient."""

    def clip(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        """The nearest perturbation in the ball."""

    def draw(self, noise: Noise, shape: tuple[int, ...]) -> Float[Tensor, "b *d"]:
        """A perturbation drawn uniformly from the ball, for each row."""

    def scaled(self, share: float) -> Ball:
        """The ball of a share of the radius."""


@dataclass(frozen=True)
class Linf:
    eps: float

    def __post_init__(self) -> None:
        _check(self.eps)

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
    eps: float

    def __post_init__(self) -> None:
        _check(self.eps)

    def size(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, " b"]:
        return d.flatten(1).norm(dim=1)

    def steepest(self, g: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        # A gradient of 1e-30 still has a direction, a gradient of zero has none: scale before taking the norm.
        g = g / per_row(g.flatten(1).abs().amax(1).clamp_min(torch.finfo(g.dtype).tiny), g)
        return g / per_row(self.size(g).clamp_min(1e-12), g)

    def clip(self, d: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return d * per_row((self.eps / self.size(d).clamp_min(1e-12)).clamp_max(1), d)

    def draw(self, noise: Noise, shape: tuple[int, ...]) -> Float[Tensor, "b *d"]:
        n = prod(shape)
        # The radius is drawn from a stream of its own: it may not depend on the direction.
        direction = self.steepest(noise.normal(*shape))
        radius = self.eps * Noise(noise.seed, noise.rows, noise.step, noise.stream + 1).uniform(1)[:, 0] ** (1 / n)
        return direction * per_row(radius, direction)

    def scaled(self, share: float) -> L2:
        return L2(share * self.eps)


def ball(norm: Norm, eps: float) -> Ball:
    return Linf(eps) if norm == "linf" else L2(eps)


def per_row(values: Shaped[Tensor, " b"], like: Shaped[Tensor, "b *d"]) -> Tensor:
    """One value a row, in a shape that goes with ``like``."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _check(eps: float) -> None:
    if not eps >= 0:
        raise InputError(f"eps is {eps}; a ball has a size from 0 up, in pixels' [0, 1] (8/255, not 8).")
