"""Decoding of image files with Pillow, in the image convention of Hugging Face."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from surefooted.errors import DataError

# Part of every cache key; must change when the same bytes may decode to other pixels.
DECODER = f"2, Pillow {PIL.__version__}"

IMAGE_RULES = """Image files are PNG, JPEG, WebP or BMP with up to 8 bits per channel, recognised by their content and
decoded by Pillow. The EXIF orientation is applied, as Hugging Face ``datasets`` does. Transparent pixels are composited
on white; a warning counts such images when they are first decoded. Palettes and CMYK become RGB; colour profiles (ICC)
and gamma are ignored. If all images of a set are grey, they have one channel, otherwise all have three. Of a JPEG file
with several pictures, the first is read. Files with 16 bits per channel, animations, other formats, broken files and
images of different sizes are refused."""

IMAGE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK")
# First bytes of files that are often found in the place of an image, what they are, and what to do.
_CONVERT = "Convert it to PNG."
_OTHER_CONTENT = {
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "Run `git lfs pull`."),
    b"<": ("text (HTML, XML or SVG)", "Download the image again."),
    b"GIF8": ("a GIF image", _CONVERT),
    b"II*\0": ("a TIFF image", _CONVERT),
    b"MM\0*": ("a TIFF image", _CONVERT),
    b"II+\0": ("a TIFF image", _CONVERT),
    b"MM\0+": ("a TIFF image", _CONVERT),
    b"\0\0\0\x0cjP": ("a JPEG 2000 image", _CONVERT),
    b"\0\0\0\x0cJXL": ("a JPEG XL image", _CONVERT),
    b"\0\0\x01\0": ("a Windows icon", _CONVERT),
    b"P5": ("a PGM image", _CONVERT),
    b"P6": ("a PPM image", _CONVERT),
    b"%PDF": ("a PDF document", _CONVERT),
    b"8BPS": ("a Photoshop image", _CONVERT),
}
# A PNG file is decoded before its EXIF metadata are known to be complete, so it is searched for these first.
_PNG_METADATA = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_PATIENCE = 1.0  # seconds before the progress bar appears

Encoded = tuple[str, bytes]  # place of the image, for messages, and content of the image file


@dataclass(frozen=True)
class Framing:
    """How images are brought to one size, as ``Resize(resize)`` and ``CenterCrop(crop)`` of torchvision do.

    Attributes:
        resize: length of the shorter side in pixels; 0 keeps the size. Images are scaled by Pillow's bilinear
            interpolation on 8 bits, with anti-aliasing; the longer side is rounded down.
        crop: side of the square that is cut from the centre; 0 for none.

    Example:
        >>> Framing(resize=256, crop=224).resized((500, 375)), Framing(resize=256, crop=224).framed((500, 375))
        ((341, 256), (224, 224))
    """

    resize: int = 0
    crop: int = 0

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of an image of a size after it is resized."""
        short = min(size)
        width, height = (int(self.resize * side / short) if side > short else self.resize for side in size)
        return (width, height) if self.resize else size

    def framed(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height after it is cropped too."""
        return (self.crop, self.crop) if self.crop else self.resized(size)

    def apply(self, image: Image.Image, where: str) -> Image.Image:
        """Resize and crop an image of mode L or RGB."""
        if self.resize and self.resized(image.size) != image.size:
            image = image.resize(self.resized(image.size), Image.Resampling.BILINEAR)
        if self.crop:
            width, height = image.size
            if min(width, height) < self.crop:
                raise DataError(
                    f"{where}: has {width}×{height} pixels; too small for `data.crop={self.crop}`. Decrease it, or set "
                    f"`data.resize={self.crop}`."
                )
            left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image


AS_STORED = Framing()

_Function = TypeVar("_Function", bound=Callable[..., object])


def states_image_rules(function: _Function) -> _Function:
    """Insert ``IMAGE_RULES`` into the docstring of a data set that decodes image files, before its arguments.

    Example:
        >>> @states_image_rules
        ... def pictures():
        ...     '''Pictures.
        ...
        ...     Args:
        ...         none.
        ...     '''
        >>> "composited on white" in pictures.__doc__.replace(chr(10), " ")
        True
    """
    text, arguments, rest = inspect.cleandoc(function.__doc__ or "").partition("\n\nArgs:")
    function.__doc__ = f"{text}\n\n{IMAGE_RULES}{arguments}{rest}"
    return function


def common_shape(images: Iterable[Encoded], framing: Framing = AS_STORED) -> tuple[int, int, int]:
    """Channels, height and width of all images: 1 channel if all are grey, otherwise 3.

    Args:
        images: place and content of each image file.
        framing: how images are brought to one size.

    Raises:
        DataError: there are no images, one cannot be decoded, or sizes differ.
    """
    first, size, channels = "", None, 1
    for where, data in images:
        with open_image(where, data) as image:
            found = framing.framed(_upright_size(image, data))
            if size is None:
                first, size = where, found
            if found != size:
                hint = "`data.crop`" if framing.resize else "`data.resize` and `data.crop`, such as 256 and 224"
                raise DataError(
                    f"Images differ in size (width × height): {first} has {size[0]}×{size[1]}, "
                    f"{where} has {found[0]}×{found[1]}. Resize them to one size, or set {hint}."
                )
            if image.mode not in _GREY_MODES:
                channels = 3
    if size is None:
        raise DataError("There are no images.")
    return channels, size[1], size[0]


def decode_image(where: str, data: bytes, channels: int, framing: Framing = AS_STORED) -> np.ndarray:
    """Pixels (C, H, W) of an image, uint8, as ``IMAGE_RULES`` says.

    Args:
        where: place of the image, for messages.
        data: content of the image file.
        channels: 1 for grey, 3 for RGB.
        framing: how it is resized and cropped.
    """
    with open_image(where, data) as image:
        if _orientation(image, data) != 1:
            image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        array = np.asarray(framing.apply(image.convert("L" if channels == 1 else "RGB"), where))
    return array.reshape(*array.shape[:2], channels).transpose(2, 0, 1)


def has_transparent_pixels(where: str, data: bytes) -> bool:
    """Whether an image has pixels that are not opaque, whose colour depends on the background.

    Args:
        where: place of the image, for messages.
        data: content of the image file.
    """
    with open_image(where, data) as image:
        return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def encoding(data: bytes) -> str:
    """Encoding of an image, for captions.

    Returns:
        ``PNG``, ``BMP``, ``WEBP`` (lossless), ``WEBP, lossy``, ``JPEG q75``, or ``JPEG`` if the quality is not one of
        Pillow's.
    """
    with open_image("The first image", data) as image:
        if image.format == "WEBP":
            return "WEBP, lossy" if b"VP8 " in data else "WEBP"
        if not hasattr(image, "quantization"):
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
        DataError: the file is broken, a decompression bomb, an animation, or of another format or depth.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that do not concern the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_content(where, image, data)
                yield image
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: refused as a decompression bomb ({error}).") from None
    except UnidentifiedImageError:
        raise DataError(f"{where}: cannot be decoded: {_explain_content(data)}") from None
    except Exception as error:  # Pillow raises many types of exceptions on broken files
        raise DataError(
            f"{where}: cannot be decoded ({type(error).__name__}: {error}). The file is broken: replace it."
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


def _check_content(where: str, image: Image.Image, data: bytes) -> None:
    """Refuse what has no single meaning as pixels of 8 bits; mend what Pillow reads differently from the format."""
    if image.format == "PNG":
        depth = _png_depth(data)
        if depth > 8:
            raise DataError(f"{where}: has 16 bits per channel; expected at most 8. Convert it to 8 bits per channel.")
        if depth < 8 and image.mode == "L" and "transparency" in image.info:
            # Pillow scales grey levels of 2 and 4 bits to 8 bits, but not the level that is transparent.
            image.info["transparency"] *= 255 // (2**depth - 1)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the further pictures of an MPO file are previews of the first
        raise DataError(f"{where}: is an animation of {frames} frames; expected one image. Store one frame.")
    if image.mode not in _GREY_MODES + _COLOUR_MODES:
        raise DataError(f"{where}: pixels have mode {image.mode}; expected 8-bit grey or colour. Convert it to RGB.")


def _png_depth(data: bytes) -> int:
    """Bits per channel of a PNG file: Pillow does not tell 16 bits in colour from 8."""
    if data[12:16] != b"IHDR":
        raise ValueError("IHDR is not the first chunk")
    return data[24]


def _orientation(image: Image.Image, data: bytes) -> int:
    """EXIF orientation, from 1 (upright) to 8; 1 if there is none."""
    if image.format == "PNG" and not any(mark in data for mark in _PNG_METADATA):
        return 1
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, OverflowError) as error:
        raise ValueError(f"its EXIF metadata, which say which side is up: {error}") from None
    return found if found in range(1, 9) else 1


def _upright_size(image: Image.Image, data: bytes) -> tuple[int, int]:
    """Width and height once the orientation is applied."""
    width, height = image.size
    return (height, width) if _orientation(image, data) in _SIDEWAYS else (width, height)


def _explain_content(data: bytes) -> str:
    """Say what bytes are that are not an image of a supported format, and what to do."""
    if not data:
        return "the file is empty. Replace it."
    supported = f"Supported formats are {', '.join(_FORMATS)}"
    for beginning, (content, cure) in _OTHER_CONTENT.items():
        if data.lstrip().startswith(beginning):
            return f"it is {content}. {supported}. {cure}"
    if data[4:8] == b"ftyp":
        return f"it is a HEIF or AVIF image. {supported}. {_CONVERT}"
    return f"it is no image of a known format. {supported}; if it is one of these, the file is broken: replace it."


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
