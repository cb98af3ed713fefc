"""Elastic transform: the image printed on rubber."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import grid_sample

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.filters import blurred

Plane = Float64[Tensor, "b h w"]


@component
def elastic_transform(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Elastic transform: a random affine map, then pixels moved by smooth random fields.

    The affine map moves three points about the middle by up to m in each axis; the fields are uniform noise in [-1, 1],
    blurred by a Gaussian of standard deviation s and multiplied by a. All are shares of the smaller side.

    Args:
        severity: 1 to 5, for (a, s, m) of (0, 0, .08), (.05, .2, .07), (.08, .06, .06), (.1, .04, .05), (.1, .03, .03)
            (ImageNet-C: (2, .7, .1), (2, .08, .2), (.05, .01, .02), (.07, .01, .02), (.12, .01, .02), times 244/224).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019; P. Simard, D. Steinkraus, J. Platt. Best Practices for Convolutional
    Neural Networks, 2003.
    """

    def change(x: Levels, noise: Noise, constant: tuple[float, float, float]) -> Levels:
        height, width = x.shape[2:]
        strength, smooth, reach = (share * min(height, width) for share in constant)
        x = sampled(x, *affine(height, width, reach, noise), about_pixels=True)
        fields = 2 * noise.at(noise.step + 1).uniform(2, height, width).double() - 1
        down, right = (strength * blurred(fields, smooth, truncate=3, edge="reflect")).unbind(1)
        y, z = grid(height, width, x.device)
        return sampled(x, y + down, z + right, about_pixels=False)

    cifar = ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
    imagenet = ((2.0, 0.7, 0.1), (2.0, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
    # The original takes images of 224 pixels for ones of 244.
    wider = tuple(tuple(share * 244 / 224 for share in constant) for constant in imagenet)
    return corruption(change, cifar, wider, 12, severity, scale, quantise)


def affine(height: int, width: int, reach: float, noise: Noise) -> tuple[Plane, Plane]:
    """Where each pixel comes from, if three points about the middle are moved: y and x."""
    middle, side = (height // 2, width // 2), min(height, width) // 3
    signs = ((1, 1), (-1, 1), (-1, -1))  # below right, above right, above left
    old = torch.tensor([[middle[0] + side * v, middle[1] + side * h] for v, h in signs], dtype=torch.float64)
    old = old.to(noise.rows.device)
    new = old + reach * (2 * noise.uniform(3, 2).double() - 1)
    y, x = grid(height, width, old.device)
    (a_y, b_y, c_y), (a_x, b_x, c_x) = new[:, :, :, None, None].permute(2, 1, 0, 3, 4)
    # Barycentric coordinates about the moved points, read about the unmoved ones.
    area = (b_x - a_x) * (c_y - a_y) - (b_y - a_y) * (c_x - a_x)
    to_b = ((x - a_x) * (c_y - a_y) - (y - a_y) * (c_x - a_x)) / area
    to_c = ((b_x - a_x) * (y - a_y) - (b_y - a_y) * (x - a_x)) / area
    a, b, c = old
    return tuple(a[i] + to_b * (b[i] - a[i]) + to_c * (c[i] - a[i]) for i in (0, 1))  # type: ignore[return-value]


def grid(height: int, width: int, device: torch.device) -> tuple[Float64[Tensor, "h 1"], Float64[Tensor, " w"]]:
    y = torch.arange(height, dtype=torch.float64, device=device)[:, None]
    return y, torch.arange(width, dtype=torch.float64, device=device)


def sampled(x: Levels, y_from: Plane, x_from: Plane, *, about_pixels: bool) -> Levels:
    """Bilinear interpolation; beyond the edges, the image reflected about its outermost pixels or their outer edges."""
    height, width = x.shape[2:]
    if about_pixels:
        scaled = 2 * x_from / (width - 1) - 1, 2 * y_from / (height - 1) - 1
    else:
        scaled = (2 * x_from + 1) / width - 1, (2 * y_from + 1) / height - 1
    places = torch.stack(scaled, -1).float()
    new = grid_sample(x.float(), places, padding_mode="reflection", align_corners=about_pixels).double()
    # In float32 a flat region comes out a hair below its level, and truncation would make a whole level of it.
    return (new * 1024).round() / 1024
