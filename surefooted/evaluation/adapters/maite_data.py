"""Data and augmentations that satisfy MAITE's protocols for image classification: tried with MAITE 0.10.

The protocols are structural, so MAITE itself is not needed to make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.data.arrays import as_images
from surefooted.evaluation.adapters.shared import stack_arrays
from surefooted.models.victims import Victim

Batch = tuple[Sequence[Any], Sequence[Any], Sequence[Any]]


class MaiteDataset:
    """Labelled images as a MAITE ``Dataset``: pixels in [0, 1] as (C, H, W), one-hot labels, the row as ``id``.

    Args:
        images: a split of a data set, a data set (its test split), or other data as ``sf.arrays`` takes them.
        name: identifies the data set.

    Example:
        >>> import surefooted as sf
        >>> data = MaiteDataset(sf.digits(test_limit=20))
        >>> image, label, metadata = data[0]
        >>> len(data), image.shape, label.shape, sorted(metadata)
        (20, torch.Size([1, 8, 8]), torch.Size([10]), ['id'])
    """

    def __init__(self, images: Any, name: str = "surefooted") -> None:
        self.images = as_images(images)
        self.metadata = {"id": name, "index2label": dict(enumerate(self.images.classes))}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor, dict[str, int]]:
        x, y, rows = self.images.points(torch.tensor([range(len(self))[index]]))  # range: IndexError past the end
        return x[0], nn.functional.one_hot(y[0], len(self.images.classes)).float(), {"id": int(rows[0])}


class MaiteCorruption:
    """A distribution shift as a MAITE ``Augmentation``: corrupted images, unchanged labels.

    Args:
        corruption: a corruption, its name, or ``{name: arguments}``.
        seed: of the draws, which depend on the image's ``id`` and not on the batch.

    Example:
        >>> fog = MaiteCorruption({"fog": {"severity": 3}})
        >>> images, labels, _ = fog(([torch.zeros(1, 28, 28)], [torch.eye(10)[0]], [{"id": 7}]))
        >>> images[0].shape
        torch.Size([1, 28, 28])
    """

    def __init__(self, corruption: Any, seed: int = 0) -> None:
        self.corruption = build("corruption", corruption) if isinstance(corruption, str | dict) else corruption
        self.seed, self.metadata = seed, {"id": str(self.corruption.spec)}

    def __call__(self, batch: Batch, /) -> Batch:
        images, targets, metadata = batch
        return list(self.corruption(stack_arrays(images), _rows(metadata), seed=self.seed)), targets, metadata


class MaiteAttack:
    """An attack on a model as a MAITE ``Augmentation``: adversarial images, unchanged labels.

    Args:
        attack: an attack, its name, or ``{name: arguments}``.
        model: the victim, a module from pixels in [0, 1] to logits.
        seed: of the draws, which depend on the image's ``id`` and not on the batch.

    Example:
        >>> import surefooted as sf
        >>> attack = MaiteAttack({"pgd": {"eps": 0.1, "steps": 2}}, sf.nets.mlp((1, 8, 8), 10))
        >>> images, labels, _ = attack(([torch.rand(1, 8, 8)], [torch.eye(10)[0]], [{"id": 7}]))
        >>> images[0].shape
        torch.Size([1, 8, 8])
    """

    def __init__(self, attack: Any, model: nn.Module | Victim, seed: int = 0) -> None:
        self.attack: Attack = build("attack", attack) if isinstance(attack, str | dict) else attack
        self.model, self.seed, self.metadata = model, seed, {"id": str(self.attack.spec)}

    def __call__(self, batch: Batch, /) -> Batch:
        images, targets, metadata = batch
        points = Points(stack_arrays(images), stack_arrays(targets).argmax(-1), _rows(metadata))
        return list(self.attack(self.model, points, seed=self.seed).x.cpu()), targets, metadata


def _rows(metadata: Sequence[Any]) -> Tensor:
    """A whole number for each image: its ``id``, or a checksum of an ``id`` that is text."""
    return torch.tensor(
        [one["id"] if isinstance(one["id"], int) else crc32(str(one["id"]).encode()) for one in metadata]
    )
