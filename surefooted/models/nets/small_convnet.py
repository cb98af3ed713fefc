"""A convolutional network for images of a few pixels, such as the 8×8 digits of the demo."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, Share, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.stages import Shape, at_least, drop, stages


@component
def small_convnet(
    shape: Shape, classes: Count, /, *, width: Count = 16, dropout: Share = 0.0, normalise: How = "none"
) -> nn.Sequential:
    """Two padded 3×3 convolutions, one 2×2 max pooling, 64 units: for tiny images and quick runs.

    Stages: normalise, conv1, conv2 (ends with the pooling), fc1 (64 wide, begins by flattening), fc2.

    Args:
        shape: (C, H, W) of the images; from 2×2.
        width: channels of the two convolutions.
        dropout: probability, after each stage between normalise and fc2; 0 puts no such layer in.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: none of the papers; PyTorch's default initialisation.
    """
    at_least(2, shape, "small_convnet")
    channels, height, breadth = shape
    flat = width * (height // 2) * (breadth // 2)
    return stages(
        normalise=Normalise(shape, normalise),
        conv1=stages(conv=nn.Conv2d(channels, width, 3, padding=1), relu=nn.ReLU(), dropout=drop(dropout)),
        conv2=stages(
            conv=nn.Conv2d(width, width, 3, padding=1), relu=nn.ReLU(), pool=nn.MaxPool2d(2), dropout=drop(dropout)
        ),
        fc1=stages(flatten=nn.Flatten(), linear=nn.Linear(flat, 64), relu=nn.ReLU(), dropout=drop(dropout)),
        fc2=nn.Linear(64, classes),
    )
