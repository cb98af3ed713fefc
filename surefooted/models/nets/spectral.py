"""Layers with a bounded spectral norm: they stretch distances by at most a coefficient (a soft constraint).

The norm is that of the layer as a linear operator on its inputs, also for a convolution. Each training step estimates
it by one power iteration. Weights are divided by max(1, norm / coefficient), so smaller ones are unchanged.

Reference:
    Gouk et al., *Regularisation of neural networks by enforcing Lipschitz continuity*, 2018; Behrmann et al.,
    *Invertible residual networks*, ICML 2019; van Amersfoort et al., *On feature collapse and deep kernel learning for
    single forward pass uncertainty*, 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


class SpectralLinear(nn.Linear):
    """A fully connected layer whose matrix has a spectral norm of at most ``coefficient``.

    Attributes:
        u, v: estimates of the first left and right singular vectors.
    """

    u: Tensor
    v: Tensor

    def __init__(self, inner: int, outer: int, *, bias: bool = True, coefficient: float) -> None:
        super().__init__(inner, outer, bias=bias)
        self.coefficient = coefficient
        _register_vectors(self, outer, inner)

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        return F.linear(x, self.weight / _scale(self), self.bias)

    def operator(self, v: Float[Tensor, " i"]) -> Float[Tensor, " o"]:
        return self.weight @ v

    def adjoint(self, u: Float[Tensor, " o"]) -> Float[Tensor, " i"]:
        return u @ self.weight


class SpectralConv2d(nn.Conv2d):
    """A convolution whose operator, on images of one size, has a spectral norm of at most ``coefficient``.

    Args:
        conv: the convolution whose geometry and weights it takes.
        size: (C, H, W) of its inputs.
        coefficient: bound on the spectral norm.
    """

    u: Tensor
    v: Tensor

    def __init__(self, conv: nn.Conv2d, size: tuple[int, int, int], coefficient: float) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch annotates its own attribute as a tuple of any length
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            conv.bias is not None,
        )
        self.weight, self.bias, self.coefficient = conv.weight, conv.bias, coefficient
        self.input_shape = (1, *size)
        output = F.conv2d(torch.empty(self.input_shape, device="meta"), self.weight.to("meta"), None, *self._geometry)
        self.output_shape = tuple(output.shape)
        _register_vectors(self, output.numel(), size[0] * size[1] * size[2])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o y x"]:
        out: Tensor = self._conv_forward(x, self.weight / _scale(self), self.bias)
        return out

    # Contiguous weights: the memory layout that training prefers must not change the last bits of the norm.
    def operator(self, v: Float[Tensor, " i"]) -> Float[Tensor, " o"]:
        image: Tensor = F.conv2d(v.view(self.input_shape), self.weight.contiguous(), None, *self._geometry)
        return image.flatten()

    def adjoint(self, u: Float[Tensor, " o"]) -> Float[Tensor, " i"]:
        image: Tensor = conv2d_input(  # type: ignore[no-untyped-call]  # torch.nn.grad has no annotations
            self.input_shape, self.weight.contiguous(), u.view(self.output_shape), *self._geometry
        )
        return image.flatten()

    @property
    def _geometry(self) -> tuple[Any, Any, Any, int]:
        return self.stride, self.padding, self.dilation, self.groups


class SpectralBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose steepest channel, by its running variance, has a slope of at most ``coefficient``."""

    running_var: Tensor

    def __init__(self, channels: int, *, coefficient: float, momentum: float) -> None:
        super().__init__(channels, momentum=momentum)
        self.coefficient = coefficient

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        steepest = (self.weight * (self.running_var + self.eps).rsqrt()).abs().amax()
        weight = self.weight / (steepest / self.coefficient).clamp(min=1)
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x, self.running_mean, self.running_var, weight, self.bias, self.training, self.momentum or 0.0, self.eps
        )


SpectralLayer = SpectralLinear | SpectralConv2d


def bound_layers(net: nn.Module, shape: tuple[int, int, int], *, coefficient: float, momentum: float) -> None:
    """Replace the convolutions and batch norms of a network by bounded ones, in place.

    Args:
        net: the network; it is left in training mode.
        shape: (C, H, W) of its images.
        coefficient: bound on the spectral norm of convolutions, and on the slope of batch norms.
        momentum: of the running statistics of batch norm.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        >>> bound_layers(net, (1, 8, 8), coefficient=1.0, momentum=0.1)
        >>> [type(layer).__name__ for layer in net]
        ['SpectralConv2d', 'SpectralBatchNorm2d']
    """
    sizes: dict[nn.Module, tuple[int, int, int]] = {}

    def record_size(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        _, channels, height, width = inputs[0].shape
        sizes[module] = channels, height, width

    hooks = [m.register_forward_pre_hook(record_size) for m in net.modules() if isinstance(m, nn.Conv2d)]
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, *shape))
    net.train()
    for hook in hooks:
        hook.remove()

    def bounded(module: nn.Module) -> nn.Module | None:
        if isinstance(module, nn.Conv2d):
            return SpectralConv2d(module, sizes[module], coefficient)
        if isinstance(module, nn.BatchNorm2d):
            return SpectralBatchNorm2d(module.num_features, coefficient=coefficient, momentum=momentum)
        return None

    _replace(net, bounded)


@torch.no_grad()
def power_iteration(layer: SpectralLayer, iterations: int = 1) -> None:
    """Turn u and v towards the directions that the layer stretches most, in place."""
    for _ in range(iterations):
        layer.v.copy_(F.normalize(layer.adjoint(layer.u), dim=0))
        layer.u.copy_(F.normalize(layer.operator(layer.v), dim=0))


def operator_norm(layer: SpectralLayer) -> Float[Tensor, ""]:
    """The spectral norm of the unscaled weights, as the current u and v estimate it.

    Example:
        >>> layer = SpectralLinear(2, 2, coefficient=1.0)
        >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([3.0, 1.0])))
        >>> power_iteration(layer, 50)
        >>> round(float(operator_norm(layer).detach()), 3)
        3.0
    """
    # Copies: the next forward pass changes the vectors in place, and the gradient of this one reads them.
    return layer.u.clone() @ layer.operator(layer.v.clone())


def _scale(layer: SpectralLayer) -> Float[Tensor, ""]:
    """The divisor of the weights: max(1, norm / coefficient)."""
    with torch.autocast(layer.weight.device.type, enabled=False):
        if layer.training:
            power_iteration(layer)
        return (operator_norm(layer) / layer.coefficient).clamp(min=1)


def _register_vectors(layer: nn.Module, outer: int, inner: int) -> None:
    for name, size in (("u", outer), ("v", inner)):
        layer.register_buffer(name, F.normalize(torch.randn(size), dim=0))


def _replace(module: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> None:
    for name, child in module.named_children():
        if (new := replacement(child)) is not None:
            setattr(module, name, new)
        else:
            _replace(child, replacement)
