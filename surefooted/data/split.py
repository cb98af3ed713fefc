"""From the tables of a source to training, validation and test images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefooted.core.rng import Noise
from surefooted.data import images
from surefooted.data.images import Images, MappedImages, Splits
from surefooted.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Images as a source stores them: pixels (N, C, H, W), uint8 or float32, and class indices (N,)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class ImageSource:
    """What a source holds: one table at least, the official validation and test sets where there are any."""

    train: ImageTable
    validation: ImageTable | None
    test: ImageTable | None
    classes: tuple[str, ...]
    scale: float = 255.0


@dataclass(frozen=True)
class SplitOptions:
    """How to split: the options that all sources share. ``test`` counts where the source has no test set."""

    validation: float
    split_seed: int
    train_limit: int
    test_limit: int
    test: float = 0.0


def split_source(source: ImageSource, cut: SplitOptions, *, name: str, title: str) -> Splits:
    """Split a source by seed.

    Each table is put into a random order that depends on ``split_seed`` alone. From the end of the training table's
    order come the test and then the validation images, where the source has none of its own; the limits cut off
    behind the first so many. So a smaller limit gives a prefix of a larger one.
    """
    _check_source(source, name)
    order, tests = shuffled_rows(len(source.train.y), cut.split_seed, stream=0), source.train
    offset = 0
    if source.test is None:
        order, held = _hold_out(order, cut.test, "test")
    else:
        held, tests = shuffled_rows(len(source.test.y), cut.split_seed, stream=1), source.test
        offset = len(source.train.y) + (len(source.validation.y) if source.validation else 0)
    test = _select(source, tests, _limit(held, cut.test_limit), offset)

    if source.validation is None:
        order, held = _hold_out(order, cut.validation, "validation")
        validation = _select(source, source.train, held)
    else:
        held = torch.arange(len(source.validation.y))
        validation = _select(source, source.validation, held, len(source.train.y))
    train = _select(source, source.train, _limit(order, cut.train_limit))
    return Splits(name, title, train, validation, test, _checksum(source))


def shuffled_rows(n: int, seed: int, *, stream: int) -> Tensor:
    """Rows in random order: sorted by 48 bits drawn for each of them."""
    draws = Noise(seed, torch.arange(n), stream=stream).uniform(2).double()
    return (draws[:, 0] + draws[:, 1] * 2**-24).argsort(stable=True)


def _hold_out(order: Tensor, share: float, option: str) -> tuple[Tensor, Tensor]:
    """What stays, and the share held out."""
    held = round(share * len(order))
    if share > 0 and held == 0:
        raise InputError(
            f"{option} = {share:g} of {len(order)} images is less than one image. "
            f"Give a larger share, or {option} = 0 to hold none out."
        )
    if held == len(order):
        raise InputError(f"{option} = {share:g} of {len(order)} images leaves none to train on. Give a smaller share.")
    return order[: len(order) - held], order[len(order) - held :]


def _limit(order: Tensor, limit: int) -> Tensor:
    return order[:limit] if limit else order


def _select(source: ImageSource, table: ImageTable, rows: Tensor, offset: int = 0) -> Images:
    pixels = torch.from_numpy(table.x)
    x = pixels[rows] if table.x.nbytes <= images.RESIDENT_LIMIT else MappedImages(pixels, rows)
    return Images(x, torch.from_numpy(table.y)[rows], rows + offset, source.scale, source.classes)


def _check_source(source: ImageSource, name: str) -> None:
    """What all sources must keep: images at all, of one shape and kind, labels within the classes."""
    tables = {"train": source.train, "validation": source.validation, "test": source.test}
    expected = source.train.x
    for part, table in tables.items():
        if table is None:
            continue
        if len(table.x) != len(table.y):
            raise InputError(f"{name}, {part}: {len(table.x)} images but {len(table.y)} labels; one label per image.")
        if len(table.y) == 0:
            raise InputError(f"{name}, {part}: no images. At least one is needed.")
        if table.x.shape[1:] != expected.shape[1:] or table.x.dtype != expected.dtype:
            raise InputError(
                f"{name}: {part} images are {_describe(table.x)}, training images {_describe(expected)}. "
                "All parts need the same shape and type."
            )
        wrong = np.flatnonzero((table.y < 0) | (table.y >= len(source.classes)))
        if len(wrong):
            row = wrong[0]
            hint = " -1 usually marks unlabelled images: use a labelled set." if table.y[row] == -1 else ""
            raise InputError(
                f"{name}, {part}, row {row}: label {table.y[row]} is outside the {len(source.classes)} classes "
                f"(0 to {len(source.classes) - 1}).{hint}"
            )


def _describe(x: np.ndarray) -> str:
    _, channels, height, width = x.shape
    return f"{height}×{width} with {channels} channel{'s' * (channels != 1)} of {x.dtype}"


def class_numbers(*labels: np.ndarray) -> tuple[str, ...]:
    """Class names where the source has none: the numbers from 0 to the largest label."""
    y = np.concatenate(labels)
    top = int(y.max(initial=0))
    if top >= len(y):
        raise InputError(
            f"The labels go up to {top}, but there are only {len(y)} of them. Without class names they must be the "
            "class indices from 0; renumber them, or store the names."
        )
    return tuple(str(label) for label in range(top + 1))


def _checksum(source: ImageSource) -> str:
    digest = hashlib.sha256(json.dumps([source.scale, source.classes]).encode())
    for table in (source.train, source.validation, source.test):
        if table is not None:
            digest.update(f"{table.x.dtype.str}{table.x.shape}".encode())
            digest.update(np.ascontiguousarray(table.x).data)
            digest.update(np.ascontiguousarray(table.y).data)
    return digest.hexdigest()
