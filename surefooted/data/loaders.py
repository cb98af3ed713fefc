"""Reading a PyTorch ``Dataset`` or ``DataLoader`` of images and labels, once and in the order of the data set."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from surefooted.data.tables import as_array
from surefooted.errors import DataError, DataNotice

# Attributes under which data sets keep their transforms, and wrappers the data set that they wrap.
_INSIDE = ("transform", "transforms", "dataset", "datasets")
_MANY = 100  # a longer list holds examples, not transforms or data sets


def read_loader(data: Dataset[Any] | DataLoader[Any]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read all images and labels.

    A loader that shuffles is read in the order of its data set, and to the end even if it drops the last batch: the
    same data give the same results each time. A loader with a sampler of its own is read as it is.

    Args:
        data: yields pairs of an image and a label, or batches of them. Images are tensors, arrays or Pillow images.

    Returns:
        Images, labels, and the names of the classes, if the data set has ``classes`` as those of torchvision do.

    Raises:
        DataError: a transform normalises the images, or the data are no images and labels of one size.

    Example:
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> data = TensorDataset(torch.rand(5, 1, 8, 8), torch.arange(5))
        >>> x, y, names = read_loader(DataLoader(data, batch_size=2))
        >>> x.shape, y.tolist(), names
        ((5, 1, 8, 8), [0, 1, 2, 3, 4], ())
    """
    dataset = data.dataset if isinstance(data, DataLoader) else data
    if normalisation := next(_normalisations(dataset), None):
        raise DataError(
            f"The data set normalises its images ({normalisation}); expected pixels in [0, 1]. Remove this transform, "
            "and normalise inside the model (`mean`, `std`)."
        )
    images, labels = [], []
    ordered = _in_order(data) if isinstance(data, DataLoader) else None
    for x, y in _batches(ordered) if ordered is not None else _single(dataset):
        images.append(x)
        labels.append(y)
    if not images:
        raise DataError("The data set is empty; expected at least one image.")
    if not isinstance(dataset, IterableDataset) and ordered is not data:  # other orders need not repeat themselves
        again = _batches(ordered) if ordered is not None else _single(dataset)
        _report_random(images[0], next(again)[0])
    shapes = sorted({x.shape[1:] for x in images})
    if len(shapes) > 1 or len({x.dtype for x in images}) > 1:
        seen = " and ".join("×".join(map(str, shape)) for shape in shapes[:2]) if len(shapes) > 1 else "types"
        raise DataError(f"The data set has images of different {seen}. Resize them to one size and type.")
    return np.concatenate(images), np.concatenate(labels), _names_of(dataset)


def _single(dataset: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels one by one, as batches of one."""
    items: Iterable[Any] = dataset if isinstance(dataset, IterableDataset) else map(dataset.__getitem__, _rows(dataset))
    for item in items:
        x, y = _pair(item)
        yield x[None], y.reshape(1, *y.shape)


def _in_order(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader in the order of its data set and to its end, unless it has a sampler of its own."""
    if loader.batch_size is None or not isinstance(loader.sampler, RandomSampler | SequentialSampler):
        return loader
    if isinstance(loader.sampler, RandomSampler):
        warnings.warn(
            "The loader shuffles: its images are read in the order of the data set.", DataNotice, stacklevel=4
        )
    # A generator of its own: the loader would otherwise draw from that of the process.
    return DataLoader(
        loader.dataset,
        loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        generator=torch.Generator(),
    )


def _batches(loader: DataLoader[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for batch in loader:
        x, y = _pair(batch)
        if x.ndim < 3 or y.shape[:1] != x.shape[:1]:
            raise DataError(f"The loader yields {x.shape} and {y.shape}; expected batches of images and labels.")
        yield x, y


def _rows(dataset: Any) -> range:
    try:
        return range(len(dataset))
    except TypeError:
        raise DataError(
            f"The data set {type(dataset).__name__} has no length; expected a Dataset with __len__ and __getitem__, or "
            "an IterableDataset."
        ) from None


def _pair(item: Any) -> tuple[np.ndarray, np.ndarray]:
    """An image and its label, or a batch of both."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        seen = f"a dictionary of {', '.join(map(str, item))}" if isinstance(item, dict) else type(item).__name__
        if isinstance(item, tuple | list):
            seen = f"{len(item)} values"
        raise DataError(f"The data set yields {seen}; expected pairs of an image and a label. Wrap it to yield these.")
    x, y = (as_array(value, f"An {what}") for value, what in zip(item, ("image", "label")))
    return x, y


def _report_random(once: np.ndarray, twice: np.ndarray) -> None:
    """Tell of data that give other images when they are read again, as random crops do."""
    if not np.array_equal(once, twice):
        warnings.warn(
            "The data set gives other images each time it is read, as a random transform does. Results cannot be "
            "found again; remove the random transform.",
            DataNotice,
            stacklevel=4,
        )


def _normalisations(value: Any, depth: int = 6) -> Iterator[str]:
    """Descriptions of the transforms named ``Normalize`` anywhere inside a data set."""
    if type(value).__name__ == "Normalize":
        text = " ".join(repr(value).split())
        yield text if len(text) < 120 else "Normalize"
    elif isinstance(value, list | tuple):
        for part in value[:_MANY]:
            yield from _normalisations(part, depth)
    elif depth and value is not None:
        for name in _INSIDE:
            yield from _normalisations(getattr(value, name, None), depth - 1)


def _names_of(dataset: Any) -> tuple[str, ...]:
    """The names of the classes; a subset has those of the data set that it is taken from."""
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", ())
    return tuple(names) if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) else ()
