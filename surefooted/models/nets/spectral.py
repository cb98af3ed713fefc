"""Layers of a bounded spectral norm: they stretch a distance by no more than a coefficient (a soft constraint).

The norm is that of the layer as an operator on its inputs, for a convolution too, estimated by one step of the power
iteration a training step. Weights are divided by max(1, norm / coefficient), so smaller ones stay as they are.

Sources: Gouk et al., *Regularisation of neural networks by enforcing Lipschitz continuity*, 2018; Behrmann et al.,
*Invertible residual networks*, ICML 2019; van Amersfoort et al., *On feature collapse and deep kernel learning for
single forward pass uncertainty*, 2021.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


class SpectralLinear(nn.Linear):
    """A fully connected layer whose matrix has a spectral norm of at most ``coefficient``."""

    u: Tensor
    v: Tensor

    def __init__(self, inner: int, outer: int, *, bias: bool = True, coefficient: float) -> None:
        super().__init__(inner, outer, bias=bias)
        self.coefficient = coefficient
        _register_vectors(self, outer, inner)

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        return F.linear(x, self.weight / _excess(self), self.bias)

    def operator(self, v: Float[Tensor, " i"]) -> Float[Tensor, " o"]:
        return self.weight @ v

    def adjoint(self, u: Float[Tensor, " o"]) -> Float[Tensor, " i"]:
        return u @ self.weight


class SpectralConv2d(nn.Conv2d):
    """A convolution whose operator, on images of one size, has a spectral norm of at most ``coefficient``."""

    u: Tensor
    v: Tensor

    def __init__(self, like: nn.Conv2d, size: tuple[int, int, int], coefficient: float) -> None:
        outer = like.out_channels, tuple(like.kernel_size), tuple(like.stride), like.padding, tuple(like.dilation)
        super().__init__(like.in_channels, *outer, like.groups, like.bias is not None)  # type: ignore[arg-type]
        self.weight, self.bias, self.coefficient = like.weight, like.bias, coefficient
        self.inner = (1, *size)
        seen = F.conv2d(torch.empty(self.inner, device="meta"), self.weight.to("meta"), None, *self._geometry)
        self.outer = tuple(seen.shape)
        _register_vectors(self, seen.numel(), size[0] * size[1] * size[2])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o y x"]:
        return self._conv_forward(x, self.weight / _excess(self), self.bias)

    # Contiguous weights: the layout that training prefers must not change the last bits of the norm.
    def operator(self, v: Float[Tensor, " i"]) -> Float[Tensor, " o"]:
        return F.conv2d(v.view(self.inner), self.weight.contiguous(), None, *self._geometry).flatten()

    def adjoint(self, u: Float[Tensor, " o"]) -> Float[Tensor, " i"]:
        return conv2d_input(self.inner, self.weight.contiguous(), u.view(self.outer), *self._geometry).flatten()

    @property
    def _geometry(self) -> tuple:
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
        how = self.training, self.momentum or 0.0, self.eps
        return F.batch_norm(x, self.running_mean, self.running_var, weight, self.bias, *how)


Spectral = SpectralLinear | SpectralConv2d


def bound(net: nn.Module, shape: tuple[int, int, int], *, coefficient: float, momentum: float) -> None:
    """Put bounded layers in the place of the convolutions and batch norms of a network for images of that shape."""
    sizes: dict[nn.Module, tuple[int, int, int]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[module] = tuple(inputs[0].shape[1:])  # type: ignore[assignment]

    hooks = [m.register_forward_pre_hook(note) for m in net.modules() if isinstance(m, nn.Conv2d)]
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, *shape))
    net.train()
    for hook in hooks:
        hook.remove()

    def instead(module: nn.Module) -> nn.Module | None:
        if isinstance(module, nn.Conv2d):
            return SpectralConv2d(module, sizes[module], coefficient)
        if isinstance(module, nn.BatchNorm2d):
            return SpectralBatchNorm2d(module.num_features, coefficient=coefficient, momentum=momentum)
        return None

    _replace(net, instead)


@torch.no_grad()
def iterate(layer: Spectral, rounds: int = 1) -> None:
    """Steps of the power iteration, which turn u and v towards the directions that the layer stretches most."""
    for _ in range(rounds):
        layer.v.copy_(F.normalize(layer.adjoint(layer.u), dim=0))
        layer.u.copy_(F.normalize(layer.operator(layer.v), dim=0))


def norm(layer: Spectral) -> Float[Tensor, ""]:
    """The spectral norm of the weights as they are kept, by the vectors of the moment."""
    # Copies: the next forward pass moves the vectors, and the gradient of this one reads them.
    return layer.u.clone() @ layer.operator(layer.v.clone())


def _excess(layer: Spectral) -> Float[Tensor, ""]:
    with torch.autocast(layer.weight.device.type, enabled=False):
        if layer.training:
            iterate(layer)
        return (norm(layer) / layer.coefficient).clamp(min=1)


def _register_vectors(layer: nn.Module, outer: int, inner: int) -> None:
    for name, size in (("u", outer), ("v", inner)):
        layer.register_buffer(name, F.normalize(torch.randn(size), dim=0))


def _replace(module: nn.Module, instead: Callable[[nn.Module], nn.Module | None]) -> None:
    for name, child in module.named_children():
        if (new := instead(child)) is not None:
            setattr(module, name, new)
        else:
            _replace(child, instead)
