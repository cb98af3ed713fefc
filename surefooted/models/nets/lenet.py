"""The two LeNets of UTA: for Fashion-MNIST and MNIST's latent space, and a larger one for SVHN."""

from __future__ import annotations

from torch import nn

from surefooted.components.component import Count
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.stages import sequential


@image_network(min_side=12)
def lenet(shape: Shape, classes: Count, /, *, normalise: NormaliseMode = "none") -> nn.Sequential:
    """LeNet: two 5×5 convolutions (6, 16 channels), each with ReLU and max pooling, then 120, 84, classes units.

    Stages: normalise, conv1, conv2, fc1 (begins by flattening), fc2, fc3. Each from conv1 to fc2 ends with its ReLU
    (and pooling). The latent space of UTA is the output of fc1, 120 wide.

    Args:
        shape: (C, H, W) of the images, at least 12×12 pixels. The paper uses 28×28 grey, where fc1 reads 16 × 5 × 5
            features.
        classes: number of classes.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        UTA, table 3. Weights start as PyTorch initialises them.

    Example:
        A network is a sequence of named stages and can be cut at any of them.

        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.lenet((1, 28, 28), 10)
        >>> encoder = net[: list(dict(net.named_children())).index("fc1") + 1]
        >>> encoder(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 120])
    """
    return _build(shape, (6, 16), (120, 84, classes), normalise)


@image_network(min_side=12)
def lenet_svhn(shape: Shape, classes: Count, /, *, normalise: NormaliseMode = "none") -> nn.Sequential:
    """LeNet with more capacity: convolutions of 32 and 64 channels, then 256, 120, classes units.

    Stages as in ``lenet``: normalise, conv1, conv2, fc1 (256 wide), fc2 (120 wide), fc3.

    Args:
        shape: (C, H, W) of the images, at least 12×12 pixels. UTA prints 28×28 and 64 × 6 × 6 features, which agree
            only at 32×32, the size of SVHN.
        classes: number of classes.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (B, classes).

    Raises:
        ArgumentError: if the images are too small.

    Reference:
        UTA, table 4.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.lenet_svhn((3, 32, 32), 10)
        >>> net(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    return _build(shape, (32, 64), (256, 120, classes), normalise)


def _build(
    shape: Shape, filters: tuple[int, int], units: tuple[int, int, int], normalise: NormaliseMode
) -> nn.Sequential:
    channels, height, width = shape
    flat = filters[1] * _pooled_side(height) * _pooled_side(width)
    return sequential(
        normalise=Normalise(shape, normalise),
        conv1=sequential(conv=nn.Conv2d(channels, filters[0], 5, padding=2), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        conv2=sequential(conv=nn.Conv2d(filters[0], filters[1], 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
        fc1=sequential(flatten=nn.Flatten(), linear=nn.Linear(flat, units[0]), relu=nn.ReLU()),
        fc2=sequential(linear=nn.Linear(units[0], units[1]), relu=nn.ReLU()),
        fc3=nn.Linear(units[1], units[2]),
    )


def _pooled_side(side: int) -> int:
    """Pixels per side after padded convolution, pooling, unpadded convolution and pooling."""
    return (side // 2 - 4) // 2
