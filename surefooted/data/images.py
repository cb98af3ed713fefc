"""Labelled images on a device, and data sets split into training, validation and test images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float32, Int, Int64, UInt8
from torch import Tensor

from surefooted.components.component import Component, Spec
from surefooted.core.types import Points

# Tables with more bytes of pixels stay on disk, memory-mapped; smaller ones are held in memory and moved to the device.
# Set it before a data set is made.
RESIDENT_LIMIT = 4 << 30

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class MappedImages:
    """Images that stay on disk, memory-mapped: indexing reads only the rows asked for.

    Attributes:
        table: all images of the source.
        index: positions of these images in the table, in order.
    """

    table: UInt8[Tensor, "m c h w"]
    index: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Tensor | slice) -> UInt8[Tensor, "b c h w"]:
        return self.table[self.index[index]]

    def take(self, index: Tensor | slice) -> MappedImages:
        """Select images without reading them."""
        return MappedImages(self.table, self.index[index])

    @property
    def shape(self) -> torch.Size:
        """Number of images, channels, height, width."""
        return torch.Size((len(self.index), *self.table.shape[1:]))


@dataclass(frozen=True, eq=False)
class Images:
    """A table of labelled images on one device.

    Attributes:
        x: pixels as the source stores them: uint8, or float32 if it stores floats; ``MappedImages`` above
            ``RESIDENT_LIMIT`` bytes.
        y: class indices.
        rows: row of each image in the source table. It keys random draws and attributes of examples, and is unique in a
            data set: test rows are numbered after those of the training table.
        scale: pixel value that becomes 1.0.
        classes: names of the classes in the order of their indices.

    Example:
        >>> import surefooted as sf
        >>> test = sf.data.digits().test
        >>> len(test), test.shape
        (449, (1, 8, 8))
        >>> points = test.points(slice(0, 32))
        >>> points.x.shape, points.x.dtype
        (torch.Size([32, 1, 8, 8]), torch.float32)
    """

    x: UInt8[Tensor, "n c h w"] | Float32[Tensor, "n c h w"] | MappedImages
    y: Int64[Tensor, " n"]
    rows: Int64[Tensor, " n"]
    scale: float
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Images(n={len(self)}, shape={self.shape}, classes={len(self.classes)})"

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
        """Images as float32 in [0, 1]. Pixels travel as uint8 and become floats on the target device.

        Args:
            index: images to select, by default all.
            device: target device, by default that of the labels.
        """
        device = self.y.device if device is None else device
        x = _send(_pick(self.x, index), device).float()
        # Divide by a tensor: CUDA turns division by a number into a multiplication, which rounds differently from the
        # CPU.
        x = x / torch.full((), self.scale, device=x.device)
        return Points(x, _send(_pick(self.y, index), device), _send(_pick(self.rows, index), device))

    def take(self, index: Int[Tensor, " b"] | Bool[Tensor, " n"] | slice) -> Images:
        """Select images; mapped pixels are not read."""
        x = self.x.take(index) if isinstance(self.x, MappedImages) else _pick(self.x, index)
        return replace(self, x=x, y=_pick(self.y, index), rows=_pick(self.rows, index))

    def to(self, device: torch.device | str) -> Images:
        """The same images on a device; mapped pixels stay on disk and travel batch by batch."""
        x = self.x if isinstance(self.x, MappedImages) else self.x.to(device)
        return replace(self, x=x, y=self.y.to(device), rows=self.rows.to(device))


@dataclass(frozen=True, eq=False)
class TestDraw:
    """The official test images of a data set and the random order in which the studies take them.

    Attributes:
        images: all of them, in the data set's own order.
        index: places of the images drawn, in the order drawn.
    """

    __test__ = False  # not a class of tests

    images: Images
    index: Int64[Tensor, " n"]

    @property
    def is_complete(self) -> bool:
        """Whether every image is drawn."""
        return len(self.index) == len(self.images)


@dataclass(frozen=True, eq=False)
class Splits(Component):
    """A data set, split into training, validation and test images.

    Attributes:
        name: short name, as on the command line.
        title: name for captions; says if this copy was encoded with loss.
        train: training images, in the random order of the split.
        validation: validation images; may be empty.
        test: test images. Official ones are in the data set's own order; images held out from the training images are
            in the random order in which they were drawn.
        checksum: SHA-256 of all pixels, labels and class names of the source. It does not depend on the file format or
            on the split.
        draw: how the studies order official test images; None if their order is that of ``test``.
        is_test_official: whether the test images are in the data set's own order, which may be sorted by class.
    """

    kind = "data"

    name: str
    title: str
    train: Images
    validation: Images
    test: Images
    checksum: str
    draw: TestDraw | None = field(default=None, repr=False)
    is_test_official: bool = field(default=False, repr=False)
    spec: Spec | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        parts = f"train={len(self.train)}, validation={len(self.validation)}, test={len(self.test)}"
        return f"Splits({self.name!r}, {parts})"

    @cached_property
    def drawn_test(self) -> Images:
        """The test images in the random order that ``split_seed`` draws: the order in which the studies take them."""
        return self.draw.images.take(self.draw.index) if self.draw else self.test


def _pick(table: Tensor | MappedImages, index: Tensor | slice) -> Tensor:
    if isinstance(index, slice):
        return table[index]
    return table[_send(index, "cpu" if isinstance(table, MappedImages) else table.device)]


def _send(tensor: Tensor, device: torch.device | str) -> Tensor:
    # Only transfers from the host may be asynchronous: data sent to the host could be read before they arrive.
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")
