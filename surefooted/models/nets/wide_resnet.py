"""Wide residual networks: WRN-28-10 of AR-AdaLS and WRN-34-10 of EntM, over one implementation."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from surefooted.components.component import Count, Share
from surefooted.errors import ArgumentError
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.residual import Residual, conv, global_average_pool, he_normal_, residual_group
from surefooted.models.nets.stages import dropout_layer, sequential

ShortcutInput = Literal["input", "activated"]


@image_network(min_side=4)
def wide_resnet(
    shape: Shape,
    classes: Count,
    /,
    *,
    depth: Count = 28,
    widen: Count = 10,
    dropout: Share = 0.0,
    shortcut: ShortcutInput = "input",
    normalise: NormaliseMode = "channel",
) -> nn.Sequential:
    """Wide ResNet (WRN-depth-widen): pre-activation basic blocks of 16k, 32k, 64k channels; depth 6n + 4.

    Stages: normalise, stem, layer1, layer2, layer3, norm (batch norm, ReLU), pool (global average, flat: 64k wide), fc.

    Args:
        shape: (C, H, W) of the images, at least 4×4 pixels.
        classes: number of classes.
        depth: number of layers: 10, 16, 22, 28, 34, 40, ...
        widen: k, the factor on the channels.
        dropout: dropout probability between the two convolutions of each block; 0 adds no layer.
        shortcut: what the 1×1 convolution of a shortcut reads where the channels change: ``input``, the block's input
            (edward2), or ``activated``, the input after batch norm and ReLU (Zagoruyko & Komodakis, TRADES).
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if depth is not 6n + 4, or the images are too small.

    Reference:
        Zagoruyko & Komodakis, *Wide residual networks*, BMVC 2016. Weights start He-normal.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.wide_resnet((3, 32, 32), 10, depth=10, widen=1)
        >>> net(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ArgumentError(f"wide_resnet: depth = {depth} is not 6n + 4. Use 10, 16, 22, 28, 34, 40 and so on.")
    block = partial(_basic_block, dropout=dropout, shortcut_input=shortcut)
    widths = [16 * widen, 32 * widen, 64 * widen]
    net = sequential(
        normalise=Normalise(shape, normalise),
        stem=conv(shape[0], 16, 3),
        layer1=residual_group(block, blocks, 16, widths[0], stride=1),
        layer2=residual_group(block, blocks, widths[0], widths[1], stride=2),
        layer3=residual_group(block, blocks, widths[1], widths[2], stride=2),
        norm=_activation(widths[2]),
        pool=global_average_pool(),
        fc=nn.Linear(widths[2], classes),
    )
    he_normal_(net)
    return net


@image_network(min_side=4)
def wide_resnet28_10(
    shape: Shape, classes: Count, /, *, dropout: Share = 0.0, normalise: NormaliseMode = "channel"
) -> nn.Sequential:
    """WRN-28-10 as AR-AdaLS trains it on CIFAR-100: ``wide_resnet`` with depth 28, widen 10, He-normal weights.

    36,479,194 parameters for RGB and 10 classes. Stages as in ``wide_resnet``.

    Args:
        shape: (C, H, W) of the images, at least 4×4 pixels.
        classes: number of classes.
        dropout: dropout probability between the two convolutions of each block; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        AR-AdaLS, appendix A.3, after edward2's CIFAR baseline. Its TensorFlow padding, which shifts the windows of
        strided convolutions by a pixel, is not reproduced.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> with torch.device("meta"):
        ...     net = sf.nets.wide_resnet28_10((3, 32, 32), 10)
        >>> sum(weight.numel() for weight in net.parameters())
        36479194
    """
    return wide_resnet(shape, classes, depth=28, widen=10, dropout=dropout, normalise=normalise)


@image_network(min_side=4)
def wide_resnet34_10(
    shape: Shape, classes: Count, /, *, dropout: Share = 0.0, normalise: NormaliseMode = "none"
) -> nn.Sequential:
    """WRN-34-10 as EntM and TRADES train it: ``wide_resnet`` with depth 34, widen 10, shortcuts from the activation.

    46,160,474 parameters for RGB and 10 classes. Convolutions start normal with variance 2 / fan-out, the last layer
    as PyTorch initialises it but with bias 0. Stages as in ``wide_resnet``.

    Args:
        shape: (C, H, W) of the images, at least 4×4 pixels.
        classes: number of classes.
        dropout: dropout probability between the two convolutions of each block; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        EntM, appendix D, after the reference code of TRADES.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> with torch.device("meta"):
        ...     net = sf.nets.wide_resnet34_10((3, 32, 32), 10)
        >>> sum(weight.numel() for weight in net.parameters())
        46160474
    """
    net = wide_resnet(shape, classes, depth=34, widen=10, dropout=dropout, shortcut="activated", normalise=normalise)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            module.reset_parameters()
            nn.init.zeros_(module.bias)
    return net


def _basic_block(inner: int, outer: int, stride: int, *, dropout: float, shortcut_input: ShortcutInput) -> Residual:
    changes = inner != outer
    activation = _activation(inner)
    shared = changes and shortcut_input == "activated"  # body and shortcut read the same activation
    return Residual(
        sequential(
            activation=None if shared else activation,
            conv1=conv(inner, outer, 3, stride),
            bn=nn.BatchNorm2d(outer),
            relu=nn.ReLU(),
            dropout=dropout_layer(dropout),
            conv2=conv(outer, outer, 3),
        ),
        shortcut=conv(inner, outer, 1, stride) if changes else None,
        before=activation if shared else None,
    )


def _activation(channels: int) -> nn.Sequential:
    return sequential(bn=nn.BatchNorm2d(channels), relu=nn.ReLU())
