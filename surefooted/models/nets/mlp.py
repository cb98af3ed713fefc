"""The multilayer perceptron of UTA."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from surefooted.components.component import Count, Share, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.stages import Shape, drop, stages


@component
def mlp(
    shape: Shape,
    classes: Count,
    /,
    *,
    width: Count = 256,
    layers: Count = 1,
    dropout: Share = 0.0,
    normalise: How = "none",
) -> nn.Sequential:
    """Multilayer perceptron: fully connected layers with ReLU on the flattened image.

    Stages: normalise, flatten, fc1, fc2, ...; each but the last ends with its ReLU. Takes images of any size.

    Args:
        shape: (C, H, W) of the images.
        width: units of a hidden layer.
        layers: number of hidden layers.
        dropout: probability, after every hidden layer; 0 puts no such layer in.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: UTA, appendix B.1.1 (MNIST), with the defaults: 784 → 256 → 10.
    """
    widths = [prod(shape)] + [width] * layers
    hidden = {
        f"fc{k}": stages(linear=nn.Linear(inner, outer), relu=nn.ReLU(), dropout=drop(dropout))
        for k, (inner, outer) in enumerate(pairwise(widths), start=1)
    }
    last = {f"fc{layers + 1}": nn.Linear(width, classes)}
    return stages(normalise=Normalise(shape, normalise), flatten=nn.Flatten(), **hidden, **last)
