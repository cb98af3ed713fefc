"""ResNet-18 with the stem for small images, as TRADES, EntM and UTA train it."""

from __future__ import annotations

from functools import partial

from torch import nn

from surefooted.components.component import Count, Share, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.residual import Residual, conv, global_average, group, projection
from surefooted.models.nets.stages import Shape, at_least, drop, stages


@component
def resnet18(shape: Shape, classes: Count, /, *, dropout: Share = 0.0, normalise: How = "none") -> nn.Sequential:
    """ResNet-18 (v1, basic blocks) with a 3×3 stem of stride 1: 64, 128, 256, 512 channels, two blocks each.

    Stages: normalise, stem, layer1, ..., layer4, pool (global average, flat: 512 wide), fc.

    Args:
        shape: (C, H, W) of the images; from 8×8. 11,173,962 parameters for 32×32 RGB and 10 classes.
        dropout: probability, after the ReLU that follows every 3×3 convolution (UTA's MC dropout: 0.2); 0 puts no such
            layer in. The weights have the same names either way.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: He et al., CVPR 2016; the reference code of TRADES (EntM); UTA, table 5, whose widths 64·ℓ, first group of
    three blocks and padded 1×1 convolutions do not make a ResNet-18 that ends 512 wide: read the standard one.
    """
    at_least(8, shape, "resnet18")
    block = partial(_basic, dropout=dropout)
    return stages(
        normalise=Normalise(shape, normalise),
        stem=stages(conv=conv(shape[0], 64, 3), bn=nn.BatchNorm2d(64), relu=nn.ReLU(), dropout=drop(dropout)),
        layer1=group(block, 2, 64, 64, stride=1),
        layer2=group(block, 2, 64, 128, stride=2),
        layer3=group(block, 2, 128, 256, stride=2),
        layer4=group(block, 2, 256, 512, stride=2),
        pool=global_average(),
        fc=nn.Linear(512, classes),
    )


def _basic(inner: int, outer: int, stride: int, *, dropout: float) -> Residual:
    return Residual(
        stages(
            conv1=conv(inner, outer, 3, stride),
            bn1=nn.BatchNorm2d(outer),
            relu=nn.ReLU(),
            dropout=drop(dropout),
            conv2=conv(outer, outer, 3),
            bn2=nn.BatchNorm2d(outer),
        ),
        shortcut=projection(inner, outer, stride),
        after=stages(relu=nn.ReLU(), dropout=drop(dropout)),
    )
