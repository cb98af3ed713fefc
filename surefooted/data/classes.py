"""The classes of image files: their names, and which index a label has."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from surefooted.data.paths import locate
from surefooted.data.split import class_numbers
from surefooted.errors import DataError, DataNotice

_MAX_BYTES = 10_000_000


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# The argument ``classes`` of a data set: the number of classes, or a text file with one name per line.
Classes = Annotated[str, BeforeValidator(_as_text)]


def read_classes(classes: str) -> tuple[str, ...]:
    """The names of the classes that the argument ``classes`` gives, in the order of their indices; none if empty.

    Args:
        classes: the number of classes, whose names are then numbers, or a UTF-8 text file with one name per line; a
            relative path is tried here first, then under the data root.

    Raises:
        DataError: there is no such file, or it does not hold different names.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("names.txt").write_text("cat\\ndog\\n")
        >>> read_classes("names.txt"), read_classes("3"), read_classes("")
        (('cat', 'dog'), ('0', '1', '2'), ())
    """
    if not classes:
        return ()
    if classes.isascii() and classes.isdigit() and len(classes) < 7 and int(classes):
        return tuple(map(str, range(int(classes))))
    file = locate(classes)
    try:
        with file.open("rb") as opened:
            lines = opened.read(_MAX_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(file)!r} cannot be read ({error}); expected UTF-8 text, one class per line.") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) < len(names) or not all(name.isprintable() for name in names):
        raise DataError(f"{str(file)!r} has {len(names)} names; expected different names of classes, one per line.")
    return names


def label_indices(
    labels: Sequence[str], given: tuple[str, ...], *, alone: bool, where: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the classes and the index of each label.

    Labels that are whole numbers are class indices, unless names are given and all labels are among them. Other labels
    are names of classes, which are in alphabetical order unless they are given.

    Args:
        labels: label of each image, as text.
        given: names of all classes in the order of their indices; none if not known.
        alone: whether these are labels of a test set without training data, which need not hold every class.
        where: place of the labels, for messages.

    Raises:
        DataError: a label is none of the given classes, or numbers have a gap.

    Example:
        >>> label_indices(["dog", "cat"], ("cat", "cow", "dog"), alone=True, where="x")
        (('cat', 'cow', 'dog'), array([2, 0]))
        >>> label_indices(["3", "1"], (), alone=True, where="x")
        (('0', '1', '2', '3'), array([3, 1]))
    """
    known = set(given)
    is_number = all(label.isascii() and label.isdigit() and len(label) < 10 for label in labels)
    if is_number and not known.issuperset(labels):
        y = np.array([int(label) for label in labels], np.int64)
        return given or number_names(y, alone=alone), y
    classes = given or named_classes(set(labels), alone=alone, where=where)
    if unknown := sorted(set(labels) - set(classes)):
        raise DataError(
            f"{where}: {unknown[0]!r} is not one of the {len(classes)} classes of `data.classes` ({classes[0]!r}, "
            "...). Add it there, or omit `data.classes`."
        )
    index = {name: k for k, name in enumerate(classes)}
    return classes, np.array([index[label] for label in labels], np.int64)


def number_names(*labels: np.ndarray, alone: bool) -> tuple[str, ...]:
    """Names of classes that are numbers.

    Args:
        labels: class indices of each part.
        alone: whether this is a test set without training data; then labels may have gaps.
    """
    if alone:
        return tuple(map(str, range(max(int(one.max(initial=0)) for one in labels) + 1)))
    return class_numbers(*labels)


def named_classes(found: set[str], *, alone: bool, where: str) -> tuple[str, ...]:
    """The names of classes in alphabetical order. Of a test set alone, a notice says that its classes are all.

    Args:
        found: names of the classes that have images.
        alone: whether this is a test set without training data.
        where: place of the names, for the notice.
    """
    classes = tuple(sorted(found))
    if alone:
        warnings.warn(
            f"{where} has test images alone: class indices number its {len(classes)} classes in alphabetical order. If "
            "the model has others, name all of its classes in order with `data.classes`.",
            DataNotice,
            stacklevel=4,
        )
    return classes
