"""The CNN with seven convolutions with which AR-AdaLS treats SVHN."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from surefooted.components.component import Count, Share, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.stages import Shape, at_least, drop, stages


@component
def cnn7(
    shape: Shape, classes: Count, /, *, width: Count = 64, dropout: Share = 0.0, normalise: How = "none"
) -> nn.Sequential:
    """CNN-7: seven padded 3×3 convolutions with batch norm and ReLU, global average, one linear layer.

    The paper says only "a simple network architecture with 7 convolutional layers"; the rest is our choice: w, w,
    pool, 2w, 2w, pool, 4w, 4w, 4w channels, 2×2 max pooling.

    Stages: normalise, conv1, ..., conv7 (conv2 and conv4 end with pooling), pool (global average, flat), fc.

    Args:
        shape: (C, H, W) of the images; from 4×4 (32×32 RGB in the paper).
        width: w, channels of the first two convolutions; 1,739,210 parameters by default for RGB and 10 classes.
        dropout: probability, after every convolution; 0 puts no such layer in.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: AR-AdaLS, table 1 and appendix A.1, after Qin et al., *Deflecting adversarial attacks*, 2020.
    """
    at_least(4, shape, "cnn7")
    channels = [shape[0], *(width * m for m in (1, 1, 2, 2, 4, 4, 4))]
    convs = {
        f"conv{k}": stages(
            # Batch norm subtracts whatever a bias would add.
            conv=nn.Conv2d(inner, outer, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(outer),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2) if k in (2, 4) else None,
            dropout=drop(dropout),
        )
        for k, (inner, outer) in enumerate(pairwise(channels), start=1)
    }
    return stages(
        normalise=Normalise(shape, normalise),
        **convs,
        pool=stages(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()),
        fc=nn.Linear(channels[-1], classes),
    )
