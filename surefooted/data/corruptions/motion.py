"""Motion blur as in ImageMagick, which the original generator calls."""

from __future__ import annotations

from math import exp, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity
from surefooted.data.corruptions.filters import exact_weights


@component
def motion_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Motion blur: a camera that moves in a straight line, within 45° of the horizontal, while the shutter is open.

    Pixels along the line are always 8-bit, even with ``quantise=False``.

    Args:
        severity: 1 to 5, for (radius, standard deviation) of (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5) pixels
            (ImageNet-C: (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(2, 3, 32, 32)
        >>> bool(sf.corruptions.motion_blur(severity=5)(x, torch.arange(2)).std() < x.std())
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, noise: Noise, constant: tuple[int, float]) -> PixelLevels:
        return motion_filter(x.round(), random_angles(noise, -45, 45), *constant)

    cifar = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
    imagenet = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=5)


def random_angles(noise: Noise, low: float, high: float) -> Float[Tensor, " b"]:
    """One angle per row in radians, uniform between two angles in degrees."""
    return (low + (high - low) * noise.uniform(1)[:, 0].double()) * (pi / 180)


def motion_filter(x: PixelLevels, angle: Float[Tensor, " b"], radius: int, sigma: float) -> PixelLevels:
    """Mean over 2r + 1 pixels that start at each pixel and follow a line, weighted by half a Gaussian.

    Pixels are the nearest to the line; the border is repeated. The mean is reduced to whole levels as in ImageMagick's
    conversion from 8 bits to 16 and back: rounded to multiples of 1/257, then truncated.

    Args:
        x: images, as whole levels.
        angle: direction of the line per image, in radians.
        radius: r, in pixels.
        sigma: standard deviation of the Gaussian, in pixels.
    """
    height, width = x.shape[2:]
    bell = np.array([exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)])
    y = torch.arange(height, device=x.device)[:, None]
    z = torch.arange(width, device=x.device)
    flat, total = x.flatten(2), torch.zeros_like(x).flatten(2)
    for i, weight in enumerate(exact_weights(bell / bell.sum())):
        if weight:
            down = (i * angle.sin() - 0.5).ceil().long()[:, None, None]
            right = (i * angle.cos() - 0.5).ceil().long()[:, None, None]
            index = (y + down).clamp(0, height - 1) * width + (z + right).clamp(0, width - 1)
            total += weight * flat.gather(2, index.flatten(1)[:, None].expand_as(flat))
    return (total + 1 / 514).floor().view_as(x)
