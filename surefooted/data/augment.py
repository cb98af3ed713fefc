"""Augmentations: random changes of training images, computed on their device.

An augmentation is a function of points and noise that returns new images. Noise is keyed by seed, row and epoch, so the
change of a row does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import Count, Share, component
from surefooted.core.rng import Noise
from surefooted.core.types import Points

__all__ = ["crop", "flip", "shift"]

Augmentation = Callable[[Points, Noise], Float[Tensor, "b c h w"]]

# Streams that keep augmentations independent of each other and of other draws for a row.
CROP_STREAM, FLIP_STREAM, SHIFT_STREAM = 0x100, 0x200, 0x300


@component
def crop(*, pad: Count = 4) -> Augmentation:
    """Random crop: the image is padded with zeros on all sides and cropped to its size at a random place.

    Args:
        pad: pixels added on each side, which is also the largest displacement.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> from surefooted.core.rng import Noise
        >>> from surefooted.data import augment
        >>> points = sf.data.cifar10().train.points(slice(0, 8))
        >>> augment.crop(pad=4)(points, Noise(seed=0, rows=points.rows)).shape
        torch.Size([8, 3, 32, 32])
    """

    def augment(points: Points, noise: Noise) -> Float[Tensor, "b c h w"]:
        height, width = points.x.shape[2:]
        offsets = (uniform_pair(noise, CROP_STREAM) * (2 * pad + 1)).long()
        padded = torch.nn.functional.pad(points.x, (pad, pad, pad, pad))
        rows = _gather_axis(padded, 2, offsets[:, :1] + torch.arange(height, device=offsets.device))
        return _gather_axis(rows, 3, offsets[:, 1:] + torch.arange(width, device=offsets.device))

    return augment


@component
def flip() -> Augmentation:
    """Random horizontal flip with probability 1/2.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> from surefooted.core.rng import Noise
        >>> from surefooted.data import augment
        >>> points = sf.data.cifar10().train.points(slice(0, 1))
        >>> flipped = augment.flip()(points, Noise(seed=0, rows=points.rows))
        >>> torch.equal(flipped, points.x) or torch.equal(flipped, points.x.flip(3))
        True
    """

    def augment(points: Points, noise: Noise) -> Float[Tensor, "b c h w"]:
        chosen = uniform_pair(noise, FLIP_STREAM)[:, 0] < 0.5
        return torch.where(chosen[:, None, None, None], points.x.flip(3), points.x)

    return augment


@component
def shift(*, fraction: Share = 0.1) -> Augmentation:
    """Random shift along both axes by real-valued amounts, with bilinear interpolation and repeated edges.

    Amounts are uniform from -``fraction`` to +``fraction`` of the height and of the width, as in Keras'
    ImageDataGenerator (``height_shift_range``, ``width_shift_range``, ``fill_mode="nearest"``).

    Args:
        fraction: largest shift, as a share of the size.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> from surefooted.core.rng import Noise
        >>> from surefooted.data import augment
        >>> points = sf.data.cifar10().train.points(slice(0, 8))
        >>> unchanged = augment.shift(fraction=0.0)(points, Noise(seed=0, rows=points.rows))
        >>> torch.equal(unchanged, points.x)
        True
    """

    def augment(points: Points, noise: Noise) -> Float[Tensor, "b c h w"]:
        amounts = (2 * uniform_pair(noise, SHIFT_STREAM) - 1) * fraction
        # Bilinear interpolation on a shifted grid is linear interpolation along one axis, then along the other.
        return _shift_axis(_shift_axis(points.x, 2, amounts[:, 0]), 3, amounts[:, 1])

    return augment


def uniform_pair(noise: Noise, stream: int) -> Float[Tensor, "b 2"]:
    """Two uniform draws per row from a stream of an augmentation."""
    return replace(noise, stream=noise.stream ^ stream).uniform(2)


def _shift_axis(x: Float[Tensor, "b c h w"], axis: int, share: Float[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """Shift each image along an axis by its share of the size, with linear interpolation."""
    size = x.shape[axis]
    places = (torch.arange(size, device=x.device) - share[:, None] * size).clamp(0, size - 1)
    below = places.floor()
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    weight = (places - below).view(shape)
    low = below.long()
    high = (low + 1).clamp(max=size - 1)
    return torch.lerp(_gather_axis(x, axis, low), _gather_axis(x, axis, high), weight)


def _gather_axis(x: Float[Tensor, "b c m n"], axis: int, places: Int[Tensor, "b k"]) -> Float[Tensor, "b c p q"]:
    """Select rows (axis 2) or columns (axis 3) of each image by its own ``places``."""
    shape = list(x.shape)
    shape[axis] = places.shape[1]
    index = places[:, None, :, None] if axis == 2 else places[:, None, None, :]
    return x.gather(axis, index.expand(shape))
