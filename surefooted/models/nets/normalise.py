"""The first stage of every network: pixels in [0, 1] to what the layers read. Attacks and shifts stay in pixels."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import InputError

How = Literal["none", "channel", "pixel_mean"]


class Normalise(nn.Module):
    """Shift and scale of the pixels, learnt from the training images by ``fit`` and kept with the weights.

    Attributes:
        shape: (C, H, W) of the images that the network is made for; others are refused.
        how: none leaves the pixels as they are; channel subtracts each channel's mean and divides by its standard
            deviation; pixel_mean subtracts the mean image and does not scale (AR-AdaLS).
        mean: (C, H, W) for pixel_mean, otherwise (C, 1, 1); 0 until ``fit``.
        std: (C, 1, 1); 1 until ``fit``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, int, int], how: How = "none"):
        super().__init__()
        self.shape = tuple(shape)
        self.how: How = how
        self.register_buffer("mean", torch.zeros(shape if how == "pixel_mean" else (shape[0], 1, 1)))
        self.register_buffer("std", torch.ones(shape[0], 1, 1))

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "n c h w"]) -> None:
        """Take mean and std from the training images, in [0, 1]. With how = "none" there is nothing to take."""
        if self.how == "none":
            return
        self._check(images)
        low, high = images.min().item(), images.max().item()
        if not 0 <= low <= high <= 1:  # refuses NaN too
            raise InputError(f"Normalise.fit needs pixels in [0, 1]; these lie in [{low:g}, {high:g}]. Divide by 255?")
        if self.how == "pixel_mean":
            self.mean.copy_(images.mean(0))
        else:
            std, mean = torch.std_mean(images, (0, 2, 3), correction=0)
            self.mean.copy_(mean[:, None, None])
            # A channel that never varies tells nothing: it becomes 0, not a division by 0.
            self.std.copy_(torch.where(std > 0, std, 1)[:, None, None])

    def forward(self, x: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        self._check(x)
        if self.how == "none":
            return x
        return x - self.mean if self.how == "pixel_mean" else (x - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"{self.shape}, how={self.how!r}"

    def _check(self, x: Tensor) -> None:
        # Without this a grey image would be broadcast over the channels, and a larger one be averaged away, in silence.
        if tuple(x.shape[-3:]) != self.shape:
            raise InputError(
                f"this network reads images of (C, H, W) = {self.shape}; got a batch of shape {tuple(x.shape)}. "
                f"Resize the images, or build the network for their shape."
            )
