"""Frost: ice crystals on the lens, generated from noise or cropped from photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity
from surefooted.data.corruptions.colour import LUMA
from surefooted.data.corruptions.motion import motion_filter, random_angles
from surefooted.data.corruptions.weather import plasma_fractal
from surefooted.data.decode import IMAGE_SUFFIXES, decode_image
from surefooted.data.folder import image_files, read_file
from surefooted.data.paths import directory, locate
from surefooted.errors import ArgumentError, DataError

# Mean and standard deviation of red, green and blue in each of the five photographs of the original.
_TINTS = (
    ((78, 148, 165), (21, 13, 12)),
    ((198, 202, 212), (18, 18, 19)),
    ((198, 202, 212), (18, 18, 19)),
    ((143, 157, 170), (26, 26, 27)),
    ((104, 115, 127), (34, 34, 33)),
)
# Standard deviation of the brightness between crops of a photograph, relative to that within a crop.
_SHADE_SPREAD = 0.5


@component
def frost(
    *,
    severity: Severity = 1,
    scale: Scale = "auto",
    quantise: bool = True,
    photographs: str | Path | None = None,
) -> Corruption:
    """Frost: ice crystals over a darkened image.

    The original crops its frost from five photographs. By default, frost is generated from noise instead: a plasma
    fractal and needles in two directions, with the tint and the contrast of those photographs. If a folder of
    photographs is given, frost is cropped from them as in the original, at a random place per row.

    Args:
        severity: 1 to 5, for (image, frost) of (1, .2), (1, .3), (.9, .4), (.85, .4), (.75, .45) (ImageNet-C: (1, .4),
            (.8, .6), (.7, .7), (.65, .7), (.6, .75)).
        scale: whose constants; see ``gaussian_noise``. CIFAR-10-C uses every fifth pixel of a photograph.
        quantise: read and return 8-bit images; see ``gaussian_noise``.
        photographs: folder of PNG, JPEG, WebP or BMP files, each larger than the images (five times for CIFAR-10-C).

    Raises:
        DataError: the folder has no photographs.
        ArgumentError: when called, a photograph is smaller than the images.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> black = torch.zeros(2, 3, 32, 32)
        >>> bool(sf.corruptions.frost(severity=3)(black, torch.arange(2)).mean() > 0.1)
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """
    given = None if photographs is None else _read_photographs(directory(locate(photographs)))

    def change(x: PixelLevels, noise: Noise, constant: tuple[float, float, int]) -> PixelLevels:
        image, ice, stride = constant
        layer = _grow_frost(noise, *x.shape[2:]) if given is None else _crop(given, stride, noise, *x.shape[2:])
        if x.shape[1] == 1:
            layer = (layer * layer.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        return image * x + ice * layer

    cifar = ((1.0, 0.2, 5), (1.0, 0.3, 5), (0.9, 0.4, 5), (0.85, 0.4, 5), (0.75, 0.45, 5))
    imagenet = ((1.0, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1))
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=8)


def _grow_frost(noise: Noise, height: int, width: int) -> Float64[Tensor, "b 3 h w"]:
    """Frost as levels of red, green and blue."""
    longest = max(height, width)
    ice = plasma_fractal(noise.at(noise.step + 1), longest, 1.6)[:, None, :height, :width]
    seeds = (255 * noise.at(noise.step + 2).uniform(2, height, width).double()).floor()
    directions = noise.at(noise.step + 3), noise.at(noise.step + 4)
    needles = [
        motion_filter(seeds[:, :1], random_angles(directions[0], 0, 180), longest // 8, longest / 16),
        motion_filter(seeds[:, 1:], random_angles(directions[1], 0, 180), longest // 8, longest / 32),
    ]
    drawn = noise.uniform(1)[:, 0]
    shade = _SHADE_SPREAD * noise.at(noise.step + 5).normal(1, 1, 1).double()
    relief = _standardise(0.8 * _standardise(ice) + sum(_standardise(needle) for needle in needles)) + shade
    tint = torch.tensor(_TINTS, dtype=torch.float64, device=drawn.device)[(drawn * len(_TINTS)).long()]
    mean, spread = tint[..., None, None].unbind(1)
    return (mean + spread * relief).clamp(0, 255).floor()


def _standardise(x: PixelLevels) -> PixelLevels:
    """Scale each image to mean 0 and standard deviation 1."""
    centred = x - x.mean((1, 2, 3), keepdim=True)
    return centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-9)


def _read_photographs(folder: Path) -> list[UInt8[Tensor, "3 h w"]]:
    files = image_files(folder, folder)
    if not files:
        raise DataError(
            f"{str(folder)!r} has no photographs ({', '.join(IMAGE_SUFFIXES)}). Add some, or omit `photographs`."
        )
    arrays = [decode_image(str(file), read_file(file), 3) for file in files]
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


def _crop(photographs: list[Tensor], stride: int, noise: Noise, height: int, width: int) -> Float64[Tensor, "b 3 h w"]:
    """One random crop per row from every ``stride``-th pixel of a random photograph."""
    # Bilinear interpolation to a fifth of the size, without smoothing, takes the middle one of every five pixels.
    small = [photograph[:, stride // 2 :: stride, stride // 2 :: stride] for photograph in photographs]
    smallest = (min(p.shape[1] for p in small), min(p.shape[2] for p in small))
    if smallest[0] < height or smallest[1] < width:
        raise ArgumentError(
            f"frost: a photograph of {smallest[0] * stride}×{smallest[1] * stride} pixels is too small to crop "
            f"{height}×{width} with a stride of {stride}; expected at least {height * stride}×{width * stride}. "
            "Use larger photographs."
        )
    crops = []
    for which, down, right in noise.uniform(3).double().cpu().tolist():
        photograph = small[int(which * len(small))]
        top = int(down * max(1, photograph.shape[1] - height))
        left = int(right * max(1, photograph.shape[2] - width))
        crops.append(photograph[:, top : top + height, left : left + width])
    return torch.stack(crops).to(noise.rows.device).double()
