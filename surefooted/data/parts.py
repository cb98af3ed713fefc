"""The parts of a data set in files: which names mean training, validation and test data, and what a missing part means.

Names are those of Hugging Face ``datasets``, in any case. If a set has validation data but no test data, as ImageNet in
folders has, the validation data are its test data: a share cut from the training data instead would be images that a
model of others was trained on.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from surefooted.data import images
from surefooted.data.split import ImageSource, ImageTable
from surefooted.errors import DataError, DataNotice

PART_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
# Files that operating systems leave in folders, and documents that come with a data set.
_SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "icon\r")
_DOCUMENTS = ("readme", "license", "licence", "citation", "notice", "changelog")


def part_named(name: str) -> str | None:
    """The part that a folder or a file with this name holds; None if the name is of no part.

    Example:
        >>> part_named("Val"), part_named("extra")
        ('validation', None)
    """
    return next((part for part, names in PART_NAMES.items() if name.lower() in names), None)


def group_parts(names: Iterable[str], where: str) -> dict[str, str]:
    """The name of each part.

    Args:
        names: names of folders, files or arrays; those of no part are left out.
        where: place of the names, for messages.

    Raises:
        DataError: two names are of one part.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        if part := part_named(name):
            if part in found:
                raise DataError(
                    f"{where} has {found[part]!r} and {name!r}, which both mean {part} data. Merge or rename them."
                )
            found[part] = name
    return {part: found[part] for part in PART_NAMES if part in found}


def make_source(
    tables: Mapping[str, ImageTable],
    classes: tuple[str, ...],
    *,
    name: str,
    scale: float = 255.0,
    test_as_given: bool = False,
) -> ImageSource:
    """The source of a data set in files. Validation data are test data if there are no others.

    Grey tables become colour if another table is colour. Without training data, the set can be evaluated on but not
    trained on.

    Args:
        tables: table per part.
        classes: names of the classes in the order of their indices.
        name: name of the data set, for messages.
        scale: pixel value that becomes 1.0.
        test_as_given: see ``ImageSource``.
    """
    colour = any(table.x.shape[1:2] == (3,) for table in tables.values())
    tables = {part: _to_colour(table) if colour else table for part, table in tables.items()}
    validation, test = tables.get("validation"), tables.get("test")
    promoted = test is None and validation is not None
    if promoted:
        validation, test = None, validation
        report_promotion(f"The data set {name!r}", has_train="train" in tables)
    train = tables.get("train")
    if train is None:
        if test is None:
            raise DataError(f"The data set {name!r} has no images.")
        train, test_as_given = ImageTable(test.x[:0], test.y[:0]), True
    return ImageSource(train, validation, test, classes, scale, promoted, test_as_given)


def report_promotion(subject: str, *, has_train: bool) -> None:
    """Tell that the validation data of a data set are its test split.

    Args:
        subject: the data set, as the first words of a sentence.
        has_train: whether it has training data.
    """
    rest = " A validation split is held out from the training data." if has_train else ""
    warnings.warn(
        f"{subject} has validation data but no test data: the validation data are its test split.{rest}",
        DataNotice,
        stacklevel=3,
    )


def report_overlap(source: ImageSource, name: str) -> ImageSource:
    """Tell how many of a source's own test images are training images too. Sets too large for memory are not searched.

    Args:
        source: tables of the data set.
        name: name of the data set, for messages.

    Returns:
        The same source.
    """
    if source.test and source.train.x.nbytes + source.test.x.nbytes <= images.RESIDENT_LIMIT:
        known = {hash(image.tobytes()) for image in source.train.x}
        seen = sum(hash(image.tobytes()) in known for image in source.test.x)
        if seen:
            warnings.warn(
                f"The data set {name!r} has {seen} test images (of {len(source.test.y)}) that are training images "
                "too, equal in all pixels. Results on them do not tell how a model does on new images.",
                DataNotice,
                stacklevel=2,
            )
    return source


def is_ignored(name: str) -> bool:
    """Whether a file is left out without a word: its name begins with a dot, or an operating system made it."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def report_unread(names: Sequence[str], where: str, reason: str) -> None:
    """Tell which entries of a data set are not read, documents aside.

    Args:
        names: the entries.
        where: place of the entries.
        reason: sentence that says what is read.
    """
    if names := [name for name in names if not name.lower().startswith(_DOCUMENTS)]:
        shown = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        warnings.warn(f"Not read in {where}: {shown}. {reason}", DataNotice, stacklevel=3)


def _to_colour(table: ImageTable) -> ImageTable:
    return ImageTable(np.repeat(table.x, 3, axis=1), table.y) if table.x.shape[1:2] == (1,) else table
