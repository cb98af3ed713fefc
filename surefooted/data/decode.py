"""Decoding of image files with Pillow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

import numpy as np
import PIL
from PIL import Image

from surefooted.errors import DataError

# Part of every cache key; must change when the same bytes may decode to other pixels.
DECODER = f"1, Pillow {PIL.__version__}"

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_PATIENCE = 1.0  # seconds before the progress bar appears

Encoded = tuple[str, bytes]  # place of the image, for messages, and content of the image file


def common_shape(images: Iterable[Encoded]) -> tuple[int, int, int]:
    """Channels, height and width of all images: 1 channel if all are grey, otherwise 3.

    Raises:
        DataError: there are no images, one cannot be decoded, or sizes differ.
    """
    first, size, channels = "", None, 1
    for where, data in images:
        with open_image(where, data) as image:
            if size is None:
                first, size = where, image.size
            if image.size != size:
                raise DataError(
                    f"Images differ in size (width × height): {first} has {size[0]}×{size[1]}, "
                    f"{where} has {image.size[0]}×{image.size[1]}. Resize them to one size."
                )
            if image.mode not in _GREY_MODES:
                channels = 3
    if size is None:
        raise DataError("There are no images.")
    return channels, size[1], size[0]


def decode_image(where: str, data: bytes, channels: int) -> np.ndarray:
    """Pixels (C, H, W) of an image, uint8. Transparency is dropped."""
    with open_image(where, data) as image:
        array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array.reshape(*array.shape[:2], channels).transpose(2, 0, 1)


def encoding(data: bytes) -> str:
    """Encoding of an image, for captions: ``PNG``, ``JPEG q75``, or ``JPEG`` if the quality is not one of Pillow's."""
    with open_image("The first image", data) as image:
        if image.format != "JPEG":
            return str(image.format)
        mode, tables = "RGB" if image.mode == "RGB" else "L", _quantisation(image)
    return next((f"JPEG q{quality}" for quality in range(1, 101) if _quantisation_at(mode, quality) == tables), "JPEG")


@contextmanager
def open_image(where: str, data: bytes) -> Iterator[Image.Image]:
    """Open an image, of a few formats and modes only.

    Args:
        where: place of the image, for messages.
        data: content of the image file.

    Raises:
        DataError: the file is broken, a decompression bomb, or of another format or mode.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.mode not in _GREY_MODES + _COLOUR_MODES:
                    raise DataError(f"{where}: pixels have mode {image.mode}; expected 8-bit grey or colour.")
                yield image
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: refused as a decompression bomb ({error}).") from None
    except Exception as error:  # Pillow raises many types of exceptions on broken files
        raise DataError(
            f"{where}: cannot be decoded ({type(error).__name__}: {error}). Supported formats are "
            f"{', '.join(_FORMATS)}; if it is one of these, the file is broken: replace it."
        ) from None


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Progress bar on standard error, if that is a terminal; it appears after a second. Call the result per item."""
    from rich.console import Console
    from rich.progress import Progress

    console, begun = Console(stderr=True), monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, visible=False)
        yield lambda: bar.update(task, advance=1, visible=monotonic() - begun > _PATIENCE)


def _quantisation(image: Image.Image) -> dict[int, list[int]]:
    """Quantisation tables of an open JPEG image."""
    tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]  # of Pillow's JPEG images only
    return tables


def _quantisation_at(mode: str, quality: int) -> dict[int, list[int]]:
    """Quantisation tables that Pillow uses at a quality."""
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return _quantisation(image)
