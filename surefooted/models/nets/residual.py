"""What the residual networks have in common: the block, the group of blocks, convolutions, Keras's initialisation."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from jaxtyping import Float
from torch import Tensor, nn

from surefooted.models.nets.stages import stages


class Residual(nn.Module):
    """after(body(z) + shortcut(z)) with z = before(x); whatever is not given is the identity.

    Post-activation (v1) puts a ReLU in ``after``. Pre-activation (v2) leaves the sum as it is; its shortcut reads
    the activated input where batch norm and ReLU stand in ``before`` instead of at the start of ``body``.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        shortcut: nn.Module | None = None,
        before: nn.Module | None = None,
        after: nn.Module | None = None,
    ):
        super().__init__()
        self.before = before or nn.Identity()
        self.body = body
        self.shortcut = shortcut or nn.Identity()
        self.after = after or nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        z = self.before(x)
        return self.after(self.body(z) + self.shortcut(z))


def group(block: Callable[[int, int, int], Residual], count: int, inner: int, outer: int, stride: int) -> nn.Sequential:
    """``count`` blocks, made by block(inner, outer, stride); the first changes channels and size, the rest neither."""
    return nn.Sequential(block(inner, outer, stride), *(block(outer, outer, 1) for _ in range(count - 1)))


def conv(inner: int, outer: int, size: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    """A size×size convolution, padded so that stride 1 keeps the image's size."""
    return nn.Conv2d(inner, outer, size, stride, padding=size // 2, bias=bias)


def projection(inner: int, outer: int, stride: int) -> nn.Module | None:
    """The shortcut of a post-activation block: 1×1 convolution and batch norm where the shape changes, else nothing."""
    if inner == outer and stride == 1:
        return None
    return stages(conv=conv(inner, outer, 1, stride), bn=nn.BatchNorm2d(outer))


def global_average() -> nn.Sequential:
    """(B, C, H, W) to (B, C)."""
    return stages(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())


def he_normal_(net: nn.Module) -> None:
    """Keras's he_normal on all weights of convolutions and linear layers, their biases at 0.

    A normal distribution cut off at two standard deviations, widened so that its variance is 2 / fan-in after the cut.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = sqrt(2 / module.weight[0].numel()) / 0.87962566103423978
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
