"""A convolutional network for very small images, such as the 8×8 digits of the demo."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, Share
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.stages import dropout_layer, sequential


@image_network(min_side=2)
def small_convnet(
    shape: Shape, classes: Count, /, *, width: Count = 16, dropout: Share = 0.0, normalise: NormaliseMode = "none"
) -> nn.Sequential:
    """Two padded 3×3 convolutions, one 2×2 max pooling, 64 units: for tiny images and quick runs.

    It is in none of the papers; weights start as PyTorch initialises them.

    Stages: normalise, conv1, conv2 (ends with the pooling), fc1 (64 wide, begins by flattening), fc2.

    Args:
        shape: (C, H, W) of the images, at least 2×2 pixels.
        classes: number of classes.
        width: channels of the two convolutions.
        dropout: dropout probability after conv1, conv2 and fc1; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.small_convnet((1, 8, 8), 10)
        >>> net(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    channels, height, breadth = shape
    flat = width * (height // 2) * (breadth // 2)
    return sequential(
        normalise=Normalise(shape, normalise),
        conv1=sequential(conv=nn.Conv2d(channels, width, 3, padding=1), relu=nn.ReLU(), dropout=dropout_layer(dropout)),
        conv2=sequential(
            conv=nn.Conv2d(width, width, 3, padding=1),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            dropout=dropout_layer(dropout),
        ),
        fc1=sequential(
            flatten=nn.Flatten(), linear=nn.Linear(flat, 64), relu=nn.ReLU(), dropout=dropout_layer(dropout)
        ),
        fc2=nn.Linear(64, classes),
    )
