"""Data sets of the Hugging Face Hub."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.core.packages import import_package
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import AS_STORED, Encoded, Framing, states_image_rules
from surefooted.data.folder import read_file
from surefooted.data.images import Splits
from surefooted.data.parts import make_source, report_overlap, report_unread
from surefooted.data.split import ImageTable, SplitOptions, split_source
from surefooted.errors import ArgumentError, DataError, DataNotice, DependencyError

# Arguments that results were stored without; see ``component``.
ADDED = ("resize", "crop")
_HUB_ADDRESS = re.compile(r"[\w.-]+/[\w.-]+")
_UNSAFE_SUFFIXES = (".py", ".pyc", ".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill")


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
    resize: Whole = 0,
    crop: Whole = 0,
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Image classification set of the Hugging Face Hub (needs the ``hub`` extra and a network).

    A set may hold its images or name files: these are read if they lie in the set's own folder or in the cache of
    ``datasets``. A warning names splits and columns that are not read. Images of several sizes are brought to one by
    ``resize`` and ``crop``. Decoded images are cached in SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        name: address on the Hub, such as ``uoft-cs/cifar10``, or a local folder that ``datasets`` can load. A folder
            with scripts or pickles is refused, and so is a bare word: ``datasets`` may take it for one of its readers,
            which then reads files of the working directory.
        config: configuration, if the set has several.
        revision: branch, tag or commit; empty for the newest.
        image: name of the column of images.
        label: name of the column of class indices.
        train_split: the Hub's split to train on; empty if the set is only evaluated on.
        test_split: the Hub's split to test on; empty to hold out a share of the training images.
        resize: length of the shorter side in pixels, to which images are scaled (Pillow's bilinear interpolation, with
            anti-aliasing); 0 keeps their size.
        crop: side of the square that is cut from their centre, such as 224 after ``resize=256``; 0 for none.
        test: share of the training images held out for testing, if ``test_split`` is empty.
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DependencyError: the library ``datasets`` is missing or broken.
        ArgumentError: the set has no such split.
        DataError: the set cannot be loaded, might run code, or has other columns.

    Example:
        >>> import surefooted as sf
        >>> sf.data.hub("uoft-cs/cifar10", image="img").train.shape  # doctest: +SKIP
        (3, 32, 32)
    """
    found = _load(name, config, revision)
    for argument, split in (("train_split", train_split), ("test_split", test_split)):
        if split and split not in found:
            raise ArgumentError(
                f"{name} has no split {split!r}; it has {', '.join(found)}. Set `data.{argument}` to one of these."
            )
    if not train_split and not test_split:
        raise ArgumentError(f"`data.train_split` and `data.test_split` are both empty; {name} has {', '.join(found)}.")
    splits = {part: split for part, split in {"train": train_split, "test": test_split}.items() if split}
    report_unread(
        [split for split in found if split not in splits.values()], name, f"Read are {', '.join(splits.values())}."
    )
    first = found[train_split or test_split]
    classes = _class_names(first, name, image, label)
    others = [column for column in first.features if column not in (image, label)]
    report_unread(others, f"the columns of {name}", f"Read are {image!r} and {label!r}.")
    roots = _file_roots(name)
    tables = {
        part: _read_table(found[split], image, label, f"{name}, {split}", roots, Framing(resize, crop))
        for part, split in splits.items()
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
    if int(datasets.__version__.partition(".")[0]) < 4:
        raise DependencyError(
            f"The library 'datasets' {datasets.__version__} runs scripts that come with data sets; expected version 4 "
            "or later: pip install 'surefooted[hub]'."
        )
    _check_name(name)
    # A folder as an absolute path: `datasets` prefers its own readers, such as "pandas", to a folder of that name.
    place = str(Path(name).resolve()) if Path(name).is_dir() else name
    try:
        return datasets.load_dataset(place, config or None, revision=revision or None)
    except Exception as error:  # the library passes on errors of four network libraries
        raise DataError(
            f"The Hub set {name!r} could not be loaded ({type(error).__name__}: {error}). Check its name and the "
            "network. Without a network, copy the set's Parquet files and use the data set 'parquet'."
        ) from None


def _check_name(name: str) -> None:
    """Refuse what ``datasets`` could take for code, or for data other than those that the name says."""
    place = Path(name)
    if place.is_dir():
        unsafe = (file for file in place.rglob("*") if file.suffix.lower() in _UNSAFE_SUFFIXES)
        if file := next(unsafe, None):
            raise DataError(
                f"The folder {name!r} has {str(file.relative_to(place))!r}: scripts and pickles can run code when a "
                "data set is loaded. Remove it, or copy the data files to another folder."
            )
        if _HUB_ADDRESS.fullmatch(name):
            warnings.warn(
                f"{name!r} is a folder here: it is read in place of a set of that name on the Hub.",
                DataNotice,
                stacklevel=4,
            )
    elif place.exists() or not _HUB_ADDRESS.fullmatch(name):
        raise DataError(
            f"The Hub set {name!r} is no folder here and no address; expected OWNER/NAME, such as uoft-cs/cifar10. For "
            "files of your own use the data sets 'parquet', 'folder', 'table' or 'npz'."
        )


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


def _read_table(
    split: Any, image: str, label: str, title: str, roots: list[Path], framing: Framing = AS_STORED
) -> ImageTable:
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
    x = decode_cached(images, len(raw), cache_key(data for _, data in images()), title, framing)
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
