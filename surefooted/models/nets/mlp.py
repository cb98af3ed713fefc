"""The multilayer perceptron of UTA."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from surefooted.components.component import Count, Share
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.stages import dropout_layer, sequential


@image_network()
def mlp(
    shape: Shape,
    classes: Count,
    /,
    *,
    width: Count = 256,
    layers: Count = 1,
    dropout: Share = 0.0,
    normalise: NormaliseMode = "none",
) -> nn.Sequential:
    """Multilayer perceptron: fully connected layers with ReLU on the flattened image.

    Stages: normalise, flatten, fc1, fc2, ...; each but the last ends with its ReLU.

    Args:
        shape: (C, H, W) of the images, of any size.
        classes: number of classes.
        width: units per hidden layer.
        layers: number of hidden layers.
        dropout: dropout probability after every hidden layer; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Reference:
        UTA, appendix B.1.1 (MNIST); the defaults give its 784 → 256 → 10.

    Example:
        Every network carries the call that made it.

        >>> import surefooted as sf
        >>> print(sf.nets.mlp((1, 28, 28), 10, width=64).spec)
        mlp(width=64, layers=1, dropout=0, normalise=none)
    """
    widths = [prod(shape)] + [width] * layers
    hidden = {
        f"fc{k}": sequential(linear=nn.Linear(inner, outer), relu=nn.ReLU(), dropout=dropout_layer(dropout))
        for k, (inner, outer) in enumerate(pairwise(widths), start=1)
    }
    last = {f"fc{layers + 1}": nn.Linear(width, classes)}
    return sequential(normalise=Normalise(shape, normalise), flatten=nn.Flatten(), **hidden, **last)
