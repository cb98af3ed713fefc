"""Image files of many kinds, with the pixels that they mean or the refusal that they deserve."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

HEIGHT, WIDTH = 4, 6
_rng = np.random.default_rng(7)
GREY = _rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = _rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ALPHA = _rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
ALPHA[0, :2] = 0, 255
LEVELS = _rng.integers(0, 4, (HEIGHT, WIDTH), dtype=np.uint8)  # indices of a palette of four colours
PALETTE = _rng.integers(0, 256, (4, 3), dtype=np.uint8)
# How to turn a stored image upright, by EXIF orientation (EXIF 2.3, section 4.6.4: place of row 0 and column 0).
UPRIGHT = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.rot90(np.fliplr(x), 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.fliplr(x), -1),
    8: lambda x: np.rot90(x, 1),
}


@dataclass(frozen=True)
class Odd:
    """An image file: either its pixels, (H, W) if it is grey, otherwise (H, W, 3), or a pattern of its refusal."""

    data: bytes
    pixels: np.ndarray | None = None
    refusal: str = ""


def saved(array, kind="PNG", mode=None, **options):
    """The image file of an array, or of an image."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data, mode):
    """Pixels as Pillow decodes them."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows, colour_type, depth, *extra, shape=(WIDTH, HEIGHT), after=()):
    """A PNG file, written chunk by chunk: depths and chunks that Pillow does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *shape, depth, colour_type, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *extra, pixels, *after, chunk(b"IEND", b"")])


def packed(levels, depth):
    """Rows of levels of a few bits each."""
    bits = ((levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits]


def on_white(colour, alpha):
    """Colours over white: Porter and Duff's *over* on an opaque ground, rounded."""
    alpha = alpha[..., None] if colour.ndim == 3 else alpha
    exact = (colour.astype(float) * alpha + 255.0 * (255 - alpha)) / 255
    return np.floor(exact + 0.5).astype(np.uint8)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def xmp(orientation):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="{orientation}"/></x:xmpmeta>'


def _oriented(orientation, kind):
    upright = UPRIGHT.get(orientation, UPRIGHT[1])
    # Stored so that the upright image has the size of all others.
    stored = np.ascontiguousarray(COLOUR.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else COLOUR)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(stored, kind, exif=exif(orientation), **options)
    return Odd(data, upright(decoded(saved(stored, kind, **options), "RGB")))


def _orientations():
    turned = np.ascontiguousarray(COLOUR.swapaxes(0, 1))
    tall = (HEIGHT, WIDTH)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp(6), zip=True)
    found = {f"exif {k}, {kind}": _oriented(k, kind) for k in range(1, 9) for kind in ("JPEG", "PNG", "WEBP")}
    rows = [row.tobytes() for row in turned]
    return found | {
        "exif 0": _oriented(0, "JPEG"),
        "exif 9": _oriented(9, "PNG"),
        "xmp in png": Odd(saved(turned, pnginfo=text), UPRIGHT[6](turned)),
        "xmp in jpeg": Odd(
            saved(turned, "JPEG", xmp=xmp(8).encode()), UPRIGHT[8](decoded(saved(turned, "JPEG"), "RGB"))
        ),
        "exif after the pixels": Odd(
            png(rows, 2, 8, shape=tall, after=[chunk(b"eXIf", exif(6)[6:])]), UPRIGHT[6](turned)
        ),
        "exif and alpha": Odd(saved(np.dstack([turned, ALPHA.T]), exif=exif(6)), UPRIGHT[6](on_white(turned, ALPHA.T))),
    }


def _transparent():
    rgba, la = np.dstack([COLOUR, ALPHA]), np.dstack([GREY, ALPHA])
    palette = chunk(b"PLTE", PALETTE.tobytes())
    opaque = np.array([255, 0, 128, 77], np.uint8)
    key = COLOUR[1, 2]
    is_key = (key == COLOUR).all(2)
    shades = GREY // 17
    white = np.uint8(255)
    return {
        "rgba": Odd(saved(rgba), on_white(COLOUR, ALPHA)),
        "rgba, webp": Odd(saved(rgba, "WEBP", lossless=True, exact=True), on_white(COLOUR, ALPHA)),
        "rgba, opaque": Odd(saved(np.dstack([COLOUR, np.full_like(ALPHA, 255)])), COLOUR),
        "grey and alpha": Odd(saved(Image.fromarray(la, "LA")), on_white(GREY, ALPHA)),
        "palette and alpha": Odd(
            png(packed(LEVELS, 8), 3, 8, palette, chunk(b"tRNS", opaque.tobytes())),
            on_white(PALETTE[LEVELS], opaque[LEVELS]),
        ),
        "palette, one transparent": Odd(
            png(packed(LEVELS, 8), 3, 8, palette, chunk(b"tRNS", b"\xff\0")),
            np.where((LEVELS == 1)[..., None], white, PALETTE[LEVELS]),
        ),
        "transparent colour": Odd(
            png([row.tobytes() for row in COLOUR], 2, 8, chunk(b"tRNS", struct.pack(">HHH", *key))),
            np.where(is_key[..., None], white, COLOUR),
        ),
        "transparent grey": Odd(
            png([row.tobytes() for row in GREY], 0, 8, chunk(b"tRNS", struct.pack(">H", GREY[0, 0]))),
            np.where(GREY[0, 0] == GREY, white, GREY),
        ),
        "transparent grey, 4 bits": Odd(
            png(packed(shades, 4), 0, 4, chunk(b"tRNS", struct.pack(">H", shades[0, 0]))),
            np.where(shades == shades[0, 0], white, shades * 17),
        ),
        "transparent grey, 2 bits": Odd(
            png(packed(LEVELS, 2), 0, 2, chunk(b"tRNS", struct.pack(">H", 1))),
            np.where(LEVELS == 1, white, LEVELS * 85),
        ),
        "transparent black, 1 bit": Odd(
            png(packed(LEVELS % 2, 1), 0, 1, chunk(b"tRNS", struct.pack(">H", 0))), np.full_like(GREY, 255)
        ),
    }


def _depths():
    palette = chunk(b"PLTE", PALETTE.tobytes())
    grey = {
        f"grey, {d} bits": Odd(png(packed(GREY >> (8 - d), d), 0, d), (GREY >> (8 - d)) * (255 // (2**d - 1)))
        for d in (1, 2, 4, 8)
    }
    indexed = {
        f"palette, {d} bits": Odd(png(packed(LEVELS & (2**d - 1), d), 3, d, palette), PALETTE[LEVELS & (2**d - 1)])
        for d in (1, 2, 4, 8)
    }
    sixteen = {
        name: Odd(png([_rng.bytes(WIDTH * channels * 2) for _ in range(HEIGHT)], colour_type, 16), refusal="16 bits")
        for name, colour_type, channels in (
            ("16 bits, grey", 0, 1),
            ("16 bits, grey and alpha", 4, 2),
            ("16 bits, colour", 2, 3),
            ("16 bits, rgba", 6, 4),
        )
    }
    return grey | indexed | sixteen


def _encodings():
    cmyk = Image.fromarray(np.dstack([COLOUR, GREY]), "CMYK")
    inverted = saved(cmyk, "JPEG", quality=95)
    marker = inverted.index(b"\xff\xee")  # without Adobe's marker, the same numbers are not inverted
    plain = inverted[:marker] + inverted[marker + 2 + struct.unpack(">H", inverted[marker + 2 : marker + 4])[0] :]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    paper = Image.new("CMYK", (WIDTH, HEIGHT))
    jpeg = {"progressive": {"progressive": True}, "4:4:4": {"subsampling": 0}, "quality 30": {"quality": 30}}
    grey_jpeg = saved(GREY, "JPEG")
    return {
        **{f"jpeg, {k}": Odd(data := saved(COLOUR, "JPEG", **v), decoded(data, "RGB")) for k, v in jpeg.items()},
        "jpeg, grey": Odd(grey_jpeg, decoded(grey_jpeg, "L")),
        "jpeg of several pictures": Odd(
            saved(Image.fromarray(COLOUR), "MPO", save_all=True, append_images=[Image.new("RGB", (3, 3))]),
            decoded(saved(COLOUR, "JPEG"), "RGB"),
        ),
        "cmyk, white paper": Odd(saved(paper, "JPEG"), np.full_like(COLOUR, 255)),
        "cmyk, inverted by Adobe": Odd(inverted, decoded(inverted, "RGB")),
        "cmyk, not inverted": Odd(plain, decoded(plain, "RGB")),
        "webp, lossy": Odd(data := saved(COLOUR, "WEBP", quality=80), decoded(data, "RGB")),
        "webp, lossless": Odd(saved(COLOUR, "WEBP", lossless=True), COLOUR),
        "bmp, colour": Odd(saved(COLOUR, "BMP"), COLOUR),
        "bmp, grey": Odd(saved(GREY, "BMP"), GREY),
        "bmp, 1 bit": Odd(saved(GREY, "BMP", mode="1"), np.asarray(Image.fromarray(GREY).convert("1")) * np.uint8(255)),
        "bmp, palette": Odd(data := saved(COLOUR, "BMP", mode="P"), decoded(data, "RGB")),
        "with an ICC profile": Odd(saved(COLOUR, icc_profile=profile), COLOUR),
        "with gamma": Odd(png([row.tobytes() for row in COLOUR], 2, 8, chunk(b"gAMA", struct.pack(">I", 100))), COLOUR),
        "bytes after the end": Odd(saved(COLOUR) + b"more", COLOUR),
    }


def _broken():
    whole = {kind: saved(COLOUR, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP")}
    cut = {f"{kind}, cut": Odd(data[: len(data) * 2 // 3], refusal="cannot be decoded") for kind, data in whole.items()}
    frames = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT))]}
    image = Image.fromarray(COLOUR)
    rows = [row.tobytes() for row in COLOUR]
    header, pixels = whole["PNG"][:33], whole["PNG"][33:]
    damaged = bytearray(whole["PNG"])
    damaged[whole["PNG"].index(b"IDAT") + 12] ^= 0xFF
    other = {
        "gif": (saved(image, "GIF", mode="P"), "a GIF image.*Convert"),
        "animated gif": (saved(image, "GIF", **frames), "a GIF image"),
        "tiff": (saved(image, "TIFF"), "a TIFF image"),
        "tiff of pages": (saved(image, "TIFF", **frames), "a TIFF image"),
        "tiff of floats": (saved(np.ones((HEIGHT, WIDTH), np.float32), "TIFF"), "a TIFF image"),
        "tiff of 32 bits": (saved(np.ones((HEIGHT, WIDTH), np.int32), "TIFF"), "a TIFF image"),
        "tiff of 16 bits": (saved(np.ones((HEIGHT, WIDTH), np.uint16), "TIFF"), "a TIFF image"),
        "tiff, lab": (saved(Image.new("LAB", (WIDTH, HEIGHT)), "TIFF"), "a TIFF image"),
        "tiff, ycbcr": (saved(image, "TIFF", mode="YCbCr"), "a TIFF image"),
        "ppm": (saved(image, "PPM"), "a PPM image"),
        "pgm": (saved(GREY, "PPM"), "a PGM image"),
        "icon": (saved(image, "ICO", sizes=[(4, 4)]), "a Windows icon"),
        "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        "avif": (b"\0\0\0\x20ftypavif\0\0\0\0", "a HEIF or AVIF image"),
        "heic": (b"\0\0\0\x20ftypheic\0\0\0\0", "a HEIF or AVIF image"),
        "svg": (b'<?xml version="1.0"?><svg></svg>', "text .HTML, XML or SVG"),
        "error page": (b"\n<!DOCTYPE html><html></html>", "Download the image again"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        "text": (b"a cat", "no image of a known format"),
        "empty": (b"", "the file is empty"),
        "noise": (_rng.bytes(200), "no image of a known format"),
        "animated png": (saved(image, "PNG", **frames), "an animation of 2 frames"),
        "animated webp": (saved(image, "WEBP", lossless=True, **frames), "an animation of 2 frames"),
        "bomb": (png([b""], 2, 8, shape=(30_000, 30_000)), "decompression bomb"),
        "no pixels": (png([b""], 2, 8, shape=(0, 0)), "cannot be decoded"),
        "damaged png": (bytes(damaged), "cannot be decoded"),
        "chunks in disorder": (
            header[:8] + chunk(b"gAMA", struct.pack(">I", 9)) + header[8:] + pixels,
            "cannot be decoded",
        ),
        "unreadable exif": (png(rows, 2, 8, chunk(b"eXIf", b"nonsense")), "its EXIF metadata"),
    }
    return cut | {name: Odd(data, refusal=refusal) for name, (data, refusal) in other.items()}


ODD = _orientations() | _transparent() | _depths() | _encodings() | _broken()
READABLE = {name: odd for name, odd in ODD.items() if odd.pixels is not None}
REFUSED = {name: odd for name, odd in ODD.items() if odd.refusal}
