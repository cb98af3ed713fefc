"""Spatter: drops of water or mud on the lens."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.colour import like
from surefooted.data.corruptions.contours import canny, chamfer, equalised, mean3, relief
from surefooted.data.corruptions.filters import blurred

WATER = (175.0, 238.0, 238.0)  # pale turquoise
MUD = (63.0, 42.0, 20.0)  # brown

Plane = Float64[Tensor, "b 1 h w"]


@component
def spatter(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Spatter: drops of water (severities 1 to 3) or of mud (4 and 5). On grey images, in the luma of their colours.

    Gaussian noise is blurred, and what is above a threshold is liquid. Water is lit from one side by a relief of the
    distance from its contours.

    Args:
        severity: 1 to 5, for (mean, standard deviation, blur, threshold, strength) of (.62, .1, .7, .7, .5), (.65, .1,
            .8, .7, .5), (.65, .3, 1, .69, .5), (.65, .1, .7, .69, .6), (.65, .1, .5, .68, .6); ImageNet-C has others.
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: Levels, noise: Noise, constant: tuple[float, ...]) -> Levels:
        mean, deviation, blur, threshold, strength = constant
        liquid = blurred(mean + deviation * noise.normal(1, *x.shape[2:]).double(), blur)
        liquid = torch.where(liquid < threshold, 0, liquid)
        if severity > 3:
            thick = blurred((liquid > threshold).double(), strength)
            thick = torch.where(thick < 0.8, 0, thick)
            return x * (1 - thick) + thick * like(x, MUD)
        return x + strength * lit(liquid) * like(x, WATER)

    cifar = (
        (0.62, 0.1, 0.7, 0.7, 0.5),
        (0.65, 0.1, 0.8, 0.7, 0.5),
        (0.65, 0.3, 1.0, 0.69, 0.5),
        (0.65, 0.1, 0.7, 0.69, 0.6),
        (0.65, 0.1, 0.5, 0.68, 0.6),
    )
    imagenet = (
        (0.65, 0.3, 4.0, 0.69, 0.6),
        (0.65, 0.3, 3.0, 0.68, 0.6),
        (0.65, 0.3, 2.0, 0.68, 0.5),
        (0.65, 0.3, 1.0, 0.65, 1.5),
        (0.67, 0.4, 1.0, 0.65, 1.5),
    )
    return corruption(change, cifar, imagenet, 17, severity, scale, quantise)


def lit(liquid: Plane) -> Plane:
    """Light on water, from 0 to 1: its thickness times a relief of the distance from its contours."""
    thick = (liquid * 255).clamp(0, 255).floor()
    distance = mean3(chamfer(canny(thick, 50, 150), 20)).floor()
    light = thick * mean3(relief(equalised(distance))).round()
    return light / light.amax((1, 2, 3), keepdim=True).clamp(min=1)
