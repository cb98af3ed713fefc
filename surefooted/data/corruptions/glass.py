"""Glass blur: neighbours trade places behind frosted glass."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, Levels, Scale, Severity, corruption
from surefooted.data.corruptions.filters import blurred


@component
def glass_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Glass blur: a Gaussian blur, pixels copied from near places, and the blur again.

    From the last pixel to the first, each takes the value that one drawn from its neighbourhood has by then. (The
    original means to exchange the two, but its exchange of views copies.) Draws reach d pixels up and left and d - 1
    down and right; a margin of d pixels stays as it is. The copies are of 8-bit values, whatever ``quantise`` is.

    Args:
        severity: 1 to 5, for (blur, d, passes) of (.05, 1, 1), (.25, 1, 1), (.4, 1, 1), (.25, 1, 2), (.4, 1, 2)
            (ImageNet-C: (.7, 1, 2), (.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: see and give out 8-bit images; see ``gaussian_noise``.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: Levels, noise: Noise, constant: tuple[float, int, int]) -> Levels:
        sigma, reach, passes = constant
        x = blurred(x, sigma).floor()
        for turn in range(passes):
            came_from = sources(x.shape[2], x.shape[3], reach, noise.at(noise.step + turn))
            x = x.flatten(2).gather(2, came_from[:, None].expand(-1, x.shape[1], -1)).view_as(x)
        return blurred(x, sigma)

    cifar = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
    imagenet = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
    return corruption(change, cifar, imagenet, 4, severity, scale, quantise)


def sources(height: int, width: int, reach: int, noise: Noise) -> Int64[Tensor, "b n"]:
    """The pixel whose first value each pixel ends with, after one pass from the last to the first."""
    side = 2 * reach
    drawn = (noise.uniform(height, width) * side**2).long()  # both offsets out of one draw
    y = torch.arange(height, device=drawn.device)[:, None]
    x = torch.arange(width, device=drawn.device)
    # Rows and columns from d + 1 to n - d, as the original counts; draws from there never leave the image.
    moves = (y > reach) & (y <= height - reach) & (x > reach) & (x <= width - reach)
    y_from = y + torch.where(moves, drawn // side - reach, 0)
    x_from = x + torch.where(moves, drawn % side - reach, 0)
    source = (y_from * width + x_from).flatten(1)
    # What comes later in the image has had its turn: its value is the one that it took itself. Follow to the end, in
    # strides that double.
    ends = torch.maximum(source, torch.arange(height * width, device=drawn.device))
    while not torch.equal(further := ends.gather(1, ends), ends):
        ends = further
    return source.gather(1, ends)
