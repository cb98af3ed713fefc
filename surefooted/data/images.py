"""Labelled images on a device, and the three sets that a study needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float32, Int, Int64, UInt8
from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.core.types import Points

# Pixels of a table above this many bytes stay on disk, memory-mapped; below it they are held in memory, and move to
# the device. Set it before a data set is made.
RESIDENT_LIMIT = 4 << 30

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class MappedImages:
    """Images that stay on disk, memory-mapped: indexing reads the rows asked for and nothing else.

    Attributes:
        table: all images of the source.
        at: which of them are these, in order.
    """

    table: UInt8[Tensor, "m c h w"]
    at: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, index: Tensor | slice) -> UInt8[Tensor, "b c h w"]:
        return self.table[self.at[index]]

    def take(self, index: Tensor | slice) -> MappedImages:
        return MappedImages(self.table, self.at[index])

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.at), *self.table.shape[1:]))


@dataclass(frozen=True, eq=False)
class Images:
    """A table of labelled images, on one device.

    Attributes:
        x: pixels as the source has them: uint8, or float32 where it has floats; ``Mapped`` above ``RESIDENT_LIMIT``.
        y: class indices.
        rows: row of each image in the source table. Random draws and attributes of examples are keyed by it. No row
            occurs twice in a data set: test rows are numbered after the training table's.
        scale: the pixel value that stands for 1.0.
        classes: names of the classes, in the order of their indices.
    """

    x: UInt8[Tensor, "n c h w"] | Float32[Tensor, "n c h w"] | MappedImages
    y: Int64[Tensor, " n"]
    rows: Int64[Tensor, " n"]
    scale: float
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    def points(
        self, index: Int[Tensor, " b"] | Bool[Tensor, " n"] | slice = _ALL, device: torch.device | str | None = None
    ) -> Points:
        """Points in [0, 1] as float32. Pixels travel as uint8 and become floats on the target device."""
        device = self.y.device if device is None else device
        x = _send(_pick(self.x, index), device).float()
        # By a tensor: CUDA replaces division by a number with a product, which rounds differently from the CPU's.
        x = x / torch.full((), self.scale, device=x.device)
        return Points(x, _send(_pick(self.y, index), device), _send(_pick(self.rows, index), device))

    def take(self, index: Int[Tensor, " b"] | Bool[Tensor, " n"] | slice) -> Images:
        x = self.x.take(index) if isinstance(self.x, MappedImages) else _pick(self.x, index)
        return replace(self, x=x, y=_pick(self.y, index), rows=_pick(self.rows, index))

    def to(self, device: torch.device | str) -> Images:
        """The same images on the device; mapped pixels stay where they are and travel batch by batch."""
        x = self.x if isinstance(self.x, MappedImages) else self.x.to(device)
        return replace(self, x=x, y=self.y.to(device), rows=self.rows.to(device))


@dataclass(frozen=True, eq=False)
class Splits(Component):
    """A data set, split.

    Attributes:
        name: short name, as on the command line.
        title: name for captions; says what is special about this copy.
        checksum: SHA-256 of the whole source's pixels, labels and class names. How they were stored, and how they are
            split here, does not enter.
    """

    kind = "data"

    name: str
    title: str
    train: Images
    validation: Images
    test: Images
    checksum: str
    spec: Spec | None = field(default=None, repr=False)


def _pick(table: Tensor | MappedImages, index: Tensor | slice) -> Tensor:
    if isinstance(index, slice):
        return table[index]
    return table[_send(index, "cpu" if isinstance(table, MappedImages) else table.device)]


def _send(tensor: Tensor, device: torch.device | str) -> Tensor:
    # Only the way from the host need not be waited for; what comes back would be read before it is there.
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")
