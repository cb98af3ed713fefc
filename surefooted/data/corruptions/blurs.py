"""Blurs without random draws: defocus, zoom, Gaussian."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity
from surefooted.data.corruptions.filters import (
    correlate,
    correlation_matrix,
    exact_weights,
    filter_axes,
    gaussian_filter,
    zoom_matrix,
    zoom_sizes,
)


@component
def defocus_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Defocus blur: a lens that is out of focus and spreads every point over a disk.

    The disk is smoothed by a small Gaussian.

    Args:
        severity: 1 to 5, for a radius of .3, .4, .5, 1, 1.5 pixels (ImageNet-C: 3, 4, 6, 8, 10).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(2, 3, 32, 32)
        >>> bool(sf.corruptions.defocus_blur(severity=5)(x, torch.arange(2)).std() < x.std())
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, _: Noise, constant: tuple[float, float]) -> PixelLevels:
        return correlate(x, disk_kernel(*constant))

    cifar = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
    imagenet = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=3, random=False)


@component
def zoom_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Zoom blur: a camera that moves towards the object while the shutter is open.

    The result is the mean of the image enlarged by a range of factors from 1, and of the original image.

    Args:
        severity: 1 to 5, for factors up to 1.06, 1.11, 1.16, 1.21, 1.26 in steps of .01 (ImageNet-C: up to 1.1, 1.15 in
            steps of .01, up to 1.2, 1.24 in steps of .02, up to 1.3 in steps of .03).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(2, 3, 32, 32)
        >>> bool(sf.corruptions.zoom_blur(severity=5)(x, torch.arange(2)).std() < x.std())
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, _: Noise, constant: tuple[float, float]) -> PixelLevels:
        factors = np.arange(1, *constant)  # As in the original: rounding decides whether the last factor is included.
        # On few pixels, many factors give the same sizes and so the same matrices.
        counts = Counter(tuple(zoom_sizes(n, factor) for n in x.shape[2:]) for factor in factors)
        total = x.clone()
        for (rows, columns), count in counts.items():
            total += count * filter_axes(x, zoom_matrix(*rows), zoom_matrix(*columns))
        return total / (len(factors) + 1)

    cifar = ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01))
    imagenet = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=6, random=False)


@component
def gaussian_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Gaussian blur.

    Args:
        severity: 1 to 5, for a standard deviation of .4, .6, .7, .8, 1 pixel (ImageNet-C: 1, 2, 3, 4, 6).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(2, 3, 32, 32)
        >>> bool(sf.corruptions.gaussian_blur(severity=5)(x, torch.arange(2)).std() < x.std())
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: PixelLevels, _: Noise, sigma: float) -> PixelLevels:
        return gaussian_filter(x, sigma)

    cifar, imagenet = (0.4, 0.6, 0.7, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0, 6.0)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=16, random=False)


@cache
def disk_kernel(radius: float, sigma: float) -> np.ndarray:
    """Disk on a grid, smoothed by a Gaussian of 3 or 5 taps, without empty margins."""
    reach, taps = (8, 3) if radius <= 8 else (int(radius), 5)
    offsets = np.arange(-reach, reach + 1)
    inside = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(float)
    bell = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / sigma) ** 2)
    smooth = correlation_matrix(bell / bell.sum(), len(offsets), "mirror").numpy()
    kernel = smooth @ (inside / inside.sum()) @ smooth.T
    margin = int(np.flatnonzero(kernel[reach] > 1e-8)[0])
    return exact_weights(kernel[margin : len(offsets) - margin, margin : len(offsets) - margin])
