"""The small CNN with which TRADES treats MNIST."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, Share, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.stages import Shape, at_least, drop, stages


@component
def small_cnn(shape: Shape, classes: Count, /, *, dropout: Share = 0.5, normalise: How = "none") -> nn.Sequential:
    """SmallCNN of TRADES: unpadded 3×3 convolutions 32, 32, pool, 64, 64, pool, then 200, 200, classes units.

    Stages: normalise, conv1, conv2 (ends with pooling), conv3, conv4 (ends with pooling), fc1 (begins by flattening),
    fc2, fc3. Convolutions start He-normal and the last layer at 0, so an untrained network holds all classes equally
    likely, whatever the image.

    Args:
        shape: (C, H, W) of the images; from 16×16. 312,202 parameters for 28×28 grey and 10 classes.
        dropout: probability, after fc1 only; 0 puts no such layer in.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: the reference code of Zhang et al., *Theoretically principled trade-off between robustness and accuracy*,
    ICML 2019; Carlini & Wagner, 2017.
    """
    at_least(16, shape, "small_cnn")
    channels, height, width = shape
    flat = 64 * _left(height) * _left(width)
    last = nn.Linear(200, classes)
    net = stages(
        normalise=Normalise(shape, normalise),
        conv1=stages(conv=nn.Conv2d(channels, 32, 3), relu=nn.ReLU()),
        conv2=stages(conv=nn.Conv2d(32, 32, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        conv3=stages(conv=nn.Conv2d(32, 64, 3), relu=nn.ReLU()),
        conv4=stages(conv=nn.Conv2d(64, 64, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        fc1=stages(flatten=nn.Flatten(), linear=nn.Linear(flat, 200), relu=nn.ReLU(), dropout=drop(dropout)),
        fc2=stages(linear=nn.Linear(200, 200), relu=nn.ReLU()),
        fc3=last,
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return net


def _left(side: int) -> int:
    """Pixels of a side after two rounds of two unpadded 3×3 convolutions and pooling."""
    return ((side - 4) // 2 - 4) // 2
