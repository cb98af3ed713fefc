"""Official releases of corrupted test sets: CIFAR-10-C as arrays, ImageNet-C as folders, read as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from surefooted.data import images
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import Encoded
from surefooted.data.folder import class_folders, image_files, read_file
from surefooted.data.images import Images, MappedImages
from surefooted.data.paths import directory, locate, path_within
from surefooted.errors import InputError, did_you_mean

_SEVERITIES = range(1, 6)


def cifar_c(path: str | Path, corruption: str, severity: int, test: Images, *, first: int = 50_000) -> Images:
    """Images of CIFAR-10-C (or CIFAR-100-C) at one severity: the corrupted twins of the test images given.

    The folder holds one array a type, ``gaussian_noise.npy``, of the whole test set five times over, severity by
    severity, and ``labels.npy``. They are mapped, never unpickled.

    Args:
        corruption: a type, as its file is called.
        test: images of the clean test set, or some of them. Those returned have their order, rows and classes.
        first: row of the first image of the test set, which is the number of training images.

    Raises:
        InputError: where an array is missing, has another shape or kind, or labels are not those of the test set.
    """
    folder = directory(locate(path))
    file = find_release(folder, f"{corruption}.npy", "type of corruption")
    table, labels = _map_array(file), _map_array(find_release(folder, "labels.npy", "array of labels"))
    _check_severity(severity)
    if table.dtype != np.uint8 or table.ndim != 4 or table.shape[3] != 3 or len(table) % 5 or len(table) == 0:
        raise InputError(
            f"{str(file)!r} is {table.dtype} {table.shape}; five times the test set, uint8 (5 n, height, width, 3), is "
            "expected. Download it again."
        )
    count = len(table) // 5
    if labels.shape != (5 * count,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels.npy is {labels.dtype} {labels.shape}, {file.name} has {5 * count} images; one class index for "
            "each is expected. Take both from one release."
        )
    part = slice((severity - 1) * count, severity * count)
    at = test.rows.cpu() - first
    if len(at) and not (at.min() >= 0 and at.max() < count):
        raise InputError(
            f"the test set has rows from {int(test.rows.min())} to {int(test.rows.max())}; {file.name} has those from "
            f"{first} to {first + count - 1}. Give the test set it was made from, and first = its first row."
        )
    if table.shape[1:3] != test.shape[1:]:
        raise InputError(
            f"{file.name} has images of {table.shape[1]}×{table.shape[2]} pixels, the test set of {test.shape[1]}×"
            f"{test.shape[2]}. Give the test set it was made from."
        )
    stored = torch.from_numpy(labels[part].astype(np.int64))[at]
    if len(wrong := (stored != test.y.cpu()).nonzero()):
        row = int(wrong[0])
        raise InputError(
            f"labels.npy and the test set differ in {len(wrong)} of {len(at)} labels, first at row {int(at[row])}: "
            f"{int(stored[row])} and {int(test.y[row])}. Give the test set it was made from, in its official order."
        )
    x = np.ascontiguousarray(table[part][at.numpy()].transpose(0, 3, 1, 2))
    return Images(torch.from_numpy(x), stored, test.rows.cpu(), 255.0, test.classes)


def imagenet_c(
    path: str | Path,
    corruption: str,
    severity: int,
    *,
    classes: tuple[str, ...] | None = None,
    count: int | None = 50_000,
) -> Images:
    """Images of ImageNet-C at one severity, from ``<type>/<severity>/<class>/*.JPEG``.

    Images are in the order of their classes and names, and this is what their rows count. They are decoded once and
    kept in SUREFOOTED_CACHE (~/.cache/surefooted). For your own scripts: no study here has ImageNet.

    Args:
        corruption: a type, as its folder is called. The release is five downloads that may lie in five folders: the
            path is the folder that holds this one.
        classes: folders of the classes in the order of the model's outputs; by default all, in the order of names.
        count: images expected; None for however many there are.

    Raises:
        InputError: where a folder is missing, classes differ from those given, or the count does.
    """
    root = directory(locate(path))
    _check_severity(severity)
    part = find_release(find_release(root, corruption, "type of corruption"), str(severity), "severity")
    there = sorted(class_folders(part, root))
    names = tuple(there) if classes is None else classes
    missing, unknown = sorted(set(names) - set(there)), sorted(set(there) - set(names))
    if missing or unknown or not names:
        raise InputError(
            f"{str(part)!r} has {len(there)} folders of classes, {len(names) or 'some'} are expected; missing: "
            f"{', '.join(missing[:3]) or 'none'}, unknown: {', '.join(unknown[:3]) or 'none'}. Unpack it again, or "
            "give the classes it has."
        )
    files = [image_files(part / name, root) for name in names]
    total = sum(map(len, files))
    if total != (total if count is None else count) or total == 0:
        raise InputError(
            f"{str(part)!r} holds {total} images; {count or 'some'} are expected. Unpack it again, or give count for a "
            "part of the release."
        )

    def encoded() -> Iterator[Encoded]:
        return ((str(file), read_file(file)) for several in files for file in several)

    table = torch.from_numpy(
        decode_cached(encoded, total, cache_key(data for _, data in encoded()), f"{corruption} {severity}")
    )
    y = torch.tensor([label for label, several in enumerate(files) for _ in several])
    rows = torch.arange(total)
    return Images(MappedImages(table, rows) if table.nbytes > images.RESIDENT_LIMIT else table, y, rows, 255.0, names)


def _check_severity(severity: int) -> None:
    if severity not in _SEVERITIES:
        raise InputError(f"severity = {severity!r}; 1, 2, 3, 4 or 5 is expected.")


def find_release(folder: Path, name: str, what: str) -> Path:
    """An entry of the folder; the error suggests the nearest."""
    if not (folder / name).exists():
        there = [entry.name for entry in folder.iterdir() if entry.name[0] != "."]
        hint = did_you_mean(name, there) if there else " It is empty."
        raise InputError(f"{str(folder)!r} has no {what} {name!r}.{hint}")
    return path_within(folder / name, folder)


def _map_array(file: Path) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive, not an array")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{str(file)!r} cannot be read as a NumPy array ({error}). Download it again.") from None
    return array
