"""The four-layer CNN of EntM."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.stages import Shape, at_least, stages


@component
def cnn4(shape: Shape, classes: Count, /, *, normalise: How = "none") -> nn.Sequential:
    """Four-layer CNN: unpadded 5×5 convolutions (10, 20 channels) with ReLU and max pooling, then 50, classes units.

    Stages: normalise, conv1, conv2, fc1 (50 wide, begins by flattening), fc2.

    Args:
        shape: (C, H, W) of the images; from 16×16 (28×28 grey in the paper, where 320 features enter fc1).
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: EntM, appendix A.1. As printed (stride 5, a layer 320 → 10 before one 50 → 10) it cannot be built; read
    stride 1 and 320 → 50.
    """
    at_least(16, shape, "cnn4")
    channels, height, width = shape
    flat = 20 * _left(height) * _left(width)
    return stages(
        normalise=Normalise(shape, normalise),
        conv1=stages(conv=nn.Conv2d(channels, 10, 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        conv2=stages(conv=nn.Conv2d(10, 20, 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        fc1=stages(flatten=nn.Flatten(), linear=nn.Linear(flat, 50), relu=nn.ReLU()),
        fc2=nn.Linear(50, classes),
    )


def _left(side: int) -> int:
    """Pixels of a side after two rounds of unpadded 5×5 convolution and pooling."""
    return ((side - 4) // 2 - 4) // 2
