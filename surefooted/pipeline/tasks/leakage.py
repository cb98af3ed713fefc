"""Checks against leakage: no victim is evaluated on images that it, or a network beside it, was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from surefooted.components.component import Spec
from surefooted.components.describe import non_default
from surefooted.components.spec import parse_spec
from surefooted.data.images import Images
from surefooted.errors import DataError
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, without_location
from surefooted.pipeline.tasks.datasets import load_splits, training_data


def check_same_data(victims: Sequence[Source]) -> None:
    """Refuse networks trained on different data or splits: test images of one may be training images of another."""
    known = [data for victim in victims if (data := training_data(victim)) is not None]
    identities = [(without_location(data), load_splits(data).checksum) for data in known]
    for data, identity in zip(known[1:], identities[1:]):
        if identity != identities[0]:
            raise DataError(
                f"These networks were trained on different data, {_describe(known[0])} and {_describe(data)}: test "
                "images of one may be training images of the other. Train them on the same data with the same split."
            )


def check_same_set(victim: Source, surrogate: Source) -> None:
    """Refuse a surrogate trained on another data set: its classes differ. Another split of the same set is fine."""
    one, other = training_data(victim), training_data(surrogate)
    if one and other and load_splits(one).checksum != load_splits(other).checksum:
        raise DataError(
            f"The surrogate (`proxy`) was trained on {_describe(other)}, but the target network on {_describe(one)}. "
            "Use a surrogate trained on the same data set."
        )


def check_unseen(victim: Source, data: ComponentSpec, images: Images, split: SplitName) -> None:
    """Refuse images that the victim was trained on, in another split of its own data."""
    split_of = getattr(victim, "split_of", None)  # weights from a file
    own = split_of(data) if split_of else training_data(victim)
    if own is None or load_splits(own).checksum != load_splits(data).checksum:
        return
    seen = int(torch.isin(images.rows, load_splits(own).train.rows).sum())
    if seen:
        raise DataError(
            f"{seen} of these {len(images)} images of the {split} split are training images: the network was trained "
            f"on another split of the same data, {_describe(own)}. Omit `data`, or give the options that it "
            "was trained with."
        )


def _describe(data: ComponentSpec) -> str:
    """A data set as a call with the arguments that differ from their defaults, and the start of its checksum."""
    return f"{Spec(*parse_spec(non_default('data', data)))} [{load_splits(data).checksum[:8]}]"
