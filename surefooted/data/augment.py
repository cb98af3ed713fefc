"""Augmentations: random changes of a training batch, on its device, the same for a row in whatever batch it is.

An augmentation is a function of points and noise that gives the new inputs. The noise is keyed by (seed, row, epoch).
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

# Streams that keep the augmentations independent of each other, and of what else is drawn for a row.
CROP_STREAM, FLIP_STREAM, SHIFT_STREAM = 0x100, 0x200, 0x300


@component
def crop(*, pad: Count = 4) -> Augmentation:
    """Random crop: pad with zeros on all sides, and cut the old size out anywhere.

    Args:
        pad: pixels added on each side, and so the largest move.
    """

    def augment(points: Points, noise: Noise) -> Float[Tensor, "b c h w"]:
        height, width = points.x.shape[2:]
        moves = (uniform_pair(noise, CROP_STREAM) * (2 * pad + 1)).long()
        padded = torch.nn.functional.pad(points.x, (pad, pad, pad, pad))
        tall = _gather_axis(padded, 2, moves[:, :1] + torch.arange(height, device=moves.device))
        return _gather_axis(tall, 3, moves[:, 1:] + torch.arange(width, device=moves.device))

    return augment


@component
def flip() -> Augmentation:
    """Random horizontal flip: left and right change places with probability 1/2."""

    def augment(points: Points, noise: Noise) -> Float[Tensor, "b c h w"]:
        chosen = uniform_pair(noise, FLIP_STREAM)[:, 0] < 0.5
        return torch.where(chosen[:, None, None, None], points.x.flip(3), points.x)

    return augment


@component
def shift(*, fraction: Share = 0.1) -> Augmentation:
    """Random shift: move by a continuous amount in both axes, bilinear, edges repeated.

    The amounts are uniform from -``fraction`` to +``fraction`` of the height and of the width, as in Keras'
    ImageDataGenerator (``height_shift_range``, ``width_shift_range``, ``fill_mode="nearest"``).

    Args:
        fraction: largest move, as a share of the size.
    """

    def augment(points: Points, noise: Noise) -> Float[Tensor, "b c h w"]:
        amounts = (2 * uniform_pair(noise, SHIFT_STREAM) - 1) * fraction
        # Bilinear interpolation at points of a shifted grid is linear interpolation in one axis, then in the other.
        return _shift_axis(_shift_axis(points.x, 2, amounts[:, 0]), 3, amounts[:, 1])

    return augment


def uniform_pair(noise: Noise, stream: int) -> Float[Tensor, "b 2"]:
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
    """For each image its own rows (axis 2) or columns (axis 3), in the order of ``places``."""
    shape = list(x.shape)
    shape[axis] = places.shape[1]
    index = places[:, None, :, None] if axis == 2 else places[:, None, None, :]
    return x.gather(axis, index.expand(shape))
