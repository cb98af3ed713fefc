"""What a hub's model does to an image before it reads it, measured on the images of its own processor.

Attacks move the pixels that the network reads, so a processor can only be kept if it maps every pixel by itself: a
choice of the channel, a scale and an offset. Such a map is measured on images of one colour and checked on others; all
else, such as a resize or a crop, is refused. Configuration files are not interpreted: what they mean differs between
processors and versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import ModelError

Processor = Callable[[list[Any]], Any]
"""From Pillow images to a batch of the network's inputs."""

# Largest difference to the processor's own result, as a share of what the full range of a pixel spans. One of 255 grey
# levels is 0.004.
_TOLERANCE = 1e-4
_CHANNELS = {1: "L", 3: "RGB"}


class SelectChannels(nn.Module):
    """A network that reads channels in another order than the images have them, such as BGR, or a grey one thrice.

    Example:
        >>> SelectChannels(nn.Flatten(), (2, 1, 0))(torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
        tensor([[0.3000, 0.2000, 0.1000]])
    """

    def __init__(self, net: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.net, self.order = net, list(order)
        self.training = net.training

    def extra_repr(self) -> str:
        return f"order={self.order}"

    def forward(self, x: Float[Tensor, "b *d"]) -> Any:
        return self.net(x[:, self.order])


@dataclass(frozen=True)
class Preprocessing:
    """A map of pixels in [0, 1]: output channel i is ``(x[order[i]] - mean[i]) / std[i]``."""

    order: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        mean, std = (torch.tensor(v, dtype=x.dtype).view(-1, 1, 1) for v in (self.mean, self.std))
        return (x[:, list(self.order)] - mean) / std

    def adapt(self, net: nn.Module, channels: int) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
        """A network and a normalisation before it that together do the same to images with ``channels`` channels."""
        mean, std = self.mean, self.std
        if all(m == 0 and s == 1 for m, s in zip(mean, std)):
            mean, std = (), ()
        if self.order == tuple(range(channels)) or (channels == 1 and mean):  # one channel is broadcast over the means
            return net, mean, std
        back = [self.order.index(k) for k in range(channels)] if mean else []
        return SelectChannels(net, self.order), tuple(mean[k] for k in back), tuple(std[k] for k in back)


def measure_preprocessing(
    processor: Processor, shape: tuple[int, ...], stated: tuple[Any, Any] | None = None
) -> Preprocessing:
    """The map that a processor applies to each pixel.

    Args:
        processor: from Pillow images to what the network reads.
        shape: (C, H, W) of the images.
        stated: mean and standard deviation by the processor's configuration. They are taken if the measurement agrees,
            because they have no rounding errors.

    Raises:
        ModelError: if the processor does more than such a map; the message says what was seen.

    Example:
        >>> def halve(images):
        ...     return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 510 for image in images])
        >>> measure_preprocessing(halve, (3, 2, 2)).std
        (2.0, 2.0, 2.0)
    """
    channels, height, width = shape
    if channels not in _CHANNELS:
        raise ModelError(f"it reads grey or colour images; the data have {channels} channels")
    x8 = _probe_images(channels, height, width)
    want = _run(processor, x8, shape)
    black, white = want[0, :, 0, 0], want[1, :, 0, 0]
    slopes = torch.stack(
        [want[2 + c, :, 0, 0] - black for c in range(channels)]
    )  # of output channels, by input channel
    scale, order = slopes.abs().max(0).values, slopes.abs().argmax(0)
    spread = (slopes.abs().sum(0) - scale) / scale
    if bool((scale == 0).any()):
        raise ModelError("a channel of its results is the same for every colour")
    if bool((want[:2] - want[:2, :, :1, :1]).abs().amax((0, 2, 3)).gt(_TOLERANCE * scale).any()):
        raise ModelError("it makes images of several colours from images of one, as by padding")
    if bool((spread > 1e-3).any()):
        raise ModelError("it mixes the colour channels")
    if bool((white <= black).any()):
        raise ModelError("it turns white darker than black")
    std = 1 / (white - black)
    measured = Preprocessing(
        tuple(int(k) for k in order), tuple(float(v) for v in -black * std), tuple(float(v) for v in std)
    )
    found = _as_stated(measured, stated)
    off = ((found(x8.double() / 255) - want) * std.view(-1, 1, 1)).abs()
    if bool(off.max() > _TOLERANCE):
        raise ModelError(
            f"it resizes, crops, or otherwise changes images of {height} × {width} pixels: a random image differs from "
            f"the same pixels, normalised, by up to {255 * float(off.max()):.0f} of 255 grey levels"
        )
    return found


def _as_stated(measured: Preprocessing, stated: tuple[Any, Any] | None) -> Preprocessing:
    """The stated mean and standard deviation, if the measured ones are these up to rounding."""
    if stated is None:
        return measured
    values = []
    for given, seen in zip(stated, (measured.mean, measured.std)):
        numbers = [given] * len(seen) if isinstance(given, int | float) else given
        if not isinstance(numbers, list | tuple) or not all(isinstance(v, int | float) for v in numbers):
            return measured
        if len(numbers) != len(seen) or not np.allclose(numbers, seen, rtol=1e-4, atol=1e-4):
            return measured
        values.append(tuple(float(v) for v in numbers))
    return Preprocessing(measured.order, *values)


def _probe_images(channels: int, height: int, width: int) -> Tensor:
    """Black, white, each channel alone, grey, a gradient, and two random images, in 255 grey levels."""
    flat = torch.zeros(3 + channels, channels, 1, 1)
    flat[1], flat[-1] = 255, 99
    for c in range(channels):
        flat[2 + c, c] = 255
    rows = torch.arange(height * width).view(1, 1, height, width) * 255 // max(height * width - 1, 1)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (2, channels, height, width), generator=generator)
    flat, rows = flat.expand(-1, -1, height, width), rows.expand(-1, channels, -1, -1)
    return torch.cat([flat.long(), rows, noise]).to(torch.uint8)


def _run(processor: Processor, x8: Tensor, shape: tuple[int, ...]) -> Float[Tensor, "b d h w"]:
    """The processor's results as float64, refused if they are no images of the data's size."""
    from PIL import Image

    mode = _CHANNELS[x8.shape[1]]
    arrays = x8.permute(0, 2, 3, 1).numpy() if mode == "RGB" else x8[:, 0].numpy()
    try:
        out = processor([Image.fromarray(np.ascontiguousarray(array)) for array in arrays])
    except Exception as error:  # anybody's code
        first = next(iter(str(error).splitlines()), "")
        raise ModelError(
            f"it fails on images of (C, H, W) = {tuple(shape)} ({type(error).__name__}: {first})"
        ) from None
    if not isinstance(out, Tensor) or out.ndim != 4 or len(out) != len(x8):
        seen = f"a tensor of shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise ModelError(f"it returns {seen} for {len(x8)} images; expected one image (C, H, W) for each")
    if tuple(out.shape[2:]) != tuple(shape[1:]):
        (high, wide), (height, width) = out.shape[2:], shape[1:]
        raise ModelError(f"it makes {high} × {wide} pixels of images of {height} × {width}")
    if not bool(out.double().isfinite().all()):
        raise ModelError("it returns NaN or infinite numbers")
    return out.double()
