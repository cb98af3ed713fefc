"""Encoded images to pixels, with Pillow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

import numpy as np
import PIL
from PIL import Image

from surefooted.errors import InputError

# Changes when the same bytes may give other pixels.
DECODER = f"1, Pillow {PIL.__version__}"

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_PATIENCE = 1.0  # seconds before a progress bar appears

Encoded = tuple[str, bytes]  # where it comes from, for messages, and the image file


def common_shape(images: Iterable[Encoded]) -> tuple[int, int, int]:
    """Channels, height and width that all images share: 1 channel if all are grey, otherwise 3."""
    first, size, channels = "", None, 1
    for where, data in images:
        with open_image(where, data) as image:
            if size is None:
                first, size = where, image.size
            if image.size != size:
                raise InputError(
                    f"Images differ in size (width × height): {first} has {size[0]}×{size[1]}, "
                    f"{where} has {image.size[0]}×{image.size[1]}. Resize them to one size."
                )
            if image.mode not in _GREY_MODES:
                channels = 3
    if size is None:
        raise InputError("There are no images.")
    return channels, size[1], size[0]


def decode_image(where: str, data: bytes, channels: int) -> np.ndarray:
    """The image as uint8, (C, H, W). Transparency is dropped."""
    with open_image(where, data) as image:
        array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array.reshape(*array.shape[:2], channels).transpose(2, 0, 1)


def encoding(data: bytes) -> str:
    """The format, for captions: ``PNG``, ``JPEG q75``, or ``JPEG`` where the quality is not one of Pillow's."""
    with open_image("the first image", data) as image:
        if image.format != "JPEG":
            return str(image.format)
        for quality in range(1, 101):
            if _quantisation("RGB" if image.mode == "RGB" else "L", quality) == image.quantization:  # type: ignore[attr-defined]
                return f"JPEG q{quality}"
    return "JPEG"


def _quantisation(mode: str, quality: int) -> dict[int, list[int]]:
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return image.quantization  # type: ignore[attr-defined]


@contextmanager
def open_image(where: str, data: bytes) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.mode not in _GREY_MODES + _COLOUR_MODES:
                    raise InputError(f"{where}: pixels of mode {image.mode}; 8-bit grey or colour is expected.")
                yield image
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: refused as a decompression bomb ({error}).") from None
    except Exception as error:  # Pillow raises half a dozen kinds on broken files
        raise InputError(
            f"{where}: cannot be decoded ({type(error).__name__}: {error}). {', '.join(_FORMATS)} are understood; "
            "if it is one of these, the file is broken: replace it."
        ) from None


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error once it takes long, if that is a terminal; call what comes for every item done."""
    from rich.console import Console
    from rich.progress import Progress

    console, begun = Console(stderr=True), monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, visible=False)
        yield lambda: bar.update(task, advance=1, visible=monotonic() - begun > _PATIENCE)
