"""Data in memory: arrays, PyTorch data sets and loaders, and data sets of Hugging Face ``datasets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from surefooted.components.component import Spec
from surefooted.core.types import Points
from surefooted.data.classes import number_names
from surefooted.data.hub import read_hub_split
from surefooted.data.images import Images, Splits
from surefooted.data.loaders import read_loader
from surefooted.data.parts import group_parts, report_promotion, report_unread
from surefooted.data.split import (
    VALIDATION_SHARE,
    ImageSource,
    ImageTable,
    SplitOptions,
    split_source,
)
from surefooted.data.tables import as_array, image_table
from surefooted.errors import ArgumentError, DataError

_EXPECTED = "images and labels (x, y), a PyTorch Dataset or DataLoader, or a Dataset of Hugging Face"


def arrays(
    x: Any,
    y: Any = None,
    *,
    names: Sequence[str] | int = (),
    train: Any = None,
    validation: Any = VALIDATION_SHARE,
    layout: str = "auto",
    split_seed: int = 0,
    title: str = "arrays",
) -> Splits:
    """Data in memory as a data set: images to evaluate a model on, and optionally images to train it on.

    ``x`` and ``y`` are the test split, in the given order. Results are stored under the hash of all pixels, labels and
    class names, so the same data find them again, in any process. The data are copied. Data that tasks have read stay
    in memory until the process ends, and they cannot be sent to worker processes.

    In place of images and labels, ``x``, ``train`` and ``validation`` take a PyTorch ``Dataset`` or ``DataLoader`` of
    images and labels, which is read once and in the order of the data set, or a ``Dataset`` of Hugging Face with a
    column of images and a column of labels. A transform that normalises is refused: normalisation belongs inside the
    model.

    Args:
        x: images, (N, H, W), (N, H, W, C) or (N, C, H, W): a NumPy array, a tensor or nested lists; uint8 from 0 to 255
            or floats from 0 to 1. A Hugging Face ``DatasetDict`` gives all splits; if it has validation but no test
            data, these are the test split.
        y: class indices, (N,) or (N, 1), of any integer type; omitted if ``x`` holds them.
        names: names of the classes in the order of their indices, or their number; by default those of the data, else
            the numbers from 0 to the largest label.
        train: images and labels to train on; without them the data set cannot be trained on.
        validation: images and labels for validation, or the share of the training images held out; 0 for none.
        layout: position of the channels, ``nhwc`` or ``nchw``; ``auto`` takes the axis of length 1 or 3.
        split_seed: seed of the split of the training images.
        title: name of the data set for captions; it does not change results.

    Returns:
        Training, validation and test images; without ``train`` the first two are empty.

    Raises:
        DataError: images or labels cannot be used.
        ArgumentError: the layout is ambiguous and must be given, or another argument is wrong.

    Example:
        >>> import numpy as np
        >>> import surefooted as sf
        >>> x = np.random.default_rng(0).random((20, 8, 8, 3), dtype=np.float32)
        >>> data = sf.arrays(x, np.arange(20) % 2, names=("cat", "dog"))
        >>> data.test.shape, len(data.test), len(data.train)
        ((3, 8, 8), 20, 0)
        >>> net = sf.nets.small_convnet((3, 8, 8), 2)
        >>> len(sf.predict(net, data).y)
        20
    """
    if layout not in ("auto", "nhwc", "nchw"):
        raise ArgumentError(f"`layout` is {layout!r}; expected auto, nhwc or nchw.")
    share = _share(validation)
    others = {"train": train, "validation": validation if share is None else None}
    others = {part: value for part, value in others.items() if value is not None}
    if is_dataset_dict(x):
        if y is not None:
            raise ArgumentError("`y` is given, but a DatasetDict has labels of its own. Omit `y`.")
        given = _parts_of(x, others)
    else:
        given = {"test": x if y is None else (x, y), **others}
    read = {part: _read_part(part, value, layout) for part, value in given.items()}
    tables = {part: table for part, (table, _) in read.items()}
    classes = _class_names(names, tables, {part: own for part, (_, own) in read.items() if own})
    share = VALIDATION_SHARE if share is None else share
    return _split_tables(tables, classes, validation=share, split_seed=split_seed, title=title)


def as_splits(data: Any) -> Splits:
    """A data set from what the Python interface takes in place of one: ``(x, y)``, a loader, or another data set.

    Raises:
        ArgumentError: if it is nothing of the kind.

    Example:
        >>> import torch
        >>> as_splits((torch.rand(6, 1, 8, 8), torch.arange(6) % 2))
        Splits('arrays', train=0, validation=0, test=6)
    """
    if isinstance(data, Splits):
        return data
    if isinstance(data, Images | Points):
        raise ArgumentError(
            f"`data` is {type(data).__name__}, a part of a data set. Pass the data set itself, and name the part with "
            "`split`; for images in memory pass (x, y)."
        )
    if isinstance(data, tuple) and len(data) == 2:
        return arrays(*data)
    if _is_readable(data) or is_dataset_dict(data):
        return arrays(data)
    raise ArgumentError(f"`data` is {type(data).__name__}; expected a data set, such as `data=digits`, or {_EXPECTED}.")


def as_images(images: Any) -> Any:
    """Labelled images from what ``predict`` and ``attack`` take: of a data set its test split.

    What is neither a data set nor in memory is returned as it is; it is checked where it is used.

    Example:
        >>> import torch
        >>> len(as_images((torch.rand(6, 1, 8, 8), torch.arange(6) % 2)))
        6
    """
    known = isinstance(images, Splits) or is_dataset_dict(images) or _is_readable(images)
    pair = isinstance(images, tuple) and not isinstance(images, Points) and len(images) == 2
    return as_splits(images).test if known or pair else images


def is_dataset_dict(data: Any) -> bool:
    """Whether this is a ``DatasetDict`` of Hugging Face: data sets by name of their split."""
    return isinstance(data, Mapping) and len(data) > 0 and all(map(_is_hub_split, data.values()))


def _is_hub_split(data: Any) -> bool:
    return hasattr(data, "features") and hasattr(data, "cast_column")


def _is_readable(data: Any) -> bool:
    return isinstance(data, Dataset | DataLoader) or _is_hub_split(data)


def _parts_of(found: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a ``DatasetDict`` and those given beside it; its validation data are its test data if it has none.

    A notice tells of that, and of splits that are not read.
    """
    names = group_parts(map(str, found), "The DatasetDict")
    if "test" not in names and "validation" in names:
        report_promotion("The DatasetDict", has_train="train" in names or "train" in others)
        names["test"] = names.pop("validation")
    if "test" not in names:
        raise DataError(f"The DatasetDict has the splits {', '.join(map(str, found))}; expected one named 'test'.")
    for part in others:
        if part in names:
            raise ArgumentError(f"`{part}` is given, but the DatasetDict has {names[part]!r}. Omit one of them.")
    read = names.values()
    report_unread([str(name) for name in found if name not in read], "the DatasetDict", f"Read are {', '.join(read)}.")
    return {part: found[name] for part, name in names.items()} | dict(others)


def _split_tables(
    tables: dict[str, ImageTable], classes: tuple[str, ...], *, validation: float, split_seed: int, title: str
) -> Splits:
    """The data set of tables in memory. Its spec holds the checksum, since no name and no file identifies it."""
    test = tables["test"]
    train = tables.get("train") or ImageTable(test.x[:0], test.y[:0])
    scale = 255.0 if test.x.dtype == np.uint8 else 1.0
    source = ImageSource(train, tables.get("validation"), test, classes, scale, test_as_given=True)
    held_out = validation if len(train.y) and not source.validation else 0.0
    options = SplitOptions(validation, split_seed, 0, 0)
    splits = split_source(source, options, name="arrays", title=title)
    arguments = {"checksum": splits.checksum, "validation": held_out, "split_seed": split_seed}
    object.__setattr__(splits, "spec", Spec("arrays", arguments))
    return splits


def _share(validation: Any) -> float | None:
    """The share of the training images held out for validation; None if there are validation images."""
    if isinstance(validation, tuple) or _is_readable(validation):
        return None
    if isinstance(validation, bool) or not isinstance(validation, int | float) or not 0 <= validation <= 1:
        raise ArgumentError(f"`validation` is {validation!r}; expected a number in [0, 1], or {_EXPECTED}.")
    return float(validation)


def _read_part(part: str, given: Any, layout: str) -> tuple[ImageTable, tuple[str, ...]]:
    """The table of a part, and the class names that the data have, if any."""
    if _is_hub_split(given):
        return read_hub_split(given, f"The {part} data")
    own: tuple[str, ...] = ()
    if isinstance(given, Dataset | DataLoader):
        x, y, own = read_loader(given)
        given = x, y
    if not isinstance(given, tuple) or len(given) != 2:
        what = "`y` is missing" if part == "test" else f"`{part}` is {type(given).__name__}"
        raise ArgumentError(f"{what}; expected {_EXPECTED}.")
    names = ("`x`", "`y`") if part == "test" else (f"x of `{part}`", f"y of `{part}`")
    images, labels = (as_array(value, name) for value, name in zip(given, names))
    return image_table(images, labels, names, layout, "layout"), own


def _class_names(
    given: Sequence[str] | int, tables: Mapping[str, ImageTable], own: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The names that are given, else those of the data, else numbers."""
    if isinstance(given, int | np.integer) and not isinstance(given, bool) and given > 0:
        return tuple(map(str, range(given)))
    if isinstance(given, str | int | np.integer) or not all(isinstance(name, str) for name in given):
        raise ArgumentError(f"`names` is {given!r}; expected a list of strings, or the number of classes.")
    if len(given):
        return tuple(given)
    for part, found in own.items():
        first = next(iter(own))
        if found != own[first]:
            raise DataError(f"Class names differ between the {first} and the {part} data. Make them equal.")
    if own:
        return next(iter(own.values()))
    labels = [table.y for table in tables.values()]
    try:
        return number_names(*labels, alone="train" not in tables)
    except DataError as error:
        raise DataError(f"{error} If some classes have no images here, pass their number, as in `names=10`.") from None
