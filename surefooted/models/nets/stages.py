"""Building blocks of all networks: named stages, and optional dropout."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def sequential(**stages: nn.Module | None) -> nn.Sequential:
    """An ``nn.Sequential`` with names. None is left out, so that an option does not rename what follows it."""
    return nn.Sequential(OrderedDict((name, module) for name, module in stages.items() if module is not None))


def dropout_layer(p: float) -> nn.Dropout | None:
    """A dropout layer, or None for p = 0."""
    return nn.Dropout(p) if p > 0 else None
