"""Frost: ice crystals on the lens, grown by noise or cut out of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.colour import LUMA
from surefooted.data.corruptions.motion import angles, moved
from surefooted.data.corruptions.weather import plasma
from surefooted.data.decode import pixels
from surefooted.data.paths import contained, directory, locate
from surefooted.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

# Mean and spread of red, green and blue in each of the five photographs that the original draws from.
TINTS = (
    ((78, 148, 165), (21, 13, 12)),
    ((198, 202, 212), (18, 18, 19)),
    ((198, 202, 212), (18, 18, 19)),
    ((143, 157, 170), (26, 26, 27)),
    ((104, 115, 127), (34, 34, 33)),
)
# Spread of the brightness from one part of a photograph to another, in spreads within a part.
UNEVEN = 0.5


@component
def frost(
    *,
    severity: Severity = 1,
    scale: Scale = "auto",
    quantise: bool = True,
    photographs: str | Path | None = None,
) -> Corruption:
    """Frost: ice crystals over a darkened image.

    The original cuts its frost out of five photographs. Here it is grown from noise: a plasma fractal, and needles in
    two directions, tinted and as contrasty as those photographs are. Give a folder of photographs to cut from these
    instead, as the original does: a part of one of them, drawn for each row.

    Args:
        severity: 1 to 5, for (image, frost) of (1, .2), (1, .3), (.9, .4), (.85, .4), (.75, .45) (ImageNet-C: (1, .4),
            (.8, .6), (.7, .7), (.65, .7), (.6, .75)).
        scale: whose constants; see ``gaussian_noise``. CIFAR-10-C takes every fifth pixel of a photograph.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.
        photographs: folder of PNG, JPEG, WebP or BMP files, each larger than the images (five times for CIFAR-10-C).

    Raises:
        InputError: for a folder without photographs; when run on images larger than one of them.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """
    given = None if photographs is None else read(directory(locate(photographs)))

    def change(x: Levels, noise: Noise, constant: tuple[float, float, int]) -> Levels:
        image, ice, every = constant
        layer = grown(noise, *x.shape[2:]) if given is None else cut(given, every, noise, *x.shape[2:])
        if x.shape[1] == 1:
            layer = (layer * layer.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        return image * x + ice * layer

    cifar = ((1.0, 0.2, 5), (1.0, 0.3, 5), (0.9, 0.4, 5), (0.85, 0.4, 5), (0.75, 0.45, 5))
    imagenet = ((1.0, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1))
    return corruption(change, cifar, imagenet, 8, severity, scale, quantise)


def grown(noise: Noise, height: int, width: int) -> Float64[Tensor, "b 3 h w"]:
    """Frost as levels of red, green and blue."""
    longest = max(height, width)
    ice = plasma(noise.at(noise.step + 1), longest, 1.6)[:, None, :height, :width]
    seeds = (255 * noise.at(noise.step + 2).uniform(2, height, width).double()).floor()
    turned = noise.at(noise.step + 3)
    needles = [
        moved(seeds[:, :1], angles(turned, 0, 180), longest // 8, longest / 16),
        moved(seeds[:, 1:], angles(turned.at(turned.step + 1), 0, 180), longest // 8, longest / 32),
    ]
    drawn = noise.uniform(1)[:, 0]
    shade = UNEVEN * noise.at(noise.step + 5).normal(1, 1, 1).double()
    relief = standard(0.8 * standard(ice) + sum(standard(needle) for needle in needles)) + shade
    tint = torch.tensor(TINTS, dtype=torch.float64, device=drawn.device)[(drawn * len(TINTS)).long()]
    mean, spread = tint[..., None, None].unbind(1)
    return (mean + spread * relief).clamp(0, 255).floor()


def standard(x: Levels) -> Levels:
    """Mean 0 and standard deviation 1 in each image."""
    centred = x - x.mean((1, 2, 3), keepdim=True)
    return centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-9)


def read(folder: Path) -> list[UInt8[Tensor, "3 h w"]]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    if not files:
        raise InputError(f"{str(folder)!r} holds no photographs ({', '.join(SUFFIXES)}). Put some in, or give none.")
    arrays = [pixels(str(file), contained(file, folder).read_bytes(), 3) for file in files]
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


def cut(photographs: list[Tensor], every: int, noise: Noise, height: int, width: int) -> Float64[Tensor, "b 3 h w"]:
    """A part of one of the photographs for each row."""
    # Bilinear interpolation at a fifth of the size, without smoothing: the middle one of every five pixels.
    small = [photograph[:, every // 2 :: every, every // 2 :: every] for photograph in photographs]
    least = (min(p.shape[1] for p in small), min(p.shape[2] for p in small))
    if least[0] < height or least[1] < width:
        raise InputError(
            f"frost: a photograph of {least[0] * every}×{least[1] * every} pixels is too small to cut {height}×{width} "
            f"out of every {every}th; at least {height * every}×{width * every} is expected. Take larger ones."
        )
    draws = noise.uniform(3).double().cpu()
    parts = []
    for which, down, right in draws.tolist():
        photograph = small[int(which * len(small))]
        top = int(down * max(1, photograph.shape[1] - height))
        left = int(right * max(1, photograph.shape[2] - width))
        parts.append(photograph[:, top : top + height, left : left + width])
    return torch.stack(parts).to(noise.rows.device).double()
