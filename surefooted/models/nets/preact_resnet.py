"""ResNet v2 of depth 9n + 2, the CIFAR-10 network of AR-AdaLS."""

from __future__ import annotations

from functools import partial

from torch import nn

from surefooted.components.component import Count, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.residual import Residual, conv, global_average, group, he_normal_
from surefooted.models.nets.stages import Shape, at_least, stages

STEM = 16


@component
def resnet29_v2(shape: Shape, classes: Count, /, *, n: Count = 3, normalise: How = "pixel_mean") -> nn.Sequential:
    """ResNet-29 v2 (pre-activation bottlenecks): groups of n blocks, 64, 128, 256 channels; depth 9n + 2.

    As in the Keras example that the paper names: convolutions have biases, shortcuts are bare 1×1 convolutions in the
    first block of each group, the stride stands on the first 1×1, batch norm has ε = 1e-3 and momentum 0.01 (PyTorch's
    sense), weights start He-normal.

    Stages: normalise, stem, layer1, layer2, layer3, norm (batch norm, ReLU), pool (global average, flat: 256 wide), fc.

    Args:
        shape: (C, H, W) of the images; from 4×4. 843,786 parameters for 32×32 RGB, 10 classes, n = 3.
        n: blocks of a group; 3 makes 29 layers.
        normalise: none, channel or pixel_mean (the mean training image is subtracted, as in the paper).

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: He et al., *Identity mappings in deep residual networks*, ECCV 2016; AR-AdaLS, appendix A.2.
    """
    at_least(4, shape, "resnet29_v2")
    net = stages(
        normalise=Normalise(shape, normalise),
        stem=stages(conv=conv(shape[0], STEM, 3, bias=True), bn=_norm(STEM), relu=nn.ReLU()),
        layer1=group(partial(_bottleneck, width=16), n, STEM, 64, stride=1),
        layer2=group(partial(_bottleneck, width=64), n, 64, 128, stride=2),
        layer3=group(partial(_bottleneck, width=128), n, 128, 256, stride=2),
        norm=stages(bn=_norm(256), relu=nn.ReLU()),
        pool=global_average(),
        fc=nn.Linear(256, classes),
    )
    he_normal_(net)
    return net


def _bottleneck(inner: int, outer: int, stride: int, *, width: int) -> Residual:
    first = inner == STEM  # the stem has just normalised and activated
    return Residual(
        stages(
            bn1=None if first else _norm(inner),
            relu1=None if first else nn.ReLU(),
            conv1=conv(inner, width, 1, stride, bias=True),
            bn2=_norm(width),
            relu2=nn.ReLU(),
            conv2=conv(width, width, 3, bias=True),
            bn3=_norm(width),
            relu3=nn.ReLU(),
            conv3=conv(width, outer, 1, bias=True),
        ),
        shortcut=None if inner == outer else conv(inner, outer, 1, stride, bias=True),
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
