"""Colours: luma, and value and saturation as in hue, saturation and value (HSV), without computing a hue.

Colours of one hue and saturation lie on a straight line from black to the colour of full value, where the value is the
largest channel. A change of saturation scales the distances of the channels to the value. Grey has saturation 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from surefooted.data.corruptions.base import GreyLevels, PixelLevels

# Weights of red, green and blue in the luma (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def luma(x: PixelLevels) -> GreyLevels:
    """Luma, as one channel."""
    return x if x.shape[1] == 1 else (x * colour_levels(x, LUMA)).sum(1, keepdim=True)


def colour_levels(x: PixelLevels, colour: tuple[float, float, float]) -> Float64[Tensor, "c 1 1"]:
    """A colour as levels that broadcast with images ``x``: its luma if they are grey."""
    levels = colour if x.shape[1] == 3 else (sum(level * weight for level, weight in zip(colour, LUMA)),)
    return torch.tensor(levels, dtype=x.dtype, device=x.device)[:, None, None]


def set_value(x: PixelLevels, value: GreyLevels) -> PixelLevels:
    """Change the value at constant hue and saturation. Black has neither and becomes grey."""
    old = x.amax(1, keepdim=True)
    # Computed downwards from the value, so that the largest channel equals the value to the last bit.
    return value - (old - x) * (value / old.clamp(min=1e-9))


def scale_saturation(x: PixelLevels, factor: float, added: float) -> PixelLevels:
    """Change saturation s to factor × s + added, at most 1. Grey is treated as a red hue."""
    value, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    spread = value - low
    new_spread = (factor * spread + added * value).clamp(max=value)  # saturation × value
    red = value - colour_levels(x, (0.0, 1.0, 1.0)) * new_spread
    return torch.where(spread > 0, value - (value - x) * (new_spread / spread.clamp(min=1e-9)), red)
