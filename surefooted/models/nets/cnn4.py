"""The four-layer CNN of EntM."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.stages import sequential


@image_network(min_side=16)
def cnn4(shape: Shape, classes: Count, /, *, normalise: NormaliseMode = "none") -> nn.Sequential:
    """Four-layer CNN: unpadded 5×5 convolutions (10, 20 channels) with ReLU and max pooling, then 50, classes units.

    Stages: normalise, conv1, conv2, fc1 (50 wide, begins by flattening), fc2.

    Args:
        shape: (C, H, W) of the images, at least 16×16 pixels. The paper uses 28×28 grey, where fc1 reads 320 features.
        classes: number of classes.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        EntM, appendix A.1. The printed architecture (stride 5; a layer 320 → 10 before one 50 → 10) cannot be built;
        this is stride 1 and 320 → 50.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.cnn4((1, 28, 28), 10)
        >>> net(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    channels, height, width = shape
    flat = 20 * _pooled_side(height) * _pooled_side(width)
    return sequential(
        normalise=Normalise(shape, normalise),
        conv1=sequential(conv=nn.Conv2d(channels, 10, 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        conv2=sequential(conv=nn.Conv2d(10, 20, 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        fc1=sequential(flatten=nn.Flatten(), linear=nn.Linear(flat, 50), relu=nn.ReLU()),
        fc2=nn.Linear(50, classes),
    )


def _pooled_side(side: int) -> int:
    """Pixels per side after two rounds of unpadded 5×5 convolution and pooling."""
    return ((side - 4) // 2 - 4) // 2
