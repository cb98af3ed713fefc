"""Orders of the images of a split, of which a limit takes the first.

``official``
    The data set's own order, for test images that it has as such: the first 1,000 of CIFAR-10 are those of RobustBench.
``random:SEED``
    A random order. Its first n are a random subset, which holds all classes even where the files are sorted by class.
``split``
    The order that ``split_seed`` draws. Results of the studies are stored in it, so it stands in no key.

Training images, and test or validation images that were held out from them, have no official order: theirs is that of
the split.
"""

from __future__ import annotations

import re
import warnings
from typing import Literal

import torch

from surefooted.data.images import Images, Splits
from surefooted.data.split import shuffled_rows
from surefooted.errors import ArgumentError, DataNotice

Order = str  # official, random:SEED or split
SplitName = Literal["train", "validation", "test"]

_STREAM = 3  # other draws than those of splits


def parse_order(text: str) -> Order:
    """Check the name of an order; ``random`` is ``random:0``.

    Raises:
        ArgumentError: for another name.

    Example:
        >>> parse_order("random"), parse_order("official")
        ('random:0', 'official')
    """
    if text in ("official", "split") or re.fullmatch(r"random:\d{1,9}", text):
        return text
    if text == "random":
        return "random:0"
    raise ArgumentError(f"`order` is {text!r}; expected official, random, random:SEED (such as random:7) or split.")


def ordered(splits: Splits, split: SplitName, order: Order) -> Images:
    """All images of a split in an order.

    Args:
        splits: a data set.
        split: name of the split.
        order: name of the order.

    Example:
        >>> import surefooted as sf
        >>> mnist = sf.data.mnist()
        >>> [ordered(mnist, "test", order).rows[:3].tolist() for order in ("official", "random:0")]
        [[200, 201, 202], [268, 248, 251]]
    """
    images: Images = splits.drawn_test if split == "test" and order == "split" else getattr(splits, split)
    if order.startswith("random:"):
        images = images.take(shuffled_rows(len(images), int(order.removeprefix("random:")), stream=_STREAM))
    return images


def stored_order(splits: Splits, split: SplitName, limit: int, order: Order) -> Order:
    """The order under which results are stored: ``split`` if it has the same images, so that older results are found.

    Of a whole split every order has the same images. An official order is that of the split unless the split drew
    another.

    Args:
        splits: a data set.
        split: name of the split.
        limit: number of images; 0 for all.
        order: name of the order that was asked for.

    Example:
        >>> import surefooted as sf
        >>> [stored_order(sf.data.mnist(), "test", limit, "official") for limit in (0, 10)]
        ['split', 'official']
    """
    images, draw = getattr(splits, split), splits.draw if split == "test" else None
    is_whole = not limit or limit >= len(images)
    if is_whole and (draw is None or draw.is_complete):
        return "split"
    return "split" if order == "official" and draw is None else order


def report_missing_classes(splits: Splits, split: SplitName, limit: int) -> None:
    """Tell if the first test images in the data set's own order lack classes that the split holds.

    Args:
        splits: a data set.
        split: name of the split.
        limit: number of images.
    """
    if split != "test" or not splits.is_test_official:
        return
    y = splits.test.y
    held, known = len(torch.unique(y[:limit])), len(torch.unique(y))
    if held < known:
        warnings.warn(
            f"The first {limit:,} of the {len(y):,} test images of {splits.title} hold {held} of {known} classes. For "
            "a random subset, set `order=random`.",
            DataNotice,
            stacklevel=3,
        )
