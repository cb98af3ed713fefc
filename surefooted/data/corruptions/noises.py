"""Noise: every pixel of every channel draws for itself."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption

GUIDES = 256  # parts of [0, 1) whose first count is looked up


@component
def gaussian_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Gaussian noise of one standard deviation.

    Args:
        severity: 1 to 5, for a standard deviation of .04, .06, .08, .09, .1 (ImageNet-C: .08, .12, .18, .26, .38).
        scale: whose constants; auto takes CIFAR-10-C's for images of up to 64 pixels, ImageNet-C's for larger ones.
        quantise: see and give out 8-bit images, truncated like the original's; else numbers in between too.

    Source: D. Hendrycks, T. Dietterich. Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
    ICLR 2019.
    """

    def change(x: Levels, noise: Noise, sigma: float) -> Levels:
        return x + 255 * sigma * noise.normal(*x.shape[1:])

    cifar, imagenet = (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)
    return corruption(change, cifar, imagenet, 0, severity, scale, quantise)


@component
def shot_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Shot noise: Poisson counts of the light that falls on a pixel.

    The mean count is read off the nearest of the 256 grey levels.

    Args:
        severity: 1 to 5, for a mean count of 500, 250, 100, 75, 50 in a white pixel (ImageNet-C: 60, 25, 12, 5, 3).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, noise: Noise, rate: int) -> Levels:
        return poisson(x, noise, rate) * (255 / rate)

    return corruption(change, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3), 1, severity, scale, quantise)


@component
def impulse_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Impulse noise: salt and pepper, in each channel by itself.

    Args:
        severity: 1 to 5, for a share of .01, .02, .03, .05, .07 of the values (ImageNet-C: .03, .06, .09, .17, .27).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, noise: Noise, share: float) -> Levels:
        u = noise.uniform(*x.shape[1:])
        return torch.where(u < share, torch.where(u < share / 2, 0.0, 255.0), x)

    cifar, imagenet = (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)
    return corruption(change, cifar, imagenet, 2, severity, scale, quantise)


@component
def speckle_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Speckle noise: Gaussian, in proportion to the pixel.

    Args:
        severity: 1 to 5, for a standard deviation of .06, .1, .12, .16, .2 (ImageNet-C: .15, .2, .35, .45, .6).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: Levels, noise: Noise, sigma: float) -> Levels:
        return x + x * sigma * noise.normal(*x.shape[1:])

    cifar, imagenet = (0.06, 0.10, 0.12, 0.16, 0.20), (0.15, 0.20, 0.35, 0.45, 0.60)
    return corruption(change, cifar, imagenet, 15, severity, scale, quantise)


def poisson(x: Levels, noise: Noise, rate: int) -> Levels:
    """Counts of mean rate × level / 255, by the inverse of their distribution: one draw each."""
    table, guide = (t.to(x.device) for t in cumulative(rate))
    level, u = x.round().long().clamp(0, 255), noise.uniform(*x.shape[1:]).double()
    start, flat = level * table.shape[1], table.flatten()
    count = guide.take(level * GUIDES + (u * GUIDES).long())
    count += flat.take(start + count) <= u
    # Most have arrived; the few in the tails are searched for.
    rest = (flat.take(start + count) <= u).flatten().nonzero()[:, 0]
    lifted = flat + torch.arange(256, device=x.device).repeat_interleave(table.shape[1])
    found = torch.searchsorted(lifted, (level + u).take(rest), right=True)
    count.view(-1)[rest] = found - start.take(rest)
    return count.to(x.dtype)


@cache
def cumulative(rate: int) -> tuple[Float64[Tensor, "256 k"], Int64[Tensor, "256 g"]]:
    """P(count <= k) for each grey level, and the count that each of 256 equal parts of [0, 1) begins with."""
    count = torch.arange(int(rate + 7 * rate**0.5 + 12), dtype=torch.float64)
    mean = torch.arange(256, dtype=torch.float64)[:, None] * rate / 255
    below = (torch.xlogy(count, mean) - mean - torch.lgamma(count + 1)).exp().cumsum(1).clamp(max=1)
    below[:, -1] = 1
    starts = torch.arange(GUIDES, dtype=torch.float64).expand(256, -1) / GUIDES
    return below, torch.searchsorted(below, starts.contiguous(), right=True)
