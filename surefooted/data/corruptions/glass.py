"""Glass blur: pixels copied from their neighbourhood, as behind frosted glass."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.rng import Noise
from surefooted.data.corruptions.base import Corruption, CorruptionOptions, PixelLevels, Scale, Severity
from surefooted.data.corruptions.filters import gaussian_filter


@component
def glass_blur(*, severity: Severity = 1, scale: Scale = "auto", quantise: bool = True) -> Corruption:
    """Glass blur: a Gaussian blur, pixels copied from their neighbourhood, and the same blur again.

    Pixels are visited from the last to the first. Each takes the current value of a pixel drawn from its neighbourhood.
    (The original is meant to exchange the two pixels, but it exchanges array views, which copies.) Draws reach d pixels
    up and left, and d - 1 pixels down and right; a margin of d pixels is unchanged. Copied values are always 8-bit,
    even with ``quantise=False``.

    Args:
        severity: 1 to 5, for (blur, d, passes) of (.05, 1, 1), (.25, 1, 1), (.4, 1, 1), (.25, 1, 2), (.4, 1, 2)
            (ImageNet-C: (.7, 1, 2), (.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)).
        scale: whose constants; see ``gaussian_noise``.
        quantise: read and return 8-bit images; see ``gaussian_noise``.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> x = torch.rand(1, 1, 16, 16)
        >>> corrupted = sf.corruptions.glass_blur(severity=1)(x, torch.arange(1))
        >>> bool((corrupted - x)[..., 0, :].abs().max() < 1 / 255)  # the margin is unchanged
        True

    Reference:
        Hendrycks and Dietterich, ICLR 2019.
    """

    def change(x: PixelLevels, noise: Noise, constant: tuple[float, int, int]) -> PixelLevels:
        sigma, reach, passes = constant
        x = gaussian_filter(x, sigma).floor()
        for turn in range(passes):
            source = copy_sources(x.shape[2], x.shape[3], reach, noise.at(noise.step + turn))
            x = x.flatten(2).gather(2, source[:, None].expand(-1, x.shape[1], -1)).view_as(x)
        return gaussian_filter(x, sigma)

    cifar = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
    imagenet = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
    return Corruption(change, cifar, imagenet, CorruptionOptions(severity, scale, quantise), stream=4)


def copy_sources(height: int, width: int, reach: int, noise: Noise) -> Int64[Tensor, "b n"]:
    """Index of the pixel whose initial value each pixel has after one pass from the last pixel to the first."""
    side = 2 * reach
    drawn = (noise.uniform(height, width) * side**2).long()  # one draw gives both offsets
    y = torch.arange(height, device=drawn.device)[:, None]
    x = torch.arange(width, device=drawn.device)
    # Rows and columns from d + 1 to n - d, counted as in the original; draws from there never leave the image.
    moves = (y > reach) & (y <= height - reach) & (x > reach) & (x <= width - reach)
    y_from = y + torch.where(moves, drawn // side - reach, 0)
    x_from = x + torch.where(moves, drawn % side - reach, 0)
    source = (y_from * width + x_from).flatten(1)
    # A later pixel has already been overwritten by the value that it copied. Follow these copies to their end; the
    # number of copies followed doubles per iteration.
    ends = torch.maximum(source, torch.arange(height * width, device=drawn.device))
    while not torch.equal(further := ends.gather(1, ends), ends):
        ends = further
    return source.gather(1, ends)
