"""Splitting the tables of a source into training, validation and test images."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefooted.core.rng import Noise
from surefooted.data import images
from surefooted.data.images import Images, MappedImages, Splits, TestDraw
from surefooted.errors import ArgumentError, DataError, DataNotice

# Defaults of all data sets: shares that a set with official test or validation images does not need.
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.1


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Images as a source stores them.

    Attributes:
        x: pixels (N, C, H, W), uint8 or float32.
        y: class indices (N,), int64.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class ImageSource:
    """The tables of a data set before it is split.

    Attributes:
        train: training table; the only one if there are no official validation and test images.
        validation: official validation table, or None.
        test: official test table, or None.
        classes: names of the classes in the order of their indices.
        scale: pixel value that becomes 1.0.
        validation_is_test: whether the source calls its test table validation images.
        test_as_given: whether the test images are given for evaluation alone. The training table may then be empty,
            the test images may be too few to hold every class, and studies take them in the given order too.
    """

    train: ImageTable
    validation: ImageTable | None
    test: ImageTable | None
    classes: tuple[str, ...]
    scale: float = 255.0
    validation_is_test: bool = False
    test_as_given: bool = False


@dataclass(frozen=True)
class SplitOptions:
    """Options of the split, which all sources share.

    Attributes:
        validation: share of the training images held out for validation, if there is no official validation table.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.
        test: share of the training images held out for testing, if there is no official test table.
    """

    validation: float
    split_seed: int
    train_limit: int
    test_limit: int
    test: float = 0.0


def split_source(source: ImageSource, options: SplitOptions, *, name: str, title: str) -> Splits:
    """Split a source by seed.

    The training table is put into a random order that depends on ``split_seed`` only; official test and validation
    tables keep their order. If the source has no official test or validation table, the test and then the validation
    images are taken from the end of the training table's order. Limits keep the first images of an order, so a smaller
    limit gives a prefix of a larger one.

    Args:
        source: tables to split.
        options: shares, limits and seed.
        name: short name of the data set.
        title: its name for captions.

    Raises:
        DataError: tables do not fit together, or labels are outside the classes.
        ArgumentError: a share leaves no image on one side.

    Example:
        >>> import numpy as np
        >>> from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
        >>> table = ImageTable(np.zeros((20, 1, 8, 8), np.uint8), np.arange(20) % 2)
        >>> options = SplitOptions(validation=0.25, split_seed=0, train_limit=0, test_limit=0, test=0.2)
        >>> splits = split_source(ImageSource(table, None, None, ("a", "b")), options, name="toy", title="Toy")
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (12, 4, 4)
    """
    _check_source(source, name)
    _report_unused(source, options, name)
    order = shuffled_rows(len(source.train.y), options.split_seed, stream=0)
    draw = None
    if source.test is None:
        order, held_out = _hold_out(order, options.test, "test")
        test = _select(source, source.train, _limit(held_out, options.test_limit))
    else:
        n = len(source.test.y)
        offset = len(source.train.y) + (len(source.validation.y) if source.validation else 0)
        every = _select(source, source.test, torch.arange(n), offset)
        test = every.take(slice(0, options.test_limit)) if options.test_limit else every
        if not source.test_as_given:
            drawn = shuffled_rows(n, options.split_seed, stream=1)
            draw = TestDraw(every, _limit(drawn, options.test_limit))

    if source.validation is None:
        share = options.validation if len(order) else 0.0  # a test set alone has nothing to hold out
        order, held_out = _hold_out(order, share, "validation")
        validation = _select(source, source.train, held_out)
    else:
        held_out = torch.arange(len(source.validation.y))
        validation = _select(source, source.validation, held_out, len(source.train.y))
    train = _select(source, source.train, _limit(order, options.train_limit))
    is_official = source.test is not None
    return Splits(name, title, train, validation, test, _checksum(source), draw, is_official)


def shuffled_rows(n: int, seed: int, *, stream: int) -> Tensor:
    """Rows from 0 to n - 1 in random order: sorted by 48 random bits each."""
    draws = Noise(seed, torch.arange(n), stream=stream).uniform(2).double()
    return (draws[:, 0] + draws[:, 1] * 2**-24).argsort(stable=True)


def class_numbers(*labels: np.ndarray) -> tuple[str, ...]:
    """Class names of a source that has none: the numbers from 0 to the largest label.

    Raises:
        DataError: the labels are not 0, 1, 2, ...: one is missing, so that it is unclear which class a label means.
    """
    found = np.unique(np.concatenate(labels))
    largest = int(found.max(initial=0))
    if len(found) and found[0] >= 0 and len(found) <= largest:
        if found[0] == 1 and len(found) == largest:
            seen, cure = f"Labels are 1 to {largest}", "Subtract 1 from each"
        else:
            gap = int(np.flatnonzero(found != np.arange(len(found)))[0])
            seen = f"There are {len(found)} labels from {found[0]} to {largest}, and none of them is {gap}"
            cure = "Renumber them"
        raise DataError(
            f"{seen}. Without class names, labels must be class indices 0, 1, 2, ..., without a gap. {cure}, or store "
            "the names of all classes."
        )
    return tuple(str(label) for label in range(largest + 1))


def _hold_out(order: Tensor, share: float, option: str) -> tuple[Tensor, Tensor]:
    """Split an order into the rows that remain and a share that is held out."""
    if not share:
        return order, order[len(order) :]
    held_out = round(share * len(order))
    if held_out == 0:
        raise ArgumentError(
            f"`data.{option}={share:g}` of {len(order)} images is less than one image. Increase it, or set "
            f"`data.{option}=0` to hold out none."
        )
    if held_out == len(order):
        raise ArgumentError(f"`data.{option}={share:g}` of {len(order)} images leaves none to train on. Decrease it.")
    return order[: len(order) - held_out], order[len(order) - held_out :]


def _limit(order: Tensor, limit: int) -> Tensor:
    return order[:limit] if limit else order


def _select(source: ImageSource, table: ImageTable, index: Tensor, offset: int = 0) -> Images:
    pixels = torch.from_numpy(table.x)
    x = pixels[index] if table.x.nbytes <= images.RESIDENT_LIMIT else MappedImages(pixels, index)
    return Images(x, torch.from_numpy(table.y)[index], index + offset, source.scale, source.classes)


def _check_source(source: ImageSource, name: str) -> None:
    """Check that there are images, of one shape and type, with labels within the classes."""
    tables = {"train": source.train, "validation": source.validation, "test": source.test}
    expected = source.train.x
    twice = [repr(label) for label, count in Counter(source.classes).items() if count > 1]
    if twice:
        raise DataError(f"{name} has several classes of the name {', '.join(twice[:3])}; expected different names.")
    for part, table in tables.items():
        if table is None:
            continue
        if len(table.x) != len(table.y):
            raise DataError(
                f"{name}, {part}: {len(table.x)} images but {len(table.y)} labels; expected one label per image."
            )
        if len(table.y) == 0 and not (source.test_as_given and part == "train"):
            raise DataError(f"{name}, {part}: no images; expected at least one.")
        if table.x.shape[1:] != expected.shape[1:] or table.x.dtype != expected.dtype:
            raise DataError(
                f"{name}: {part} images are {_describe(table.x)}, training images {_describe(expected)}; expected the "
                "same shape and type in all parts."
            )
        wrong = np.flatnonzero((table.y < 0) | (table.y >= len(source.classes)))
        if len(wrong):
            row = wrong[0]
            hint = (
                " Label -1 usually marks unlabelled images: use a labelled set. If it is the first class, add 1."
                if table.y[row] == -1
                else ""
            )
            raise DataError(
                f"{name}, {part}, row {row}: label {table.y[row]} is outside the {len(source.classes)} classes "
                f"(0 to {len(source.classes) - 1}).{hint}"
            )


def _report_unused(source: ImageSource, options: SplitOptions, name: str) -> None:
    """Tell of classes without images, and of options that have no effect."""
    for part, table in {"training": source.train, "test": source.test}.items():
        given = table and ((part == "training" and len(table.y)) or not source.test_as_given)
        counts = np.bincount(table.y, minlength=len(source.classes)) if table and given else np.ones(1)
        if missing := [repr(source.classes[label]) for label in np.flatnonzero(counts == 0)]:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            _warn(
                f"The data set {name!r} has no {part} images of {len(missing)} of its {len(source.classes)} classes: "
                f"{shown}."
            )
    if len(source.classes) == 1 and not source.test_as_given:
        _warn(f"The data set {name!r} has one class only, {source.classes[0]!r}: every model classifies it correctly.")
    if not len(source.train.y) and not source.validation and options.validation not in (0, VALIDATION_SHARE):
        _warn(
            f"`data.validation={options.validation:g}` has no effect: the data set {name!r} has no training images of "
            "which to hold it out."
        )
    if source.test and options.test not in (0, TEST_SHARE):
        _warn(f"`data.test={options.test:g}` has no effect: the data set {name!r} has test images of its own.")
    if source.validation and options.validation != VALIDATION_SHARE:
        _warn(
            f"`data.validation={options.validation:g}` has no effect: the data set {name!r} has validation "
            "images of its own."
        )


def _warn(message: str) -> None:
    warnings.warn(message, DataNotice, stacklevel=4)


def _describe(x: np.ndarray) -> str:
    _, channels, height, width = x.shape
    return f"{height}×{width} with {channels} channel{'s' * (channels != 1)} of {x.dtype}"


def _checksum(source: ImageSource) -> str:
    digest = hashlib.sha256(json.dumps([source.scale, source.classes]).encode())
    for table in (source.train, source.validation, source.test):
        if table is not None:
            digest.update(f"{table.x.dtype.str}{table.x.shape}".encode())
            digest.update(np.ascontiguousarray(table.x).data)
            digest.update(np.ascontiguousarray(table.y).data)
    if source.validation_is_test:  # the same tables with the validation table as such are another set
        digest.update(b"validation is test")
    return digest.hexdigest()
