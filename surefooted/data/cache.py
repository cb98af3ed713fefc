"""Cache of decoded images: a memory-mapped array per table, keyed by the encoded bytes."""

from __future__ import annotations

import hashlib
import os
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from surefooted.data.decode import (
    AS_STORED,
    DECODER,
    Encoded,
    Framing,
    common_shape,
    decode_image,
    has_transparent_pixels,
    progress_bar,
)
from surefooted.data.paths import cache_root
from surefooted.errors import DataNotice


def decode_cached(
    images: Callable[[], Iterator[Encoded]], count: int, key: str, title: str, framing: Framing = AS_STORED
) -> np.ndarray:
    """Load pixels from the cache, or decode them and add them to the cache.

    Args:
        images: function that iterates over the encoded images from the start.
        count: number of images.
        key: key of the encoded images, from ``cache_key``.
        title: name of the images for the progress bar.
        framing: how they are resized and cropped.

    Returns:
        Pixels (N, C, H, W), uint8.
    """
    if framing != AS_STORED:
        key = cache_key([key.encode(), repr(framing).encode()])
    path = cache_root() / f"{key}.npy"
    if (cached := _read_entry(path, count)) is not None:
        return cached
    transparent: list[str] = []

    def checked() -> Iterator[Encoded]:
        for where, data in images():
            if has_transparent_pixels(where, data):
                transparent.append(where)
            yield where, data

    channels, height, width = common_shape(checked(), framing)
    if transparent:
        warnings.warn(
            f"Transparent pixels of {len(transparent)} images (of {count}) are composited on white; the first is "
            f"{transparent[0]}.",
            DataNotice,
            stacklevel=2,
        )

    def arrays() -> Iterator[np.ndarray]:
        with progress_bar(f"Decoding {title}", count) as advance:
            for where, data in images():
                yield decode_image(where, data, channels, framing)
                advance()

    try:
        _write_entry(path, (count, channels, height, width), arrays())
    except OSError:
        # If the cache cannot be written, only time is lost.
        return np.stack(list(arrays()))
    cached = _read_entry(path, count)
    return np.stack(list(arrays())) if cached is None else cached


def cache_key(parts: Iterable[bytes]) -> str:
    """Key of the images encoded in these bytes. It changes with the bytes, their order and the decoder."""
    total = hashlib.sha256(DECODER.encode())
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def _read_entry(path: Path, count: int) -> np.ndarray | None:
    """The entry, or None if it is missing or incomplete."""
    try:
        # Mapped copy-on-write: changes do not reach the file, and torch accepts only writable arrays.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    complete = isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 4 and len(array) == count
    return array if complete and array.flags.c_contiguous else None


def _write_entry(path: Path, shape: tuple[int, ...], arrays: Iterable[np.ndarray]) -> None:
    """Write image by image to a partial file, then rename it. A mapped file would crash on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for array in arrays:
                file.write(array.tobytes())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
