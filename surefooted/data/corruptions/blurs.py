"""Blurs that draw nothing: defocus, zoom, Gaussian."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.filters import along, banded, blurred, correlated, exact, zoom_sizes, zoomed


@component
def defocus_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Defocus blur: a lens out of focus, which makes a disk of every point.

    The disk is smoothed by a small Gaussian.

    Args:
        severity: 1 to 5, for a radius of .3, .4, .5, 1, 1.5 pixels (ImageNet-C: 3, 4, 6, 8, 10).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, _: Noise, constant: tuple[float, float]) -> Levels:
        return correlated(x, disk(*constant))

    cifar = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
    imagenet = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
    return corruption(change, cifar, imagenet, 3, severity, scale, quantise)


@component
def zoom_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Zoom blur: the camera moves towards the object while the shutter is open.

    The mean of the image enlarged by factors from 1, and of the image once more.

    Args:
        severity: 1 to 5, for factors up to 1.06, 1.11, 1.16, 1.21, 1.26 by .01 (ImageNet-C: up to 1.1, 1.15 by .01, up
            to 1.2, 1.24 by .02, up to 1.3 by .03).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, _: Noise, constant: tuple[float, float]) -> Levels:
        factors = np.arange(1, *constant)  # as the original has it: whether the last is in is a matter of rounding
        # On few pixels many factors come to the same.
        alike = Counter(tuple(zoom_sizes(n, factor) for n in x.shape[2:]) for factor in factors)
        total = x.clone()
        for (rows, columns), times in alike.items():
            total += times * along(x, zoomed(*rows), zoomed(*columns))
        return total / (len(factors) + 1)

    cifar = ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01))
    imagenet = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
    return corruption(change, cifar, imagenet, 6, severity, scale, quantise)


@component
def gaussian_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Gaussian blur.

    Args:
        severity: 1 to 5, for a standard deviation of .4, .6, .7, .8, 1 pixel (ImageNet-C: 1, 2, 3, 4, 6).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: Levels, _: Noise, sigma: float) -> Levels:
        return blurred(x, sigma)

    return corruption(change, (0.4, 0.6, 0.7, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0, 6.0), 16, severity, scale, quantise)


@cache
def disk(radius: float, sigma: float) -> np.ndarray:
    """A disk on a grid, smoothed by a Gaussian of 3 or 5 taps, without the empty margin."""
    reach, taps = (8, 3) if radius <= 8 else (int(radius), 5)
    at = np.arange(-reach, reach + 1)
    inside = (at[:, None] ** 2 + at**2 <= radius**2).astype(float)
    bell = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / sigma) ** 2)
    smooth = banded(bell / bell.sum(), len(at), "mirror").numpy()
    kernel = smooth @ (inside / inside.sum()) @ smooth.T
    margin = int(np.flatnonzero(kernel[reach] > 1e-8)[0])
    return exact(kernel[margin : len(at) - margin, margin : len(at) - margin])
