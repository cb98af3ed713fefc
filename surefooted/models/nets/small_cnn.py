"""The small CNN that TRADES trains on MNIST."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, Share
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.stages import dropout_layer, sequential


@image_network(min_side=16)
def small_cnn(
    shape: Shape, classes: Count, /, *, dropout: Share = 0.5, normalise: NormaliseMode = "none"
) -> nn.Sequential:
    """SmallCNN of TRADES: unpadded 3×3 convolutions 32, 32, pool, 64, 64, pool, then 200, 200, classes units.

    Convolutions start He-normal and the last layer at 0, so an untrained network gives every class the same
    probability. 312,202 parameters for 28×28 grey and 10 classes.

    Stages: normalise, conv1, conv2 (ends with pooling), conv3, conv4 (ends with pooling), fc1 (begins by flattening),
    fc2, fc3.

    Args:
        shape: (C, H, W) of the images, at least 16×16 pixels.
        classes: number of classes.
        dropout: dropout probability after fc1 only; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        The reference code of Zhang et al., *Theoretically principled trade-off between robustness and accuracy*,
        ICML 2019; Carlini & Wagner, 2017.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.small_cnn((1, 28, 28), 4)
        >>> net(torch.rand(1, 1, 28, 28)).softmax(-1).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    channels, height, width = shape
    flat = 64 * _pooled_side(height) * _pooled_side(width)
    last = nn.Linear(200, classes)
    net = sequential(
        normalise=Normalise(shape, normalise),
        conv1=sequential(conv=nn.Conv2d(channels, 32, 3), relu=nn.ReLU()),
        conv2=sequential(conv=nn.Conv2d(32, 32, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        conv3=sequential(conv=nn.Conv2d(32, 64, 3), relu=nn.ReLU()),
        conv4=sequential(conv=nn.Conv2d(64, 64, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        fc1=sequential(
            flatten=nn.Flatten(), linear=nn.Linear(flat, 200), relu=nn.ReLU(), dropout=dropout_layer(dropout)
        ),
        fc2=sequential(linear=nn.Linear(200, 200), relu=nn.ReLU()),
        fc3=last,
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return net


def _pooled_side(side: int) -> int:
    """Pixels per side after two rounds of two unpadded 3×3 convolutions and pooling."""
    return ((side - 4) // 2 - 4) // 2
