"""Official releases of corrupted test sets: CIFAR-10-C and CIFAR-100-C as arrays, ImageNet-C as folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from surefooted.data import images
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import Encoded
from surefooted.data.folder import class_files, class_folders, read_file
from surefooted.data.images import Images, MappedImages
from surefooted.data.paths import directory, locate, path_within
from surefooted.errors import ArgumentError, DataError, did_you_mean

_SEVERITIES = range(1, 6)


def cifar_c(path: str | Path, corruption: str, severity: int, test: Images, *, first: int = 50_000) -> Images:
    """Images of CIFAR-10-C or CIFAR-100-C at one severity: corrupted versions of given test images.

    The folder has one array per type, such as ``fog.npy``, with the whole test set five times, severity by severity,
    and ``labels.npy``. Arrays are memory-mapped; nothing is unpickled.

    Args:
        path: the folder; a relative path is tried here first, then under the data root.
        corruption: type of corruption, the name of its file.
        severity: 1 to 5.
        test: images of the clean test set, or some of them.
        first: row of the first test image, which equals the number of training images.

    Returns:
        Corrupted images, with the order, rows and classes of ``test``.

    Raises:
        DataError: an array is missing, has another shape or type, or its labels are not those of the test set.
        ArgumentError: the severity is not one of 1 to 5.

    Example:
        >>> import numpy as np
        >>> import surefooted as sf
        >>> from surefooted.data.corruption_releases import cifar_c
        >>> test = sf.data.cifar10().test  # in these examples, 100 images after 200 training images
        >>> np.save("fog.npy", np.zeros((500, 32, 32, 3), np.uint8))
        >>> np.save("labels.npy", np.tile(test.y[test.rows.argsort()].numpy(), 5))
        >>> cifar_c(".", "fog", 3, test, first=200).shape
        (3, 32, 32)
    """
    folder = directory(locate(path))
    file = find_release(folder, f"{corruption}.npy", "type of corruption")
    table, labels = _map_array(file), _map_array(find_release(folder, "labels.npy", "array of labels"))
    _check_severity(severity)
    count = _check_arrays(table, labels, file)
    if table.shape[1:3] != test.shape[1:]:
        raise DataError(
            f"{file.name} has images of {table.shape[1]}×{table.shape[2]} pixels, the test set of {test.shape[1]}×"
            f"{test.shape[2]}. Use the test set from which the release was made."
        )
    index = test.rows.cpu() - first
    if len(index) and not (index.min() >= 0 and index.max() < count):
        raise DataError(
            f"The test set has rows from {int(test.rows.min())} to {int(test.rows.max())}, {file.name} has rows from "
            f"{first} to {first + count - 1}. Use the test set from which the release was made, and set `first` to the "
            "row of its first image."
        )
    part = slice((severity - 1) * count, severity * count)
    y = torch.from_numpy(labels[part].astype(np.int64))[index]
    _check_labels(y, test.y.cpu(), index)
    x = np.ascontiguousarray(table[part][index.numpy()].transpose(0, 3, 1, 2))
    return Images(torch.from_numpy(x), y, test.rows.cpu(), 255.0, test.classes)


def imagenet_c(
    path: str | Path,
    corruption: str,
    severity: int,
    *,
    classes: tuple[str, ...] | None = None,
    count: int | None = 50_000,
) -> Images:
    """Images of ImageNet-C at one severity, from ``<type>/<severity>/<class>/*.JPEG``.

    Images are ordered by class and file name, and their rows number them in this order. Decoded images are cached in
    SUREFOOTED_CACHE (~/.cache/surefooted). This function is for scripts: no study of Surefooted uses ImageNet.

    Args:
        path: the folder that holds the folder of this type; a relative path is tried here first, then under the data
            root. The release is five downloads, which may lie in five folders.
        corruption: type of corruption, the name of its folder.
        severity: 1 to 5.
        classes: folders of the classes in the order of the model's outputs; by default all, in alphabetical order.
        count: expected number of images; None for any.

    Returns:
        Corrupted images.

    Raises:
        DataError: a folder is missing, the classes differ from ``classes``, or the number of images from ``count``.
        ArgumentError: the severity is not one of 1 to 5.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from surefooted.data.corruption_releases import imagenet_c
        >>> Path("weather/snow/1/ape").mkdir(parents=True)
        >>> Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("weather/snow/1/ape/0.JPEG")
        >>> imagenet_c("weather", "snow", 1, count=1).classes
        ('ape',)
    """
    root = directory(locate(path))
    _check_severity(severity)
    part = find_release(find_release(root, corruption, "type of corruption"), str(severity), "severity")
    found = sorted(class_folders(part, root))
    names = tuple(found) if classes is None else classes
    missing, unknown = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    if missing or unknown or not names:
        raise DataError(
            f"{str(part)!r} has {len(found)} folders of classes; expected {len(names) or 'at least 1'}. Missing: "
            f"{', '.join(missing[:3]) or 'none'}; unknown: {', '.join(unknown[:3]) or 'none'}. Unpack the release "
            "again, or set `classes` to its classes."
        )
    files = class_files(part, names, root)
    total = sum(map(len, files))
    if total == 0 or count not in (None, total):
        raise DataError(
            f"{str(part)!r} has {total} images; expected {count or 'at least 1'}. Unpack the release again, or set "
            "`count` for a part of it."
        )

    def encoded() -> Iterator[Encoded]:
        return ((str(file), read_file(file)) for of_class in files for file in of_class)

    key = cache_key(data for _, data in encoded())
    x = torch.from_numpy(decode_cached(encoded, total, key, f"{corruption} {severity}"))
    y = torch.tensor([label for label, of_class in enumerate(files) for _ in of_class])
    rows = torch.arange(total)
    return Images(MappedImages(x, rows) if x.nbytes > images.RESIDENT_LIMIT else x, y, rows, 255.0, names)


def find_release(folder: Path, name: str, what: str) -> Path:
    """An entry of the folder of a release.

    Args:
        folder: the folder.
        name: name of the entry.
        what: what the entry is, for the message.

    Raises:
        DataError: there is no such entry; the message suggests the most similar name.
    """
    if not (folder / name).exists():
        entries = [entry.name for entry in folder.iterdir() if entry.name[0] != "."]
        hint = did_you_mean(name, entries) if entries else " It is empty."
        raise DataError(f"{str(folder)!r} has no {what} {name!r}.{hint}")
    return path_within(folder / name, folder)


def _check_severity(severity: int) -> None:
    if severity not in _SEVERITIES:
        raise ArgumentError(f"severity = {severity!r}: expected 1, 2, 3, 4 or 5.")


def _map_array(file: Path) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive, not an array")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{str(file)!r} cannot be read as a NumPy array ({error}). Download it again.") from None
    return array


def _check_arrays(table: np.ndarray, labels: np.ndarray, file: Path) -> int:
    """Check shapes and types of the arrays of a release; the number of images per severity."""
    if table.dtype != np.uint8 or table.ndim != 4 or table.shape[3] != 3 or len(table) % 5 or len(table) == 0:
        raise DataError(
            f"{str(file)!r} is {table.dtype} {table.shape}; expected five times the test set, uint8 (5 n, height, "
            "width, 3). Download it again."
        )
    if labels.shape != table.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels.npy is {labels.dtype} {labels.shape}, but {file.name} has {len(table)} images; expected one class "
            "index per image. Use two files of the same release."
        )
    return len(table) // 5


def _check_labels(y: Int64[Tensor, " n"], expected: Int64[Tensor, " n"], index: Int64[Tensor, " n"]) -> None:
    wrong = (y != expected).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"labels.npy and the test set differ in {len(wrong)} of {len(y)} labels, first at row {int(index[row])}: "
            f"{int(y[row])} and {int(expected[row])}. Use the test set from which the release was made, in its "
            "official order."
        )
