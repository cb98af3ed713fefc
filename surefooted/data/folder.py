"""Image files in one folder per class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import IMAGE_SUFFIXES, Encoded
from surefooted.data.images import Splits
from surefooted.data.paths import directory, locate, path_within
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
from surefooted.errors import DataError


@component
def folder(
    path: str | Path,
    *,
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Folder of images, ``train/<class>/*.png`` and ``test/<class>/*.png``.

    Classes are the folders in ``train`` in alphabetical order; images are in the order of their file names. PNG, JPEG,
    WebP and BMP files are read; other files and names that begin with a dot are ignored. Links out of the folder are
    refused. Decoded images are cached in SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        path: the folder; a relative path is tried here first, then under the data root.
        test: share of the training images held out for testing, if there is no folder ``test``.
        validation: share of the training images held out, if there is no folder ``validation``; 0 for none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DataError: there are no images, folders differ between the parts, or an image cannot be used.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> import surefooted as sf
        >>> for name, level in (("black", 0), ("white", 255)):
        ...     Path("pictures/train", name).mkdir(parents=True)
        ...     for k in range(10):
        ...         Image.fromarray(np.full((8, 8), level, np.uint8)).save(f"pictures/train/{name}/{k}.png")
        >>> splits = sf.data.folder("pictures")
        >>> splits.train.classes, splits.train.shape
        (('black', 'white'), (1, 8, 8))
    """
    root = directory(locate(path))
    if not (root / "train").is_dir():
        raise DataError(f"There is no folder {str(root / 'train')!r}; expected train/<class>/*.png.")
    classes = tuple(sorted(class_folders(root / "train", root)))
    parts = [part for part in ("train", "validation", "test") if (root / part).is_dir()]
    tables = {part: _read_table(root / part, root, classes) for part in parts}
    source = ImageSource(tables["train"], tables.get("validation"), tables.get("test"), classes)
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    name = root.resolve().name
    return split_source(source, options, name=name, title=name)


def class_folders(part: Path, root: Path) -> set[str]:
    """Names of the folders of classes in a part of a data set."""
    return {entry.name for entry in path_within(part, root).iterdir() if entry.is_dir() and entry.name[0] != "."}


def image_files(folder: Path, root: Path) -> list[Path]:
    """Image files of a folder in the order of their names; none if the folder does not exist.

    Raises:
        DataError: the folder or a file is a link out of the root.
    """
    if not folder.is_dir():
        return []
    entries = (entry for entry in path_within(folder, root).iterdir() if entry.name[0] != ".")
    files = [path_within(entry, root) for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(file for file in files if file.is_file())


def read_file(file: Path) -> bytes:
    """Content of a file."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{str(file)!r} cannot be read: {error.strerror}.") from None


def _read_table(part: Path, root: Path, classes: tuple[str, ...]) -> ImageTable:
    unknown = sorted(class_folders(part, root) - set(classes))
    if unknown:
        raise DataError(
            f"{str(part / unknown[0])!r} is not one of the classes in train: {', '.join(classes)}. Rename or remove it."
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = image_files(part / name, root)
        if not found and part.name == "train":
            raise DataError(f"{str(part / name)!r} has no images ({', '.join(IMAGE_SUFFIXES)}). Fill or remove it.")
        files += found
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{str(part)!r} has no images; expected {part.name}/<class>/*.png.")

    def images() -> Iterator[Encoded]:
        return ((str(file), read_file(file)) for file in files)

    key = cache_key(data for _, data in images())
    return ImageTable(decode_cached(images, len(files), key, str(part)), np.array(labels, np.int64))
