"""ResNet v2 of depth 9n + 2, the CIFAR-10 network of AR-AdaLS."""

from __future__ import annotations

from functools import partial

from torch import nn

from surefooted.components.component import Count
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.residual import Residual, conv, global_average_pool, he_normal_, residual_group
from surefooted.models.nets.stages import sequential

_STEM_CHANNELS = 16


@image_network(min_side=4)
def resnet29_v2(
    shape: Shape, classes: Count, /, *, n: Count = 3, normalise: NormaliseMode = "pixel_mean"
) -> nn.Sequential:
    """ResNet-29 v2 (pre-activation bottlenecks): groups of n blocks, 64, 128, 256 channels; depth 9n + 2.

    As in the Keras example that the paper names: convolutions have biases, the first block of each group has a bare
    1×1 convolution as shortcut and its stride on the first 1×1, batch norm has ε = 1e-3 and momentum 0.01 (in PyTorch's
    sense), and weights start He-normal.

    Stages: normalise, stem, layer1, layer2, layer3, norm (batch norm, ReLU), pool (global average, flat: 256 wide), fc.

    Args:
        shape: (C, H, W) of the images, at least 4×4 pixels.
        classes: number of classes.
        n: blocks per group; 3 gives 29 layers, and 843,786 parameters for RGB and 10 classes.
        normalise: none, channel or pixel_mean (subtracts the mean training image, as in the paper); see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        He et al., *Identity mappings in deep residual networks*, ECCV 2016; AR-AdaLS, appendix A.2.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.resnet29_v2((3, 32, 32), 10, n=1)
        >>> net(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    net = sequential(
        normalise=Normalise(shape, normalise),
        stem=sequential(
            conv=conv(shape[0], _STEM_CHANNELS, 3, bias=True), bn=_batch_norm(_STEM_CHANNELS), relu=nn.ReLU()
        ),
        layer1=residual_group(partial(_bottleneck, width=16), n, _STEM_CHANNELS, 64, stride=1),
        layer2=residual_group(partial(_bottleneck, width=64), n, 64, 128, stride=2),
        layer3=residual_group(partial(_bottleneck, width=128), n, 128, 256, stride=2),
        norm=sequential(bn=_batch_norm(256), relu=nn.ReLU()),
        pool=global_average_pool(),
        fc=nn.Linear(256, classes),
    )
    he_normal_(net)
    return net


def _bottleneck(inner: int, outer: int, stride: int, *, width: int) -> Residual:
    first = inner == _STEM_CHANNELS  # the stem has just normalised and activated
    return Residual(
        sequential(
            bn1=None if first else _batch_norm(inner),
            relu1=None if first else nn.ReLU(),
            conv1=conv(inner, width, 1, stride, bias=True),
            bn2=_batch_norm(width),
            relu2=nn.ReLU(),
            conv2=conv(width, width, 3, bias=True),
            bn3=_batch_norm(width),
            relu3=nn.ReLU(),
            conv3=conv(width, outer, 1, bias=True),
        ),
        shortcut=None if inner == outer else conv(inner, outer, 1, stride, bias=True),
    )


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
