"""Weather: snow, fog, brightness."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.colour import grey, with_value
from surefooted.data.corruptions.filters import along, zoom_sizes, zoomed
from surefooted.data.corruptions.motion import angles, moved


@component
def snow(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Snow: flakes that fall at up to 45° from the vertical, over a whitened image.

    Gaussian noise is enlarged, what is below a threshold taken out, and the rest blurred by motion; the layer is added,
    and once more turned by 180°.

    Args:
        severity: 1 to 5, for (mean, standard deviation, zoom, threshold, radius, blur, mix) of (.1, .2, 1, .6, 8, 3,
            .95), (.1, .2, 1, .5, 10, 4, .9), (.15, .3, 1.75, .55, 10, 4, .9), (.25, .3, 2.25, .6, 12, 6, .85), (.3, .3,
            1.25, .65, 14, 12, .8); ImageNet-C has others.
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, noise: Noise, constant: tuple[float, ...]) -> Levels:
        mean, deviation, zoom, threshold, radius, blur, mix = constant
        flakes = mean + deviation * noise.normal(1, *x.shape[2:]).double()
        flakes = along(flakes, *(zoomed(*zoom_sizes(n, zoom)) for n in x.shape[2:]))
        flakes = torch.where(flakes < threshold, 0, flakes.clamp(0, 1) * 255).floor()
        layer = moved(flakes, angles(noise.at(noise.step + 1), -135, -45), int(radius), blur)
        whitened = mix * x + (1 - mix) * torch.maximum(x, grey(x) * 1.5 + 127.5)
        return whitened + layer + layer.flip(2, 3)

    cifar = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )
    imagenet = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )
    return corruption(change, cifar, imagenet, 7, severity, scale, quantise)


@component
def fog(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Fog: a plasma fractal of white, made by the diamond-square algorithm.

    Args:
        severity: 1 to 5, for (amount, decay of the detail) of (.2, 3), (.5, 3), (.75, 2.5), (1, 2), (1.5, 1.75)
            (ImageNet-C: (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, noise: Noise, constant: tuple[float, float]) -> Levels:
        amount, decay = constant
        highest = x.amax((1, 2, 3), keepdim=True)
        thick = plasma(noise, max(x.shape[2:]), decay)[:, None, : x.shape[2], : x.shape[3]]
        return (x + 255 * amount * thick) * highest / (highest + 255 * amount)

    cifar = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))
    imagenet = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))
    return corruption(change, cifar, imagenet, 9, severity, scale, quantise)


@component
def brightness(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Brightness: something is added to the value of hue, saturation and value.

    Args:
        severity: 1 to 5, for .05, .1, .15, .2, .3 (ImageNet-C: .1, .2, .3, .4, .5).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, _: Noise, more: float) -> Levels:
        return with_value(x, (x.amax(1, keepdim=True) + 255 * more).clamp(max=255))

    return corruption(change, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5), 10, severity, scale, quantise)


def plasma(noise: Noise, size: int, decay: float) -> Float64[Tensor, "b n n"]:
    """Height maps from 0 to 1 by the diamond-square algorithm on a torus, its side the next power of two."""
    side = 1 << (size - 1).bit_length()
    drawn = 2 * noise.uniform(side**2).double() - 1
    land = drawn.new_zeros(len(drawn), side, side)
    step, rough, used = side, 100.0, 0

    def filled(total: Tensor) -> Tensor:
        nonlocal used
        wobble = drawn[:, used : used + total[0].numel()].view_as(total)
        used += total[0].numel()
        return total / 4 + rough**2 * wobble

    while step >= 2:
        half = step // 2
        corners = land[:, ::step, ::step]
        across = corners + corners.roll(-1, 1)
        middles = filled(across + across.roll(-1, 2))
        land[:, half::step, half::step] = middles
        land[:, ::step, half::step] = filled(middles + middles.roll(1, 1) + corners + corners.roll(-1, 2))
        land[:, half::step, ::step] = filled(middles + middles.roll(1, 2) + corners + corners.roll(-1, 1))
        step, rough = half, rough / decay
    land -= land.amin((1, 2), keepdim=True)
    return land / land.amax((1, 2), keepdim=True)
