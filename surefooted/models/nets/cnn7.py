"""The CNN with seven convolutions that AR-AdaLS trains on SVHN."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from surefooted.components.component import Count, Share
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.stages import dropout_layer, sequential


@image_network(min_side=4)
def cnn7(
    shape: Shape, classes: Count, /, *, width: Count = 64, dropout: Share = 0.0, normalise: NormaliseMode = "none"
) -> nn.Sequential:
    """CNN-7: seven padded 3×3 convolutions with batch norm and ReLU, global average, one linear layer.

    The paper says only "a simple network architecture with 7 convolutional layers". We chose the rest: w, w, pool,
    2w, 2w, pool, 4w, 4w, 4w channels, with 2×2 max pooling.

    Stages: normalise, conv1, ..., conv7 (conv2 and conv4 end with pooling), pool (global average, flat), fc.

    Args:
        shape: (C, H, W) of the images, at least 4×4 pixels. The paper uses 32×32 RGB.
        classes: number of classes.
        width: w, channels of the first two convolutions. The default gives 1,739,210 parameters for RGB and 10 classes.
        dropout: dropout probability after every convolution; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        AR-AdaLS, table 1 and appendix A.1, after Qin et al., *Deflecting adversarial attacks*, 2020.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.cnn7((3, 32, 32), 10, width=8)
        >>> net(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    channels = [shape[0], *(width * m for m in (1, 1, 2, 2, 4, 4, 4))]
    convs = {
        f"conv{k}": sequential(
            # Batch norm subtracts whatever a bias would add.
            conv=nn.Conv2d(inner, outer, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(outer),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2) if k in (2, 4) else None,
            dropout=dropout_layer(dropout),
        )
        for k, (inner, outer) in enumerate(pairwise(channels), start=1)
    }
    return sequential(
        normalise=Normalise(shape, normalise),
        **convs,
        pool=sequential(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()),
        fc=nn.Linear(channels[-1], classes),
    )
