"""Images decoded once: a memory-mapped array per table, keyed by the bytes it was decoded from."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from surefooted.data.decode import DECODER, Encoded, common_shape, decode_image, progress_bar
from surefooted.data.paths import cache_root


def decode_cached(images: Callable[[], Iterator[Encoded]], count: int, key: str, title: str) -> np.ndarray:
    """Pixels (N, C, H, W) as uint8: from the cache, or decoded and put there.

    Args:
        images: gives the encoded images from the start, as often as called.
        key: digest of the encoded images, from ``digest``.
    """
    path = cache_root() / f"{key}.npy"
    found = _read_entry(path, count)
    if found is not None:
        return found
    channels, height, width = common_shape(images())
    shape = (count, channels, height, width)

    def arrays() -> Iterator[np.ndarray]:
        with progress_bar(f"Decoding {title}", count) as done:
            for where, data in images():
                yield decode_image(where, data, channels)
                done()

    try:
        _write_entry(path, shape, arrays())
    except OSError:
        # A cache that cannot be written costs time, not the result.
        return np.stack(list(arrays()))
    found = _read_entry(path, count)
    return np.stack(list(arrays())) if found is None else found


def cache_key(parts: Iterable[bytes]) -> str:
    """Key of the images that these bytes hold: changes with any of them, their order, or the decoder."""
    total = hashlib.sha256(DECODER.encode())
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def _read_entry(path: Path, count: int) -> np.ndarray | None:
    """The entry, or nothing if there is none that is whole."""
    try:
        # Mapped copy-on-write: nothing reaches the file, and torch takes no read-only arrays.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 4 and len(array) == count
    return array if whole and array.flags.c_contiguous else None


def _write_entry(path: Path, shape: tuple[int, ...], arrays: Iterable[np.ndarray]) -> None:
    """Write one image after the other (a mapped file would crash on a full disk), then rename."""
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
