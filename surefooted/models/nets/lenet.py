"""The two LeNets of UTA: for Fashion-MNIST and latent MNIST, and the larger one for SVHN."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count, component
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.stages import Shape, at_least, stages


@component
def lenet(shape: Shape, classes: Count, /, *, normalise: How = "none") -> nn.Sequential:
    """LeNet: two 5×5 convolutions (6, 16 channels), each with ReLU and max pooling, then 120, 84, classes units.

    Stages: normalise, conv1, conv2, fc1, fc2, fc3; those before fc3 end with their ReLU (and pooling), fc1 begins by
    flattening. UTA's latent space is what fc1 gives: 120 wide.

    Args:
        shape: (C, H, W) of the images; from 12×12 (28×28 grey in the paper, where 16 × 5 × 5 features enter fc1).
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: UTA, table 3. PyTorch's default initialisation.
    """
    at_least(12, shape, "lenet")
    return _build(shape, (6, 16), (120, 84, classes), normalise)


@component
def lenet_svhn(shape: Shape, classes: Count, /, *, normalise: How = "none") -> nn.Sequential:
    """LeNet with more capacity: convolutions of 32 and 64 channels, then 256, 120, classes units.

    Stages as in ``lenet``: normalise, conv1, conv2, fc1 (256 wide), fc2 (120 wide), fc3.

    Args:
        shape: (C, H, W) of the images; from 12×12. UTA prints 28×28 and 64 × 6 × 6 features, which go together only
            at 32×32, SVHN's own size.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (B, classes) from pixels (B, C, H, W) in [0, 1].

    Source: UTA, table 4.
    """
    at_least(12, shape, "lenet_svhn")
    return _build(shape, (32, 64), (256, 120, classes), normalise)


def _build(shape: Shape, convs: tuple[int, int], units: tuple[int, int, int], normalise: How) -> nn.Sequential:
    channels, height, width = shape
    flat = convs[1] * _left(height) * _left(width)
    return stages(
        normalise=Normalise(shape, normalise),
        conv1=stages(conv=nn.Conv2d(channels, convs[0], 5, padding=2), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        conv2=stages(conv=nn.Conv2d(convs[0], convs[1], 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        fc1=stages(flatten=nn.Flatten(), linear=nn.Linear(flat, units[0]), relu=nn.ReLU()),
        fc2=stages(linear=nn.Linear(units[0], units[1]), relu=nn.ReLU()),
        fc3=nn.Linear(units[1], units[2]),
    )


def _left(side: int) -> int:
    """Pixels of a side after padded convolution, pooling, unpadded convolution, pooling."""
    return (side // 2 - 4) // 2
