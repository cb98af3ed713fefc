"""Spatter: drops of water or mud on the lens."""

from __future__ import annotations

import torch

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, GreyLevels, PixelLevels, Scale, Severity
from surefooted.data.corruptions.colour import colour_levels
from surefooted.data.corruptions.contours import box_mean, canny_edges, chamfer_distance, emboss, equalise_histogram
from surefooted.data.corruptions.filters import gaussian_filter

_WATER = (175.0, 238.0, 238.0)  # pale turquoise
_MUD = (63.0, 42.0, 20.0)  # brown


@component
def spatter(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Spatter: drops of water (severities 1 to 3) or mud (4 and 5); on grey images in the luma of their colours.

    Gaussian noise is blurred, and pixels above a threshold are liquid. Water is shaded by a relief of the distance to
    its contours, lit from one side.

    Args:
        severity: 1 to 5, for (mean, standard deviation, blur, threshold, strength) of (.62, .1, .7, .7, .5), (.65, .1,
            .8, .7, .5), (.65, .3, 1, .69, .5), (.65, .1, .7, .69, .6), (.65, .1, .5, .68, .6);
            ImageNet-C has other constants.
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> black = torch.zeros(4, 3, 32, 32)
        >>> water = sf.corruptions.spatter(severity=3)(black, torch.arange(4))
        >>> bool(water[:, 2].mean() > water[:, 0].mean())  # bluish
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: PixelLevels, noise: Noise, constant: tuple[float, ...]) -> PixelLevels:
        mean, deviation, blur, threshold, strength = constant
        liquid = gaussian_filter(mean + deviation * noise.normal(1, *x.shape[2:]).double(), blur)
        liquid = torch.where(liquid < threshold, 0, liquid)
        if severity > 3:
            thick = gaussian_filter((liquid > threshold).double(), strength)
            thick = torch.where(thick < 0.8, 0, thick)
            return x * (1 - thick) + thick * colour_levels(x, _MUD)
        return x + strength * _water_light(liquid) * colour_levels(x, _WATER)

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
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=17)


def _water_light(liquid: GreyLevels) -> GreyLevels:
    """Brightness of water, from 0 to 1: its thickness times a relief of the distance to its contours."""
    thick = (liquid * 255).clamp(0, 255).floor()
    distance = box_mean(chamfer_distance(canny_edges(thick, 50, 150), 20)).floor()
    light = thick * box_mean(emboss(equalise_histogram(distance))).round()
    return light / light.amax((1, 2, 3), keepdim=True).clamp(min=1)
