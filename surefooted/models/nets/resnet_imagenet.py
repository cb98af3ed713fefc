"""ResNet-101 for images of ImageNet's size, as AR-AdaLS trains it."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.residual import Residual, conv, global_average, group, he_normal_, projection
from surefooted.models.nets.stages import Shape, at_least, stages


@component
def resnet101(shape: Shape, classes: Count, /, *, normalise: How = "none") -> nn.Sequential:
    """ResNet-101 (v1, bottlenecks): 7×7 stem of stride 2, max pooling, groups of 3, 4, 23, 3 blocks.

    The stride stands on the 3×3 convolution of a bottleneck, as in the training script that the paper names (also
    called v1.5); He et al. put it on the first 1×1.

    Stages: normalise, stem, layer1, ..., layer4, pool (global average, flat: 2048 wide), fc.

    Args:
        shape: (C, H, W) of the images; from 32×32. 44,549,160 parameters for RGB and 1000 classes, at any size.
        normalise: none (pixels in [0, 1], as in the paper), channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: He et al., CVPR 2016; AR-AdaLS, appendix A.4, after the ImageNet baseline of edward2: He-normal
    convolutions, last layer N(0, 0.01²).
    """
    at_least(32, shape, "resnet101")
    stem = stages(
        conv=conv(shape[0], 64, 7, stride=2),
        bn=nn.BatchNorm2d(64),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    last = nn.Linear(2048, classes)
    net = stages(
        normalise=Normalise(shape, normalise),
        stem=stem,
        layer1=group(_bottleneck, 3, 64, 256, stride=1),
        layer2=group(_bottleneck, 4, 256, 512, stride=2),
        layer3=group(_bottleneck, 23, 512, 1024, stride=2),
        layer4=group(_bottleneck, 3, 1024, 2048, stride=2),
        pool=global_average(),
        fc=last,
    )
    he_normal_(net)
    nn.init.normal_(last.weight, std=0.01)
    return net


def _bottleneck(inner: int, outer: int, stride: int) -> Residual:
    width = outer // 4
    return Residual(
        stages(
            conv1=conv(inner, width, 1),
            bn1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=conv(width, width, 3, stride),
            bn2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
            conv3=conv(width, outer, 1),
            bn3=nn.BatchNorm2d(outer),
        ),
        shortcut=projection(inner, outer, stride),
        after=nn.ReLU(),
    )
