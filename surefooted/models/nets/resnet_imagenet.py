"""ResNet-101 for images of ImageNet's size, as AR-AdaLS trains it."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.residual import (
    Residual,
    conv,
    global_average_pool,
    he_normal_,
    projection_shortcut,
    residual_group,
)
from surefooted.models.nets.stages import sequential


@image_network(min_side=32)
def resnet101(shape: Shape, classes: Count, /, *, normalise: NormaliseMode = "none") -> nn.Sequential:
    """ResNet-101 (v1, bottlenecks): 7×7 stem of stride 2, max pooling, groups of 3, 4, 23, 3 blocks.

    The stride of a bottleneck is on its 3×3 convolution, as in the training script that the paper names (also called
    v1.5); He et al. put it on the first 1×1. 44,549,160 parameters for RGB and 1000 classes, at any image size.

    Stages: normalise, stem, layer1, ..., layer4, pool (global average, flat: 2048 wide), fc.

    Args:
        shape: (C, H, W) of the images, at least 32×32 pixels.
        classes: number of classes.
        normalise: none (as in the paper), channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        He et al., CVPR 2016; AR-AdaLS, appendix A.4, after the ImageNet baseline of edward2: He-normal convolutions,
        last layer N(0, 0.01²).

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> with torch.device("meta"):
        ...     net = sf.nets.resnet101((3, 224, 224), 1000)
        >>> sum(weight.numel() for weight in net.parameters())
        44549160
    """
    stem = sequential(
        conv=conv(shape[0], 64, 7, stride=2),
        bn=nn.BatchNorm2d(64),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    last = nn.Linear(2048, classes)
    net = sequential(
        normalise=Normalise(shape, normalise),
        stem=stem,
        layer1=residual_group(_bottleneck, 3, 64, 256, stride=1),
        layer2=residual_group(_bottleneck, 4, 256, 512, stride=2),
        layer3=residual_group(_bottleneck, 23, 512, 1024, stride=2),
        layer4=residual_group(_bottleneck, 3, 1024, 2048, stride=2),
        pool=global_average_pool(),
        fc=last,
    )
    he_normal_(net)
    nn.init.normal_(last.weight, std=0.01)
    return net


def _bottleneck(inner: int, outer: int, stride: int) -> Residual:
    width = outer // 4
    return Residual(
        sequential(
            conv1=conv(inner, width, 1),
            bn1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=conv(width, width, 3, stride),
            bn2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
            conv3=conv(width, outer, 1),
            bn3=nn.BatchNorm2d(outer),
        ),
        shortcut=projection_shortcut(inner, outer, stride),
        after=nn.ReLU(),
    )
