"""Data sets of the Hugging Face Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.core.packages import import_package
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import Encoded, states_image_rules
from surefooted.data.folder import read_file
from surefooted.data.images import Splits
from surefooted.data.parts import make_source, report_overlap, report_unread
from surefooted.data.split import ImageTable, SplitOptions, split_source
from surefooted.errors import ArgumentError, DataError, DependencyError


@component
@states_image_rules
def hub(
    name: str,
    *,
    config: str = "",
    revision: str = "",
    image: str = "image",
    label: str = "label",
    train_split: str = "train",
    test_split: str = "test",
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Image classification set of the Hugging Face Hub (needs the ``hub`` extra and a network).

    A set may hold its images or name files: these are read if they lie in the set's own folder or in the cache of
    ``datasets``. A warning names splits and columns that are not read. Decoded images are cached in SUREFOOTED_CACHE
    (~/.cache/surefooted).

    Args:
        name: address on the Hub, such as ``uoft-cs/cifar10``, or a local folder that ``datasets`` can load.
        config: configuration, if the set has several.
        revision: branch, tag or commit; empty for the newest.
        image: name of the column of images.
        label: name of the column of class indices.
        train_split: the Hub's split to train on.
        test_split: the Hub's split to test on; empty to hold out a share of the training images.
        test: that share.
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DependencyError: the library ``datasets`` is missing or broken.
        ArgumentError: the set has no such split.
        DataError: the set cannot be loaded, or has other columns.

    Example:
        >>> import surefooted as sf
        >>> sf.data.hub("uoft-cs/cifar10", image="img").train.shape  # doctest: +SKIP
        (3, 32, 32)
    """
    found = _load(name, config, revision)
    for argument, split in (("train_split", train_split), ("test_split", test_split)):
        if split not in found and (split or argument == "train_split"):
            raise ArgumentError(
                f"{name} has no split {split!r}; it has {', '.join(found)}. Set `data.{argument}` to one of these."
            )
    splits = {part: split for part, split in {"train": train_split, "test": test_split}.items() if split}
    report_unread(
        [split for split in found if split not in splits.values()], name, f"Read are {', '.join(splits.values())}."
    )
    classes = _class_names(found[train_split], name, image, label)
    others = [column for column in found[train_split].features if column not in (image, label)]
    report_unread(others, f"the columns of {name}", f"Read are {image!r} and {label!r}.")
    roots = _file_roots(name)
    tables = {
        part: _read_table(found[split], image, label, f"{name}, {split}", roots) for part, split in splits.items()
    }
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    source = report_overlap(make_source(tables, classes, name=name), name)
    return split_source(source, options, name=name, title=name)


def read_hub_split(split: Any, title: str) -> tuple[ImageTable, tuple[str, ...]]:
    """Read a ``Dataset`` of Hugging Face that is in memory: its one column of images and its one column of labels.

    Args:
        split: the data set. A format or a transform set on it does not apply: its image files are read.
        title: name of the data, for messages.

    Returns:
        The table, and the names of the classes; none if the labels are plain numbers.

    Raises:
        DataError: there is not one such column each, or an image cannot be used.
    """
    kinds = {column: type(kind).__name__ for column, kind in (split.features or {}).items()}
    dtypes = {column: str(getattr(kind, "dtype", "")) for column, kind in (split.features or {}).items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    labels = [column for column in kinds if getattr(split.features[column], "names", None)]
    labels = labels or [column for column, dtype in dtypes.items() if dtype.startswith(("int", "uint"))]
    if len(images) != 1 or len(labels) != 1 or not hasattr(split, "__len__"):
        columns = ", ".join(f"{column} ({kind})" for column, kind in kinds.items()) or "not known"
        raise DataError(
            f"{title}: expected a Dataset in memory with one column of Image and one of ClassLabel; the columns are "
            f"{columns}. Keep these two with `dataset.select_columns`."
        )
    (image,), (label,) = images, labels
    names = tuple(getattr(split.features[label], "names", None) or ())
    report_unread([c for c in kinds if c not in (image, label)], title, f"Read are {image!r} and {label!r}.")
    return _read_table(split.with_format(None), image, label, title, _file_roots("")), names


def _load(name: str, config: str, revision: str) -> Any:
    try:
        datasets: Any = import_package("datasets", f"The Hub set {name!r}", "'surefooted[hub]'")
    except DependencyError as error:
        raise DependencyError(f"{error} Or download the set's Parquet files and use the data set 'parquet'.") from None
    try:
        return datasets.load_dataset(name, config or None, revision=revision or None)
    except Exception as error:  # the library passes on errors of four network libraries
        raise DataError(
            f"The Hub set {name!r} could not be loaded ({type(error).__name__}: {error}). Check its name and the "
            "network. Without a network, copy the set's Parquet files and use the data set 'parquet'."
        ) from None


def _class_names(split: Any, name: str, image: str, label: str) -> tuple[str, ...]:
    features = split.features
    names = getattr(features.get(label), "names", None)
    if type(features.get(image)).__name__ != "Image" or names is None:
        columns = ", ".join(f"{column} ({type(kind).__name__})" for column, kind in features.items())
        raise DataError(
            f"{name}: expected a column {image!r} of Image and a column {label!r} of ClassLabel; the columns are "
            f"{columns}. Set `data.image` and `data.label` to the right ones."
        )
    return tuple(names)


def _file_roots(name: str) -> list[Path]:
    """Folders in which a set may name files: its own folder, if it is local, and the caches of the library."""
    from datasets import config

    places = [
        name if name and Path(name).is_dir() else None,
        *(config.HF_CACHE_HOME, config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH),
        *(config.EXTRACTED_DATASETS_PATH, os.environ.get("HF_HUB_CACHE")),
    ]
    return [Path(place).expanduser().resolve() for place in places if place]


def _read_table(split: Any, image: str, label: str, title: str, roots: list[Path]) -> ImageTable:
    from datasets import Image

    raw = split.select_columns([image]).cast_column(image, Image(decode=False))

    def images() -> Iterator[Encoded]:
        row = 0
        for batch in raw.iter(batch_size=256):
            for item in batch[image]:
                yield f"{title}, row {row}", _encoded(item, f"{title}, row {row}", roots)
                row += 1

    y = list(split.with_format("python")[label][:])
    if missing := sum(value is None for value in y):
        raise DataError(f"{title}: {missing} rows have no label. Use a labelled set, or remove these rows.")
    x = decode_cached(images, len(raw), cache_key(data for _, data in images()), title)
    return ImageTable(x, np.asarray(y, np.int64))


def _encoded(item: dict[str, Any] | None, where: str, roots: list[Path]) -> bytes:
    """The image file of a row: its bytes, or the content of the file that it names."""
    data, path = (item["bytes"], item.get("path")) if item else (None, None)
    if data is not None:
        return bytes(data)
    if not path:
        raise DataError(f"{where}: no image. Remove the row, or use a set that has all its images.")
    file = Path(path)
    # What a set names comes from others: it must not reach the user's other files.
    if not file.is_absolute() or not any(file.resolve().is_relative_to(root) for root in roots):
        raise DataError(
            f"{where}: names the file {path!r}, which is not in the folder of the set or in the cache of 'datasets'. "
            "Use a set that embeds its images."
        )
    return read_file(file)
