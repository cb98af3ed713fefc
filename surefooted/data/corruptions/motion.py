"""Motion blur as ImageMagick does it, which the original generator calls."""

from __future__ import annotations

from math import exp, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.filters import exact


@component
def motion_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Motion blur: the camera moves in a straight line while the shutter is open, at up to 45° from the horizontal.

    The line's pixels are 8-bit, whatever ``quantise`` is.

    Args:
        severity: 1 to 5, for (radius, standard deviation) of (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5) pixels
            (ImageNet-C: (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, noise: Noise, constant: tuple[int, float]) -> Levels:
        return moved(x.round(), angles(noise, -45, 45), *constant)

    cifar = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
    imagenet = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    return corruption(change, cifar, imagenet, 5, severity, scale, quantise)


def angles(noise: Noise, low: float, high: float) -> Float[Tensor, " b"]:
    """An angle for each row, uniform between two given in degrees, in radians."""
    return (low + (high - low) * noise.uniform(1)[:, 0].double()) * (pi / 180)


def moved(x: Levels, angle: Float[Tensor, " b"], radius: int, sigma: float) -> Levels:
    """Each pixel becomes a mean, on one side of it along a line, of 2r + 1 pixels with weights of half a Gaussian.

    Pixels are the nearest to the line; beyond the edge the last one is repeated. The mean is cut to whole levels as
    ImageMagick does on its way from 8 bits to 16 and back: rounded to 1/257, then truncated.
    """
    height, width = x.shape[2:]
    bell = np.array([exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)])
    y = torch.arange(height, device=x.device)[:, None]
    z = torch.arange(width, device=x.device)
    flat, total = x.flatten(2), torch.zeros_like(x).flatten(2)
    for i, weight in enumerate(exact(bell / bell.sum())):
        if weight:
            down = (i * angle.sin() - 0.5).ceil().long()[:, None, None]
            right = (i * angle.cos() - 0.5).ceil().long()[:, None, None]
            at = (y + down).clamp(0, height - 1) * width + (z + right).clamp(0, width - 1)
            total += weight * flat.gather(2, at.flatten(1)[:, None].expand_as(flat))
    return (total + 1 / 514).floor().view_as(x)
