"""The first stage of every network. It normalises inside the network, so attacks and shifts stay in pixels."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import DataError, ModelError

NormaliseMode = Literal["none", "channel", "pixel_mean"]


class Normalise(nn.Module):
    """Normalisation of pixels by statistics of the training images, which ``fit`` takes and the weights keep.

    Attributes:
        shape: (C, H, W) of the images that the network was built for; others are refused.
        mode: ``none`` leaves the pixels unchanged; ``channel`` subtracts each channel's mean and divides by its
            standard deviation; ``pixel_mean`` subtracts the mean image and does not scale (AR-AdaLS).
        mean: (C, H, W) for ``pixel_mean``, otherwise (C, 1, 1); 0 until ``fit``.
        std: (C, 1, 1); 1 until ``fit``.

    Example:
        >>> normalise = Normalise((1, 2, 2), "channel")
        >>> images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
        >>> normalise.fit(images)
        >>> normalise(images).flatten(1).tolist()
        [[-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, int, int], mode: NormaliseMode = "none") -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.mode: NormaliseMode = mode
        self.register_buffer("mean", torch.zeros(shape if mode == "pixel_mean" else (shape[0], 1, 1)))
        self.register_buffer("std", torch.ones(shape[0], 1, 1))

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "n c h w"]) -> None:
        """Take mean and standard deviation from the training images. Does nothing in mode ``none``.

        Args:
            images: (N, C, H, W), pixels in [0, 1].

        Raises:
            DataError: if a pixel is outside [0, 1].
            ModelError: if the images have another shape.
        """
        if self.mode == "none":
            return
        self._check_shape(images)
        low, high = images.min().item(), images.max().item()
        if not 0 <= low <= high <= 1:  # refuses NaN too
            raise DataError(f"Normalise.fit needs pixels in [0, 1]; got [{low:g}, {high:g}]. Divide by 255?")
        if self.mode == "pixel_mean":
            self.mean.copy_(images.mean(0))
        else:
            std, mean = torch.std_mean(images, (0, 2, 3), correction=0)
            self.mean.copy_(mean[:, None, None])
            # A constant channel carries no information: it becomes 0 instead of a division by 0.
            self.std.copy_(torch.where(std > 0, std, 1)[:, None, None])

    def forward(self, x: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        self._check_shape(x)
        if self.mode == "none":
            return x
        return x - self.mean if self.mode == "pixel_mean" else (x - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"{self.shape}, mode={self.mode!r}"

    def _check_shape(self, x: Tensor) -> None:
        # Without this check a grey image is broadcast over the channels, and a larger one averaged away, silently.
        if tuple(x.shape[-3:]) != self.shape:
            raise ModelError(
                f"This network reads images of (C, H, W) = {self.shape}; got a batch of shape {tuple(x.shape)}. "
                "Resize the images, or build the network for their shape."
            )
