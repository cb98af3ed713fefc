"""Data sets of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import Encoded
from surefooted.data.images import Splits
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
from surefooted.errors import ArgumentError, DataError, DependencyError


@component
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

    Decoded images are cached in SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        name: address on the Hub, such as ``uoft-cs/cifar10``.
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
        DependencyError: the library ``datasets`` is not installed.
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
    classes = _class_names(found[train_split], name, image, label)
    train = _read_table(found[train_split], image, label, f"{name}, {train_split}")
    tests = _read_table(found[test_split], image, label, f"{name}, {test_split}") if test_split else None
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    return split_source(ImageSource(train, None, tests, classes), options, name=name, title=name)


def _load(name: str, config: str, revision: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DependencyError(
            "Data sets of the Hub need the library 'datasets': pip install 'surefooted[hub]'. "
            "Or download the set's Parquet files and use the data set 'parquet'."
        ) from None
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


def _read_table(split: Any, image: str, label: str, title: str) -> ImageTable:
    from datasets import Image

    raw = split.select_columns([image]).cast_column(image, Image(decode=False))

    def images() -> Iterator[Encoded]:
        row = 0
        for batch in raw.iter(batch_size=256):
            for item in batch[image]:
                if item["bytes"] is None:
                    raise DataError(f"{title}, row {row}: no image bytes. Use a set that embeds its images.")
                yield f"{title}, row {row}", item["bytes"]
                row += 1

    x = decode_cached(images, len(raw), cache_key(data for _, data in images()), title)
    return ImageTable(x, np.asarray(split.with_format("numpy")[label][:], np.int64))
