"""Image files in a folder per class."""

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
from surefooted.errors import InputError


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

    Classes are the folders in ``train``, in the order of their names; images are in the order of theirs. PNG, JPEG,
    WebP and BMP files count, and what begins with a dot or ends otherwise is left out. Links out of the folder are
    refused. Images are decoded once and kept in SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        path: the folder; a relative one is looked up here, then under the data root.
        test: share of the training images held out for testing, where there is no folder ``test``.
        validation: share of the training images held out, where there is no folder ``validation``; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.
    """
    root = directory(locate(path))
    if not (root / "train").is_dir():
        raise InputError(f"There is no folder {str(root / 'train')!r}; train/<class>/*.png is expected.")
    classes = tuple(sorted(class_folders(root / "train", root)))
    parts = [part for part in ("train", "validation", "test") if (root / part).is_dir()]
    tables = {part: _read_table(root / part, root, classes) for part in parts}
    source = ImageSource(tables["train"], tables.get("validation"), tables.get("test"), classes)
    name = root.resolve().name
    return split_source(
        source, SplitOptions(validation, split_seed, train_limit, test_limit, test), name=name, title=name
    )


def class_folders(part: Path, root: Path) -> set[str]:
    return {entry.name for entry in path_within(part, root).iterdir() if entry.is_dir() and entry.name[0] != "."}


def _read_table(part: Path, root: Path, classes: tuple[str, ...]) -> ImageTable:
    unknown = sorted(class_folders(part, root) - set(classes))
    if unknown:
        raise InputError(f"{str(part / unknown[0])!r} is none of the classes in train: {', '.join(classes)}.")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = image_files(part / name, root)
        if not found and part.name == "train":
            raise InputError(
                f"{str(part / name)!r} holds no images ({', '.join(IMAGE_SUFFIXES)}). Fill it or remove it."
            )
        files += found
        labels += [label] * len(found)
    if not files:
        raise InputError(f"{str(part)!r} holds no images; {part.name}/<class>/*.png is expected.")

    def images() -> Iterator[Encoded]:
        return ((str(file), read_file(file)) for file in files)

    key = cache_key(data for _, data in images())
    return ImageTable(decode_cached(images, len(files), key, str(part)), np.array(labels, np.int64))


def image_files(kind: Path, root: Path) -> list[Path]:
    if not kind.is_dir():
        return []
    entries = (entry for entry in path_within(kind, root).iterdir() if entry.name[0] != ".")
    files = [path_within(entry, root) for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(file for file in files if file.is_file())


def read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{str(file)!r} cannot be read: {error.strerror}.") from None
