"""Elastic transform: the image printed on rubber."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import grid_sample

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity
from surefooted.data.corruptions.filters import gaussian_filter

Coordinates = Float64[Tensor, "b h w"]


@component
def elastic_transform(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Elastic transform: a random affine map, followed by smooth random displacements of the pixels.

    The affine map moves three points around the centre by up to m along each axis. Displacements are uniform noise in
    [-1, 1], blurred by a Gaussian of standard deviation s and multiplied by a. All three are shares of the smaller
    side.

    Args:
        severity: 1 to 5, for (a, s, m) of (0, 0, .08), (.05, .2, .07), (.08, .06, .06), (.1, .04, .05), (.1, .03, .03)
            (ImageNet-C: (2, .7, .1), (2, .08, .2), (.05, .01, .02), (.07, .01, .02), (.12, .01, .02), times 244/224).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> flat = torch.full((1, 3, 32, 32), 100 / 255)
        >>> torch.equal(sf.corruptions.elastic_transform(severity=5)(flat, torch.arange(1)), flat)
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019; P. Simard, D. Steinkraus, J. Platt. Best Practices for Convolutional Neural
        Networks, 2003.
    """

    def change(x: PixelLevels, noise: Noise, constant: tuple[float, float, float]) -> PixelLevels:
        height, width = x.shape[2:]
        strength, sigma, reach = (share * min(height, width) for share in constant)
        x = sample_bilinear(x, *random_affine(height, width, reach, noise), reflect_about="centres")
        fields = 2 * noise.at(noise.step + 1).uniform(2, height, width).double() - 1
        down, right = (strength * gaussian_filter(fields, sigma, truncate=3, edge="reflect")).unbind(1)
        y, z = _pixel_grid(height, width, x.device)
        return sample_bilinear(x, y + down, z + right, reflect_about="edges")

    cifar = ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
    shares = ((2.0, 0.7, 0.1), (2.0, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
    # The original multiplies by 244 pixels although its images have 224.
    imagenet = tuple(tuple(share * 244 / 224 for share in constant) for constant in shares)
    options = CorruptionOptions(severity, scale, quantise)
    return Corruption(change, cifar, imagenet, options, stream=12, monotone=False)


def random_affine(height: int, width: int, reach: float, noise: Noise) -> tuple[Coordinates, Coordinates]:
    """Source coordinates, y and x, of each pixel under an affine map that moves three points by up to ``reach``."""
    middle, side = (height // 2, width // 2), min(height, width) // 3
    signs = ((1, 1), (-1, 1), (-1, -1))  # lower right, upper right, upper left
    old = torch.tensor([[middle[0] + side * v, middle[1] + side * h] for v, h in signs], dtype=torch.float64)
    old = old.to(noise.rows.device)
    new = old + reach * (2 * noise.uniform(3, 2).double() - 1)
    y, x = _pixel_grid(height, width, old.device)
    (a_y, b_y, c_y), (a_x, b_x, c_x) = new[:, :, :, None, None].permute(2, 1, 0, 3, 4)
    # Barycentric coordinates in the triangle of the moved points, applied to the triangle of the original points.
    area = (b_x - a_x) * (c_y - a_y) - (b_y - a_y) * (c_x - a_x)
    to_b = ((x - a_x) * (c_y - a_y) - (y - a_y) * (c_x - a_x)) / area
    to_c = ((b_x - a_x) * (y - a_y) - (b_y - a_y) * (x - a_x)) / area
    a, b, c = old
    y_from, x_from = (a[i] + to_b * (b[i] - a[i]) + to_c * (c[i] - a[i]) for i in (0, 1))
    return y_from, x_from


def sample_bilinear(
    x: PixelLevels, y_from: Coordinates, x_from: Coordinates, *, reflect_about: Literal["centres", "edges"]
) -> PixelLevels:
    """Bilinear interpolation at given coordinates, which are reflected at the border of the image.

    Args:
        x: images.
        y_from: rows of the points, in pixels.
        x_from: columns of the points, in pixels.
        reflect_about: the ``centres`` or the outer ``edges`` of the outermost pixels.
    """
    height, width = x.shape[2:]
    centres = reflect_about == "centres"
    if centres:
        scaled = 2 * x_from / (width - 1) - 1, 2 * y_from / (height - 1) - 1
    else:
        scaled = (2 * x_from + 1) / width - 1, (2 * y_from + 1) / height - 1
    places = torch.stack(scaled, -1).float()
    new = grid_sample(x.float(), places, padding_mode="reflection", align_corners=centres).double()
    # In float32 a flat region may end slightly below its level, and truncation would then subtract a whole level.
    return (new * 1024).round() / 1024


def _pixel_grid(height: int, width: int, device: torch.device) -> tuple[Float64[Tensor, "h 1"], Float64[Tensor, " w"]]:
    y = torch.arange(height, dtype=torch.float64, device=device)[:, None]
    return y, torch.arange(width, dtype=torch.float64, device=device)
