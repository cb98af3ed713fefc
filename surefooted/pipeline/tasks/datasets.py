"""The data sets that tasks work on: looked up by their spec and loaded once per process."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from surefooted.components.spec import base_name, build, canonical, complete
from surefooted.data.arrays import as_splits, is_dataset_dict
from surefooted.data.images import Images, Splits
from surefooted.data.order import Order, ordered
from surefooted.data.paths import data_root
from surefooted.errors import ArgumentError, DataError
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName

_SPLITS: dict[str, Splits] = {}
_SPECS: dict[str, ComponentSpec] = {}


def load_splits(data: ComponentSpec) -> Splits:
    """The data set of a complete spec."""
    key = _key(data)
    if key not in _SPLITS:
        _SPLITS[key] = _build(data)
    return _SPLITS[key]


def resolve_data(data: Any) -> ComponentSpec | None:
    """The complete spec of a data set, which is then in memory.

    Args:
        data: a name, ``{name: arguments}``, the ``Splits`` that a data function returned, or data in memory that
            ``as_splits`` takes; None stays None.
    """
    if data is None:
        return None
    if not isinstance(data, str | Mapping) or is_dataset_dict(data):
        return _keep(as_splits(data))
    try:
        key = _key(data)
    except TypeError:  # a path, or another argument that is not plain data
        return _keep(build("data", data))
    if key not in _SPECS:
        _SPECS[key] = _keep(_SPLITS.get(key) or _build(data))
    return deepcopy(_SPECS[key])


def data_fields(data: ComponentSpec | None) -> dict[str, Any]:
    """The arguments of a task that say which data it reads; none if the data are the victim's own, as its key says."""
    return {"data": data, "checksum": load_splits(data).checksum} if data else {}


def training_data(victim: Source | None) -> ComponentSpec | None:
    """The data set that a victim was trained on, if it is known."""
    return getattr(victim, "data", None)


def split_images(data: ComponentSpec, split: SplitName, limit: int, order: Order = "split") -> Images:
    """The images of a split.

    Args:
        limit: take the first ``limit`` images of the order; 0 for all.
        order: see ``data.order``.

    Raises:
        DataError: if the split is empty.
    """
    images = ordered(load_splits(data), split, order)
    if not len(images):
        cure = "Hold out images (`data.validation=0.1`)" if split != "train" else "Pass images to train on"
        raise DataError(f"The {split} split is empty. {cure}, or use another split.")
    return images.take(slice(0, limit)) if limit else images


def order_fields(order: Order) -> dict[str, Order]:
    """The argument of a task that says in which order it takes its images; none for the order of the split."""
    return {"order": order} if order != "split" else {}


def _keep(splits: Any) -> ComponentSpec:
    """Remember a data set under its spec; ``complete`` refuses what is not one."""
    spec = complete("data", splits)
    if not isinstance(splits, Splits):
        raise ArgumentError(f"`data` is {type(splits).__name__}; expected a data set, such as `data=digits`.")
    _SPLITS[_key(spec)] = splits
    return spec


def _build(data: str | Mapping[str, Any]) -> Splits:
    if base_name(data) == "arrays":
        raise DataError("These data were in memory and are not at hand. Pass the same data again (`data=(x, y)`).")
    splits: Splits = build("data", data)
    return splits


def _key(data: Any) -> str:
    """Sets that are known by name are another set under another data root."""
    return f"{data_root()} {canonical(data)}"
