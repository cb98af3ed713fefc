"""Fusion of batch norm into the layer before it, for faster evaluation."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

_FUSE: dict[type[nn.Module], Callable[..., nn.Module]] = {nn.Conv2d: fuse_conv_bn_eval, nn.Linear: fuse_linear_bn_eval}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fuse_batchnorm(net: nn.Module) -> nn.Module:
    """Fuse each batch norm into the convolution or linear layer before it, in a copy of the network.

    Layers are fused if they follow each other in an ``nn.Sequential``. Do not use it for modules that call the layers
    of a Sequential one by one; the networks of this package do not. ``bench/ways.py`` measures the gain.

    Args:
        net: any network.

    Returns:
        A copy in evaluation mode with frozen weights, whose logits are equal up to rounding. It does not change when
        ``net`` is trained further.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
        >>> fuse_batchnorm(net)
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): Identity()
        )
    """
    net = deepcopy(net).eval().requires_grad_(False)
    for module in list(net.modules()):
        if isinstance(module, nn.Sequential):
            _fuse_stages(module)
    return net


def _fuse_stages(stages: nn.Sequential) -> None:
    names = list(stages._modules)
    for name, following in pairwise(names):
        layer, norm = stages.get_submodule(name), stages.get_submodule(following)
        if type(layer) in _FUSE and isinstance(norm, _BATCH_NORMS) and norm.running_mean is not None:
            setattr(stages, name, _FUSE[type(layer)](layer, norm))
            setattr(stages, following, nn.Identity())
