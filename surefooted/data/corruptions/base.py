"""What a corruption is: grey levels and random draws in, grey levels out, one row not knowing of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Float64, Int
from pydantic import Field
from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.core.rng import Noise
from surefooted.core.types import check_pixels
from surefooted.errors import InputError

Severity = Annotated[int, Field(ge=1, le=5, description="1, 2, 3, 4 or 5")]
Scale = Literal["auto", "cifar", "imagenet"]
Levels = Float64[Tensor, "b c h w"]

# The largest side, in pixels, that has the constants of CIFAR-10-C when the scale is not given.
SMALL = 64
# The smallest side: below it an elastic transform or a shuffle of neighbours means nothing.
LEAST = 8
# Pixels worked on at a time: on a CPU what fits its cache, elsewhere what fits the memory.
CPU_CHUNK, CHUNK = 2**18, 2**25
# Draws of corruptions keep apart from those of augmentations and attacks, and types and severities from each other.
STREAM = 0x800
STEPS_EACH = 16


@dataclass(frozen=True)
class Corruption(Component):
    """A corruption ready to use: ``corruption(x, rows)``.

    Attributes:
        change: from grey levels, 0 to 255, to grey levels; the last argument is the constant of the severity.
        constants: that of CIFAR-10-C and that of ImageNet-C.
        stream: number of the type, which keeps its draws apart from those of the other types.
        scale: whose constants; ``auto`` takes CIFAR-10-C's for images of up to 64 pixels.
        quantise: see the image as 8-bit and hand out an 8-bit image, truncated, as the original generator does.
        colour: grey images are refused.
    """

    kind: ClassVar[str] = "corruption"

    change: Callable[[Levels, Noise, Any], Levels]
    constants: tuple[Any, Any]
    stream: int
    severity: int
    scale: Scale = "auto"
    quantise: bool = True
    colour: bool = False
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, x: Float[Tensor, "b c h w"], rows: Int[Tensor, " b"], *, seed: int = 0
    ) -> Float[Tensor, "b c h w"]:
        """Corrupt images in [0, 1].

        Args:
            rows: of the data set; with the seed they key all draws, so that no result depends on the batch.
            seed: another one gives another set of corrupted images.

        Raises:
            InputError: where these are not images in [0, 1] that this type is defined on, or not one row for each.
        """
        self._check(x, rows)
        if len(x) == 0:
            return x.clone()
        constant = self.constants[(self.scale == "auto" and max(x.shape[2:]) > SMALL) or self.scale == "imagenet"]
        some = max(1, (CPU_CHUNK if x.device.type == "cpu" else CHUNK) // x[0].numel())
        noise = Noise(seed, rows.long().to(x.device), step=STEPS_EACH * self.severity, stream=STREAM + self.stream)
        return torch.cat(
            [
                self._levels(part, Noise(seed, ids, noise.step, noise.stream), constant).to(x.dtype)
                for part, ids in zip(x.split(some), noise.rows.split(some))
            ]
        )

    def _levels(self, x: Tensor, noise: Noise, constant: Any) -> Levels:
        levels = x.double() * 255
        if self.quantise:
            levels = levels.round()
        changed = self.change(levels, noise, constant).clamp(0, 255)
        return (changed.floor() if self.quantise else changed) / 255

    def _check(self, x: Tensor, rows: Tensor) -> None:
        name = self.spec.name if self.spec else "a corruption"
        if x.ndim != 4 or not x.is_floating_point():
            raise InputError(
                f"{name}: got {x.dtype} of shape {tuple(x.shape)}; floating-point images (b, c, h, w) are expected. "
                "Divide uint8 by 255; give a single image a batch axis with x[None]."
            )
        _, channels, height, width = x.shape
        if channels not in (1, 3):
            raise InputError(f"{name}: got images of {channels} channels; 1 (grey) or 3 (red, green, blue) expected.")
        if self.colour and channels == 1:
            raise InputError(
                f"{name} changes colours, and grey images have none. Leave it out, or pass x.expand(-1, 3, -1, -1)."
            )
        if min(height, width) < LEAST:
            raise InputError(f"{name}: got images of {height}×{width} pixels; sides of at least {LEAST} are expected.")
        if rows.shape != x.shape[:1] or rows.is_floating_point():
            raise InputError(
                f"{name}: got rows of {rows.dtype}, shape {tuple(rows.shape)}, for {len(x)} images; expected one whole "
                "number for each: its row in the data set, such as torch.arange(len(x))."
            )
        if len(x):
            check_pixels(x)


def corruption(
    change: Callable[[Levels, Noise, Any], Levels],
    cifar: tuple[Any, ...],
    imagenet: tuple[Any, ...],
    stream: int,
    severity: int,
    scale: Scale,
    quantise: bool,
    *,
    colour: bool = False,
) -> Corruption:
    """The corruption with the constants of one severity, out of those of all five."""
    constants = (cifar[severity - 1], imagenet[severity - 1])
    return Corruption(change, constants, stream, severity, scale, quantise, colour)
