"""Wide residual networks: WRN-28-10 of AR-AdaLS and WRN-34-10 of EntM, over one implementation."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from surefooted.components.component import Count, Share, component
from surefooted.errors import InputError
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.residual import Residual, conv, global_average, group, he_normal_
from surefooted.models.nets.stages import Shape, at_least, drop, stages

Reads = Literal["input", "activated"]


@component
def wide_resnet(
    shape: Shape,
    classes: Count,
    /,
    *,
    depth: Count = 28,
    widen: Count = 10,
    dropout: Share = 0.0,
    shortcut: Reads = "input",
    normalise: How = "channel",
) -> nn.Sequential:
    """Wide ResNet (WRN-depth-widen): pre-activation basic blocks of 16k, 32k, 64k channels; depth 6n + 4.

    Stages: normalise, stem, layer1, layer2, layer3, norm (batch norm, ReLU), pool (global average, flat: 64k wide), fc.

    Args:
        shape: (C, H, W) of the images; from 4×4.
        depth: number of layers: 10, 16, 22, 28, 34, 40, ...
        widen: k, the factor on the channels.
        dropout: probability, between the two convolutions of each block; 0 puts no such layer in.
        shortcut: what the 1×1 convolution of a shortcut reads where the channels change: the block's input (edward2) or
            the input after batch norm and ReLU (Zagoruyko & Komodakis, TRADES).
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Raises:
        InputError: depth is not 6n + 4, or the images are too small.

    Source: Zagoruyko & Komodakis, *Wide residual networks*, BMVC 2016. Weights start He-normal.
    """
    at_least(4, shape, "wide_resnet")
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise InputError(f"wide_resnet: depth = {depth} is not 6n + 4. There are 10, 16, 22, 28, 34, 40, and so on.")
    block = partial(_basic, dropout=dropout, reads=shortcut)
    widths = [16 * widen, 32 * widen, 64 * widen]
    net = stages(
        normalise=Normalise(shape, normalise),
        stem=conv(shape[0], 16, 3),
        layer1=group(block, blocks, 16, widths[0], stride=1),
        layer2=group(block, blocks, widths[0], widths[1], stride=2),
        layer3=group(block, blocks, widths[1], widths[2], stride=2),
        norm=_activation(widths[2]),
        pool=global_average(),
        fc=nn.Linear(widths[2], classes),
    )
    he_normal_(net)
    return net


@component
def wide_resnet28_10(
    shape: Shape, classes: Count, /, *, dropout: Share = 0.0, normalise: How = "channel"
) -> nn.Sequential:
    """WRN-28-10 as AR-AdaLS trains it on CIFAR-100: ``wide_resnet`` with depth 28, widen 10, He-normal weights.

    Stages and arguments are those of ``wide_resnet``. 36,479,194 parameters for RGB and 10 classes.

    Source: AR-AdaLS, appendix A.3, after edward2's CIFAR baseline; its TensorFlow padding, which shifts the windows of
    strided convolutions by a pixel, is not imitated.
    """
    return wide_resnet(shape, classes, depth=28, widen=10, dropout=dropout, normalise=normalise)


@component
def wide_resnet34_10(
    shape: Shape, classes: Count, /, *, dropout: Share = 0.0, normalise: How = "none"
) -> nn.Sequential:
    """WRN-34-10 as EntM and TRADES train it: ``wide_resnet`` with depth 34, widen 10, shortcuts from the activation.

    Stages and arguments are those of ``wide_resnet``. 46,160,474 parameters for RGB and 10 classes. Convolutions start
    normal with variance 2 / fan-out, the last layer as PyTorch has it but for its bias, which starts at 0.

    Source: EntM, appendix D, after the reference code of TRADES.
    """
    net = wide_resnet(shape, classes, depth=34, widen=10, dropout=dropout, shortcut="activated", normalise=normalise)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            module.reset_parameters()
            nn.init.zeros_(module.bias)
    return net


def _basic(inner: int, outer: int, stride: int, *, dropout: float, reads: Reads) -> Residual:
    changes = inner != outer
    activation = _activation(inner)
    outside = changes and reads == "activated"
    return Residual(
        stages(
            activation=None if outside else activation,
            conv1=conv(inner, outer, 3, stride),
            bn=nn.BatchNorm2d(outer),
            relu=nn.ReLU(),
            dropout=drop(dropout),
            conv2=conv(outer, outer, 3),
        ),
        shortcut=conv(inner, outer, 1, stride) if changes else None,
        before=activation if outside else None,
    )


def _activation(channels: int) -> nn.Sequential:
    return stages(bn=nn.BatchNorm2d(channels), relu=nn.ReLU())
