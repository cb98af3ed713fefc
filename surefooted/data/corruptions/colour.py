"""Colours: luma, and the value and saturation of hue, saturation and value, without ever computing a hue.

At one hue, a colour lies on a straight line between its value (the largest channel) and black; saturation stretches the
distances to the value. Grey images are colours of saturation 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from surefooted.data.corruptions.base import Levels

One = Float64[Tensor, "b 1 h w"]

LUMA = (0.299, 0.587, 0.114)


def grey(x: Levels) -> One:
    """Luma, as one channel."""
    return x if x.shape[1] == 1 else (x * like(x, LUMA)).sum(1, keepdim=True)


def like(x: Levels, colour: tuple[float, float, float]) -> Float64[Tensor, "c 1 1"]:
    """A colour in the channels of images: its luma, where they are grey."""
    parts = colour if x.shape[1] == 3 else (sum(part * share for part, share in zip(colour, LUMA)),)
    return torch.tensor(parts, dtype=x.dtype, device=x.device)[:, None, None]


def with_value(x: Levels, value: One) -> Levels:
    """The same hue and saturation at another value. Black has none of either, and becomes grey."""
    old = x.amax(1, keepdim=True)
    # From the value down, so that the largest channel is the value to the last bit.
    return value - (old - x) * (value / old.clamp(min=1e-9))


def with_saturation(x: Levels, factor: float, more: float) -> Levels:
    """Saturation s turned into factor × s + more, at most 1. Greys have the hue of red."""
    value, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    spread = value - low
    wanted = (factor * spread + more * value).clamp(max=value)  # saturation × value
    red = value - like(x, (0.0, 1.0, 1.0)) * wanted
    return torch.where(spread > 0, value - (value - x) * (wanted / spread.clamp(min=1e-9)), red)
