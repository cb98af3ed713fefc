"""What a victim is tested on: images that it has not learnt, of a set that it knows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, load_splits, without_location


def check_same_data(victims: Sequence[Source]) -> None:
    """Refuse networks of different data: one may have been trained on what the others are tested on."""
    known = [given for victim in victims if (given := training_data(victim)) is not None]
    held = [(without_location(given), load_splits(given).checksum) for given in known]
    for given, other in zip(known[1:], held[1:]):
        if other != held[0]:
            raise InputError(
                f"these networks were trained on different data, {known[0]} and {given}: what tests one "
                "may have trained the other. Train them on the same, splits included."
            )


def check_same_set(victim: Source, proxy: Source) -> None:
    """Refuse a proxy of another data set: it tells other classes apart. Another split of the same one is welcome."""
    one, other = training_data(victim), training_data(proxy)
    if one and other and load_splits(one).checksum != load_splits(other).checksum:
        raise InputError(
            f"the proxy was trained on {other}, the network that it shall stand for on {one}; take a proxy that was "
            "trained on the same data set."
        )


def training_data(victim: Source | None) -> ComponentSpec | None:
    """What a victim was trained on, where that is known."""
    return getattr(victim, "data", None)


def eval_images(victim: Source, data: ComponentSpec | None, part: SplitName, limit: int) -> Images:
    given = data or training_data(victim)
    if given is None:
        raise InputError("which data? These weights do not say, or theirs are not at hand; name a data set (--data).")
    images = images_in(given, part, limit)
    if data and part != "train":
        _check_unseen(victim, data, images, part)
    return images


def _check_unseen(victim: Source, data: ComponentSpec, images: Images, part: SplitName) -> None:
    """Refuse another split of the victim's own data: it has learnt what it would be tested on."""
    split_of = getattr(victim, "split_of", None)  # of weights from a file
    own = split_of(data) if split_of else training_data(victim)
    if own is None or load_splits(own).checksum != load_splits(data).checksum:
        return
    learnt = int(torch.isin(images.rows, load_splits(own).train.rows).sum())
    if learnt:
        raise InputError(
            f"{learnt} of these {len(images)} images of the {part} split were trained on: the network was trained on "
            f"another split of them, {own}. Leave the data out, or give the options that it was trained with."
        )


def images_in(data: ComponentSpec, part: SplitName, limit: int) -> Images:
    """The images of a split, the first ``limit`` of them where that is not 0; a split without any is refused."""
    images: Images = getattr(load_splits(data), part)
    if not len(images):
        raise InputError(
            f"the {part} split is empty; hold some images out (--data.validation 0.1), or use another split."
        )
    return images.take(slice(0, limit)) if limit else images
