"""Corruptions: functions from grey levels and random draws to grey levels, in which rows do not affect each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Float64, Int
from pydantic import Field
from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.core.rng import Noise
from surefooted.core.types import check_pixels
from surefooted.errors import ArgumentError

Severity = Annotated[int, Field(ge=1, le=5, description="1, 2, 3, 4 or 5")]
Scale = Literal["auto", "cifar", "imagenet"]
PixelLevels = Float64[Tensor, "b c h w"]
GreyLevels = Float64[Tensor, "b 1 h w"]

# Largest side, in pixels, for which the scale "auto" takes the constants of CIFAR-10-C.
SMALL_SIDE = 64
# Smallest side: on fewer pixels an elastic transform or a shuffle of neighbours has no meaning.
MIN_SIDE = 8
# Pixels processed at a time: as many as fit the cache of a CPU, and the memory of other devices.
CPU_CHUNK, CHUNK = 2**18, 2**25
# Draws are independent of those of augmentations and attacks, and between types and severities.
FIRST_STREAM = 0x800
STEPS_PER_SEVERITY = 16


@dataclass(frozen=True)
class CorruptionOptions:
    """Options of all corruptions.

    Attributes:
        severity: strength, from 1 to 5.
        scale: whose constants; ``auto`` takes those of CIFAR-10-C for images of up to 64 pixels, and those of
            ImageNet-C for larger ones.
        quantise: read the image as 8-bit and return an 8-bit image, truncated as by the original generator.
    """

    severity: int
    scale: Scale
    quantise: bool


@dataclass(frozen=True)
class Corruption(Component):
    """A corruption with its options: ``corruption(x, rows)`` returns corrupted images.

    Attributes:
        change: function from grey levels, 0 to 255, random draws and the constant of one severity to grey levels.
        cifar: constants of CIFAR-10-C, one per severity.
        imagenet: constants of ImageNet-C, one per severity.
        options: severity, scale and quantisation.
        stream: number of the type. It keeps the draws of types independent and must be unique.
        random: true if the result depends on the seed and the row; false if the type draws nothing.
        monotone: true if severities order one effect from weak to strong, so that higher ones change an image more.
        colour_only: true if grey images are refused.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> fog = sf.corruptions.fog(severity=5)
        >>> fog(torch.zeros(2, 1, 28, 28), rows=torch.arange(2)).shape
        torch.Size([2, 1, 28, 28])
        >>> fog.random, fog.colour_only
        (True, False)
    """

    kind: ClassVar[str] = "corruption"

    change: Callable[[PixelLevels, Noise, Any], PixelLevels]
    cifar: tuple[Any, ...]
    imagenet: tuple[Any, ...]
    options: CorruptionOptions
    _: KW_ONLY
    stream: int
    random: bool = True
    monotone: bool = True
    colour_only: bool = False
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, x: Float[Tensor, "b c h w"], rows: Int[Tensor, " b"], *, seed: int = 0
    ) -> Float[Tensor, "b c h w"]:
        """Corrupt images.

        Args:
            x: images in [0, 1], grey or colour.
            rows: row of each image in its data set. Rows and seed key all draws, so results do not depend on the batch.
            seed: seed of the draws.

        Returns:
            Corrupted images in [0, 1], of the same shape, type and device.

        Raises:
            ArgumentError: ``x`` does not hold images in [0, 1] that this type is defined on, or ``rows`` does not hold
                one row per image.
        """
        x = self._check(x, rows)
        if len(x) == 0:
            return x.clone()
        constant = self._constant(max(x.shape[2:]))
        chunk = max(1, (CPU_CHUNK if x.device.type == "cpu" else CHUNK) // x[0].numel())
        step, stream = STEPS_PER_SEVERITY * self.options.severity, FIRST_STREAM + self.stream
        parts = [
            self._corrupt(part, Noise(seed, part_rows, step, stream), constant).to(x.dtype)
            for part, part_rows in zip(torch.split(x, chunk), torch.split(rows.long().to(x.device), chunk))
        ]
        return torch.cat(parts)

    def _constant(self, side: int) -> Any:
        scale = self.options.scale
        large = scale == "imagenet" or (scale == "auto" and side > SMALL_SIDE)
        return (self.imagenet if large else self.cifar)[self.options.severity - 1]

    def _corrupt(self, x: Tensor, noise: Noise, constant: Any) -> PixelLevels:
        levels = x.double() * 255
        if self.options.quantise:
            levels = levels.round()
        changed = self.change(levels, noise, constant).clamp(0, 255)
        return (changed.floor() if self.options.quantise else changed) / 255

    def _check(self, x: Tensor, rows: Tensor) -> Tensor:
        name = self.spec.name if self.spec else "corruption"
        if x.ndim != 4 or not x.is_floating_point():
            raise ArgumentError(
                f"{name}: `x` is {x.dtype} of shape {tuple(x.shape)}; expected floating-point images (b, c, h, w). "
                "Divide uint8 by 255; add a batch axis to a single image with x[None]."
            )
        _, channels, height, width = x.shape
        if channels not in (1, 3):
            raise ArgumentError(f"{name}: images have {channels} channels; expected 1 (grey) or 3 (red, green, blue).")
        if self.colour_only and channels == 1:
            raise ArgumentError(
                f"{name} changes colours, but the images are grey. Omit it, or pass x.expand(-1, 3, -1, -1)."
            )
        if min(height, width) < MIN_SIDE:
            raise ArgumentError(
                f"{name}: images have {height}×{width} pixels; expected at least {MIN_SIDE} pixels per side."
            )
        if rows.shape != x.shape[:1] or rows.is_floating_point():
            raise ArgumentError(
                f"{name}: `rows` is {rows.dtype} of shape {tuple(rows.shape)} for {len(x)} images; expected one whole "
                "number per image, its row in the data set, such as torch.arange(len(x))."
            )
        return check_pixels(x) if len(x) else x
