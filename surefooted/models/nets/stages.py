"""What the factories of networks share: modules with names, and the refusal of images that are too small."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from surefooted.components.component import Count
from surefooted.errors import InputError

Shape = tuple[Count, Count, Count]
"""(C, H, W) of the images."""


def stages(**named: nn.Module | None) -> nn.Sequential:
    """Modules in a row under their names; None is left out, so that an option does not rename what follows it."""
    return nn.Sequential(OrderedDict((name, module) for name, module in named.items() if module is not None))


def drop(p: float) -> nn.Dropout | None:
    """A dropout layer, or nothing at all for p = 0."""
    return nn.Dropout(p) if p > 0 else None


def at_least(size: int, shape: tuple[int, int, int], net: str) -> None:
    """Refuse images that the layers would shrink to nothing."""
    _, height, width = shape
    if min(height, width) < size:
        raise InputError(
            f"{net} needs images of at least {size}×{size} pixels; these have {height}×{width}. "
            f"Enlarge them, or use small_convnet (from 2×2) or mlp (any size)."
        )
