"""Which classifier a command means: a network of the store, a weights file, an ensemble, or Monte Carlo dropout."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import hexdigits
from typing import Any

from torch import nn

from surefooted.components.code import is_code, may_be_stored
from surefooted.components.spec import digest
from surefooted.core.files import read_json, read_tensors, with_hint
from surefooted.errors import ArgumentError, DataError, StoreError
from surefooted.models.external import ModelOptions, is_external
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    DeepEnsemble,
    MCDropout,
    Source,
    TrainTask,
    WeightsFile,
    external_source,
    load_splits,
)
from surefooted.pipeline.tasks.base import trainings_of, without_location

_FIELDS = ("method", "net", "data", "recipe", "seed", "precision")


def find_victim(model: str, store: Store) -> Source:
    """The victim that a string names.

    Args:
        model: ``KEY`` or its first digits, ``FILE.safetensors``, ``KEY,KEY,...`` (a deep ensemble) or ``KEY@10`` (10
            dropout masks).

    Raises:
        InputError: if there is no such network, or it cannot be part of an ensemble.
    """
    if is_external(model):
        raise ArgumentError(
            f"{model} names an external classifier; this command takes networks that surefooted trained (a key or a "
            f".safetensors file). To evaluate it, run: surefooted audit --model {model} --data NAME."
        )
    if Path(model).suffix or "/" in model:
        return WeightsFile(Path(model))
    if "," in model:
        return DeepEnsemble(tuple(find_training(key.strip(), store) for key in model.split(",")))
    key, at, masks = model.partition("@")
    if not at:
        return find_training(key, store)
    if not masks.isdecimal() or int(masks) < 1:
        raise ArgumentError(f"`model` is {model!r}; expected a number of dropout masks after the @, as in {key}@10.")
    return MCDropout(find_training(key, store), int(masks))


def find_model(
    model: nn.Module | Source | str | Path, store: Store, data: Any = None, options: ModelOptions | None = None
) -> Source:
    """The victim that anything which names a classifier stands for.

    Args:
        model: a module, a source, the name of an external classifier (see ``external_source``), or what ``find_victim``
            takes.
        data: complete spec of the data set that it will read; needed for an external classifier.
        options: how an external classifier is to be read.

    Raises:
        InputError: if there is no such classifier, or the options do not go with it.
    """
    if isinstance(model, str | Path) and not is_external(str(model)):
        model = find_victim(str(model), store)
    return external_source(model, data, options)


def find_training(key: str, store: Store) -> TrainTask:
    """The training in the store whose key begins with ``key``.

    Its key is verified against its stored arguments, and its data against their checksum. The code of its components
    may have changed since: the weights are those that were trained.
    """
    if not key or set(key.lower()) - set(hexdigits):
        raise ArgumentError(
            f"{key!r} is no key of a stored network (hexadecimal digits) and no file.{_module_hint(key)}"
        )
    place = store.find("train", key)
    with with_hint(f"Delete {place} and train again."):
        spec = read_json(place / "spec.json")
    for name in _component_names(spec):
        if is_code(name) and not may_be_stored(name):
            raise StoreError(
                f"{place / 'spec.json'} names the code {name}, which a store may not: expected your own code with its "
                f"hash. Delete {place} and train again."
            )
    try:
        task = TrainTask(**{name: spec[name] for name in _FIELDS}, record=spec.get("record"), stored_key=place.name)
        intact = _key_of(spec) == place.name
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StoreError(f"{place / 'spec.json'} is damaged. Delete {place} and train again.") from None
    if not intact:
        with store.reading("train", place.name):
            pass  # raises if the artifact is damaged
        raise StoreError(
            f"Another version of surefooted trained {key}, in a way that this one does not repeat. Train again, or "
            f"give the weights themselves: `model={place / 'weights.safetensors'}` and `data=NAME`."
        )
    if load_splits(task.data).checksum != spec.get("checksum"):
        raise DataError(
            f"The data are no longer those that {key} was trained on. Restore them, train again, or give the weights "
            f"themselves: `model={place / 'weights.safetensors'}` and `data=NAME`."
        )
    return task


def _component_names(spec: Any) -> Iterator[str]:
    """The names of components in a spec, at any depth."""
    if isinstance(spec, dict):
        for name, value in spec.items():
            yield name
            yield from _component_names(value)
    elif isinstance(spec, list):
        for part in spec:
            yield from _component_names(part)


def stored_metadata(victim: Source, store: Store) -> dict[str, Any]:
    """What the file of a network's weights says of its training, such as the ``shape`` of the images (C, H, W).

    Raises:
        StoreError: if the file does not say that.
    """
    training = next(iter(trainings_of(victim)), None)
    file = victim.file if isinstance(victim, WeightsFile) else training.path(store) / "weights.safetensors"  # type: ignore[union-attr]  # every other source is made of trainings
    about = read_tensors(file)[1]
    shape = about.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise StoreError(f"{file} does not state the shape of its images; expected a file that surefooted wrote.")
    return about


def _module_hint(name: str) -> str:
    """The functions of a Python file of that name, which is read and not run; how to list keys if there is none."""
    try:
        content = ast.parse(Path(f"{name.replace('.', '/')}.py").read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return " To list the keys, run: surefooted trained. An external classifier is MODULE:FUNCTION."
    functions = [
        f"{name}:{one.name}"
        for one in content.body
        if isinstance(one, ast.FunctionDef) and len(one.args.args) == len(one.args.defaults)
    ]
    return f" {name} is a Python module: write MODULE:FUNCTION, such as {', '.join(functions[:5]) or f'{name}:model'}."


def _key_of(spec: dict[str, Any]) -> str:
    """The key that the arguments in a stored ``spec.json`` give."""
    return digest({**spec, "version": TrainTask.version, "data": without_location(spec["data"])})
