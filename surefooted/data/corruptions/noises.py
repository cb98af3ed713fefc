"""Noise that is drawn independently per pixel and channel."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity

_GUIDES = 256  # equal parts of [0, 1) for which the first count is tabulated


@component
def gaussian_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Gaussian noise of constant standard deviation.

    Args:
        severity: 1 to 5, for a standard deviation of .04, .06, .08, .09, .1 (ImageNet-C: .08, .12, .18, .26, .38).
        scale: whose constants; auto takes those of CIFAR-10-C for images of up to 64 pixels, and those of ImageNet-C
            for larger ones.
        quantise: read and return 8-bit images, truncated as by the original generator; false keeps all values.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> grey = torch.full((10, 3, 32, 32), 0.5)
        >>> corrupted = sf.corruptions.gaussian_noise(severity=3)(grey, torch.arange(10))
        >>> round((corrupted - grey).std().item(), 2)
        0.08

    Reference:
        D. Hendrycks, T. Dietterich. Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
        ICLR 2019.
    """

    def change(x: PixelLevels, noise: Noise, sigma: float) -> PixelLevels:
        return x + 255 * sigma * noise.normal(*x.shape[1:])

    cifar, imagenet = (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=0)


@component
def shot_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Shot noise: Poisson counts of the light that reaches a pixel.

    The mean count is that of the nearest of the 256 grey levels.

    Args:
        severity: 1 to 5, for a mean count of 500, 250, 100, 75, 50 in a white pixel (ImageNet-C: 60, 25, 12, 5, 3).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> grey = torch.full((10, 3, 32, 32), 0.25)
        >>> corrupted = sf.corruptions.shot_noise(severity=3)(grey, torch.arange(10))
        >>> round((corrupted - grey).std().item(), 2)  # sqrt(0.25 / 100)
        0.05

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, noise: Noise, rate: int) -> PixelLevels:
        return poisson_counts(x, noise, rate) * (255 / rate)

    cifar, imagenet = (500, 250, 100, 75, 50), (60, 25, 12, 5, 3)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=1)


@component
def impulse_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Impulse noise: salt and pepper, independently in each channel.

    Args:
        severity: 1 to 5, for a share of .01, .02, .03, .05, .07 of the values (ImageNet-C: .03, .06, .09, .17, .27).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> grey = torch.full((10, 3, 32, 32), 100 / 255)
        >>> corrupted = sf.corruptions.impulse_noise(severity=5)(grey, torch.arange(10))
        >>> round((corrupted != grey).float().mean().item(), 2)
        0.07

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, noise: Noise, share: float) -> PixelLevels:
        u = noise.uniform(*x.shape[1:])
        return torch.where(u < share, torch.where(u < share / 2, 0.0, 255.0), x)

    cifar, imagenet = (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=2)


@component
def speckle_noise(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Speckle noise: Gaussian noise in proportion to the pixel value.

    Args:
        severity: 1 to 5, for a standard deviation of .06, .1, .12, .16, .2 (ImageNet-C: .15, .2, .35, .45, .6).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> grey = torch.full((10, 3, 32, 32), 0.25)
        >>> corrupted = sf.corruptions.speckle_noise(severity=5)(grey, torch.arange(10))
        >>> round((corrupted - grey).std().item(), 2)  # 0.2 × 0.25
        0.05

    Reference:
        Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: PixelLevels, noise: Noise, sigma: float) -> PixelLevels:
        return x + x * sigma * noise.normal(*x.shape[1:])

    cifar, imagenet = (0.06, 0.10, 0.12, 0.16, 0.20), (0.15, 0.20, 0.35, 0.45, 0.60)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=15)


def poisson_counts(x: PixelLevels, noise: Noise, rate: int) -> PixelLevels:
    """Counts of mean rate × level / 255 by inversion of their distribution function, with one draw each."""
    table, guide = (t.to(x.device) for t in _poisson_table(rate))
    level, u = x.round().long().clamp(0, 255), noise.uniform(*x.shape[1:]).double()
    start, flat = level * table.shape[1], table.flatten()
    count = guide.take(level * _GUIDES + (u * _GUIDES).long())
    count += flat.take(start + count) <= u
    # Most counts are final here; only the few in the tails are searched for.
    rest = (flat.take(start + count) <= u).flatten().nonzero()[:, 0]
    lifted = flat + torch.arange(256, device=x.device).repeat_interleave(table.shape[1])
    found = torch.searchsorted(lifted, (level + u).take(rest), right=True)
    count.view(-1)[rest] = found - start.take(rest)
    return count.to(x.dtype)


@cache
def _poisson_table(rate: int) -> tuple[Float64[Tensor, "256 k"], Int64[Tensor, "256 g"]]:
    """P(count <= k) for each grey level, and the first count in each of 256 equal parts of [0, 1)."""
    count = torch.arange(int(rate + 7 * rate**0.5 + 12), dtype=torch.float64)
    mean = torch.arange(256, dtype=torch.float64)[:, None] * rate / 255
    below = (torch.xlogy(count, mean) - mean - torch.lgamma(count + 1)).exp().cumsum(1).clamp(max=1)
    below[:, -1] = 1
    starts = torch.arange(_GUIDES, dtype=torch.float64).expand(256, -1) / _GUIDES
    return below, torch.searchsorted(below, starts.contiguous(), right=True)
