"""Building blocks of the residual networks: the block, groups of blocks, convolutions, and Keras's initialisation."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from jaxtyping import Float
from torch import Tensor, nn

from surefooted.models.nets.stages import sequential

# Standard deviation of a standard normal distribution that is truncated at two standard deviations.
_TRUNCATED_STD = 0.87962566103423978


class Residual(nn.Module):
    """A residual block: after(body(z) + shortcut(z)) with z = before(x). An omitted part is the identity.

    Post-activation (v1) puts a ReLU into ``after``. Pre-activation (v2) leaves the sum unchanged; its shortcut reads
    the activated input if batch norm and ReLU are in ``before`` instead of at the start of ``body``.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        shortcut: nn.Module | None = None,
        before: nn.Module | None = None,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.before = before or nn.Identity()
        self.body = body
        self.shortcut = shortcut or nn.Identity()
        self.after = after or nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        z = self.before(x)
        out: Tensor = self.after(self.body(z) + self.shortcut(z))
        return out


def residual_group(
    block: Callable[[int, int, int], Residual], count: int, inner: int, outer: int, stride: int
) -> nn.Sequential:
    """``count`` blocks of block(inner, outer, stride); only the first changes the channels and the image's size."""
    return nn.Sequential(block(inner, outer, stride), *(block(outer, outer, 1) for _ in range(count - 1)))


def conv(inner: int, outer: int, size: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    """A size×size convolution, padded so that stride 1 keeps the image's size."""
    return nn.Conv2d(inner, outer, size, stride, padding=size // 2, bias=bias)


def projection_shortcut(inner: int, outer: int, stride: int) -> nn.Module | None:
    """The shortcut of a post-activation block: 1×1 convolution and batch norm if the shape changes, otherwise None."""
    if inner == outer and stride == 1:
        return None
    return sequential(conv=conv(inner, outer, 1, stride), bn=nn.BatchNorm2d(outer))


def global_average_pool() -> nn.Sequential:
    """From (B, C, H, W) to (B, C)."""
    return sequential(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())


def he_normal_(net: nn.Module) -> None:
    """Initialise weights of convolutions and linear layers as Keras's ``he_normal`` does, and their biases at 0.

    The distribution is a normal one truncated at two standard deviations, with variance 2 / fan-in after truncation.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = sqrt(2 / module.weight[0].numel()) / _TRUNCATED_STD
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
