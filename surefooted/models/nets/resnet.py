"""ResNet-18 with the stem for small images, as TRADES, EntM and UTA train it."""

from __future__ import annotations

from functools import partial

from torch import nn

from surefooted.components.component import Count, Share
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.residual import Residual, conv, global_average_pool, projection_shortcut, residual_group
from surefooted.models.nets.stages import dropout_layer, sequential


@image_network(min_side=8)
def resnet18(
    shape: Shape, classes: Count, /, *, dropout: Share = 0.0, normalise: NormaliseMode = "none"
) -> nn.Sequential:
    """ResNet-18 (v1, basic blocks) with a 3×3 stem of stride 1: 64, 128, 256, 512 channels, two blocks each.

    11,173,962 parameters for RGB and 10 classes.

    Stages: normalise, stem, layer1, ..., layer4, pool (global average, flat: 512 wide), fc.

    Args:
        shape: (C, H, W) of the images, at least 8×8 pixels.
        classes: number of classes.
        dropout: dropout probability after the ReLU that follows every 3×3 convolution (UTA's MC dropout uses 0.2);
            0 adds no layer. The names of the weights do not depend on it.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        He et al., CVPR 2016; the reference code of TRADES (EntM); UTA, table 5. The widths 64·ℓ, the first group of
        three blocks and the padded 1×1 convolutions in UTA's table do not give a ResNet-18 that ends 512 wide; this is
        the standard one.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> with torch.device("meta"):
        ...     net = sf.nets.resnet18((3, 32, 32), 10)
        >>> sum(weight.numel() for weight in net.parameters())
        11173962
    """
    block = partial(_basic_block, dropout=dropout)
    return sequential(
        normalise=Normalise(shape, normalise),
        stem=sequential(
            conv=conv(shape[0], 64, 3), bn=nn.BatchNorm2d(64), relu=nn.ReLU(), dropout=dropout_layer(dropout)
        ),
        layer1=residual_group(block, 2, 64, 64, stride=1),
        layer2=residual_group(block, 2, 64, 128, stride=2),
        layer3=residual_group(block, 2, 128, 256, stride=2),
        layer4=residual_group(block, 2, 256, 512, stride=2),
        pool=global_average_pool(),
        fc=nn.Linear(512, classes),
    )


def _basic_block(inner: int, outer: int, stride: int, *, dropout: float) -> Residual:
    return Residual(
        sequential(
            conv1=conv(inner, outer, 3, stride),
            bn1=nn.BatchNorm2d(outer),
            relu=nn.ReLU(),
            dropout=dropout_layer(dropout),
            conv2=conv(outer, outer, 3),
            bn2=nn.BatchNorm2d(outer),
        ),
        shortcut=projection_shortcut(inner, outer, stride),
        after=sequential(relu=nn.ReLU(), dropout=dropout_layer(dropout)),
    )
