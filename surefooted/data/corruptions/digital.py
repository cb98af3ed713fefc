"""Digital changes: contrast, saturation, pixelation, JPEG compression."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity
from surefooted.data.corruptions.colour import scale_saturation
from surefooted.data.corruptions.filters import box_resize_matrix


@component
def contrast(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Contrast: differences from the mean of each channel are reduced.

    Args:
        severity: 1 to 5, for a factor of .75, .5, .4, .3, .15 (ImageNet-C: .4, .3, .2, .1, .05).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(2, 3, 32, 32)
        >>> corrupted = sf.corruptions.contrast(severity=2)(x, torch.arange(2))
        >>> round((corrupted.std() / x.std()).item(), 1)
        0.5

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, _: Noise, factor: float) -> PixelLevels:
        mean = x.mean((2, 3), keepdim=True)
        return (x - mean) * factor + mean

    cifar, imagenet = (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=11, random=False)


@component
def saturate(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Saturation: paler colours (severities 1 and 2) or stronger colours (3 to 5); colour images only.

    As in the original, grey pixels of colour images count as red and become reddish where saturation is added.

    Args:
        severity: 1 to 5, for (factor, added) of (.3, 0), (.1, 0), (1.5, 0), (2, .1), (2.5, .2) (ImageNet-C: (.3, 0),
            (.1, 0), (2, 0), (5, .1), (20, .2)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(1, 3, 8, 8)
        >>> pale = sf.corruptions.saturate(severity=1)(red, torch.arange(1))
        >>> (pale[0, :, 0, 0] * 255).round().tolist()
        [255.0, 178.0, 178.0]

    Reference:
        Hendrycks and Dietterich, ICLR 2019; one of the four extra types.
    """

    def change(x: PixelLevels, _: Noise, constant: tuple[float, float]) -> PixelLevels:
        return scale_saturation(x, *constant)

    cifar = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))
    imagenet = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
    options = CorruptionOptions(severity, scale, quantise)
    return Corruption(change, cifar, imagenet, options, stream=18, random=False, monotone=False, colour_only=True)


@component
def pixelate(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Pixelation: the image is reduced by a box filter and enlarged again by repetition.

    The reduced image is always 8-bit, even with ``quantise=False``.

    Args:
        severity: 1 to 5, for a reduced size of .95, .9, .85, .75, .65 of the side, rounded down to whole pixels
            (ImageNet-C: .6, .5, .4, .3, .25).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(1, 1, 32, 32)
        >>> corrupted = sf.corruptions.pixelate(severity=2, scale="imagenet")(x, torch.arange(1))
        >>> torch.equal(corrupted[..., ::2, ::2], corrupted[..., 1::2, 1::2])  # blocks of 2×2 pixels
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, _: Noise, share: float) -> PixelLevels:
        small_height, small_width = (int(n * share) for n in x.shape[2:])
        height, width = x.shape[2:]
        small = _round_half_up(x.round() @ box_resize_matrix(width, small_width).T.to(x.device))
        small = _round_half_up(box_resize_matrix(height, small_height).to(x.device) @ small)
        large = small @ box_resize_matrix(small_width, width).T.to(x.device)
        return box_resize_matrix(small_height, height).to(x.device) @ large

    cifar, imagenet = (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=13, random=False)


@component
def jpeg_compression(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """JPEG compression by Pillow: the image is encoded and decoded again.

    The encoded image is always 8-bit, even with ``quantise=False``. Pixels may differ by one or two levels between
    versions of the codec.

    Args:
        severity: 1 to 5, for a quality of 80, 65, 58, 50, 40 (ImageNet-C: 25, 18, 15, 10, 7).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(2, 3, 32, 32)
        >>> strong, weak = (sf.corruptions.jpeg_compression(severity=s)(x, torch.arange(2)) for s in (5, 1))
        >>> bool((strong - x).abs().mean() > (weak - x).abs().mean())
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, _: Noise, quality: int) -> PixelLevels:
        channels_last = x.round().byte().permute(0, 2, 3, 1).cpu().numpy()
        decoded = np.stack([_jpeg_round_trip(image, quality) for image in channels_last])
        return torch.from_numpy(decoded).to(x.device).permute(0, 3, 1, 2).to(x.dtype)

    cifar, imagenet = (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=14, random=False)


def _round_half_up(x: PixelLevels) -> PixelLevels:
    return x.add(0.5).floor()


def _jpeg_round_trip(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode an 8-bit image (h, w, c) as JPEG and decode it."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer, formats=("JPEG",)) as decoded:
        return np.array(decoded).reshape(image.shape)
