"""What happens to an image in a computer: contrast, saturation, pixelation, JPEG."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.colour import with_saturation
from surefooted.data.corruptions.filters import boxed


@component
def contrast(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Contrast: each channel drawn together towards its mean over the image.

    Args:
        severity: 1 to 5, for a factor of .75, .5, .4, .3, .15 (ImageNet-C: .4, .3, .2, .1, .05).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, _: Noise, factor: float) -> Levels:
        mean = x.mean((2, 3), keepdim=True)
        return (x - mean) * factor + mean

    cifar, imagenet = (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)
    return corruption(change, cifar, imagenet, 11, severity, scale, quantise)


@component
def saturate(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Saturation: colours paler (severities 1 and 2) or stronger (3 to 5). Grey images are refused.

    Grey pixels of colour images have the hue of red, as in the original, and redden where something is added.

    Args:
        severity: 1 to 5, for (factor, added) of (.3, 0), (.1, 0), (1.5, 0), (2, .1), (2.5, .2) (ImageNet-C: (.3, 0),
            (.1, 0), (2, 0), (5, .1), (20, .2)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: Levels, _: Noise, constant: tuple[float, float]) -> Levels:
        return with_saturation(x, *constant)

    cifar = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))
    imagenet = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
    return corruption(change, cifar, imagenet, 18, severity, scale, quantise, colour=True)


@component
def pixelate(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Pixelation: scaled down by means over boxes, and up again by repeating.

    The small image is 8-bit, whatever ``quantise`` is.

    Args:
        severity: 1 to 5, for a size of .95, .9, .85, .75, .65 of the side, cut to whole pixels (ImageNet-C: .6, .5,
            .4, .3, .25).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, _: Noise, share: float) -> Levels:
        (down, up), (left, right) = ([boxed(n, int(n * share)), boxed(int(n * share), n)] for n in x.shape[2:])
        small = (down.to(x.device) @ halves_up(x.round() @ left.T.to(x.device))).add(0.5).floor()
        return up.to(x.device) @ (small @ right.T.to(x.device))

    cifar, imagenet = (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)
    return corruption(change, cifar, imagenet, 13, severity, scale, quantise)


@component
def jpeg_compression(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """JPEG compression, by Pillow: the image written and read again.

    The image is 8-bit, whatever ``quantise`` is. Pixels may differ by a level or two between versions of the codec.

    Args:
        severity: 1 to 5, for a quality of 80, 65, 58, 50, 40 (ImageNet-C: 25, 18, 15, 10, 7).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, _: Noise, quality: int) -> Levels:
        bytes_last = x.round().byte().permute(0, 2, 3, 1).cpu().numpy()
        read = np.stack([through_jpeg(image, quality) for image in bytes_last])
        return torch.from_numpy(read).to(x.device).permute(0, 3, 1, 2).to(x.dtype)

    return corruption(change, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7), 14, severity, scale, quantise)


def halves_up(x: Levels) -> Levels:
    return x.add(0.5).floor()


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """An 8-bit image (h, w, c), written as JPEG and read again."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer, formats=("JPEG",)) as written:
        return np.array(written).reshape(image.shape)
