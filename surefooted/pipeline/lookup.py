"""Which classifier a command means: a network of the store, a file, several networks as one, or dropout left on."""

from __future__ import annotations

from pathlib import Path

from surefooted.core.files import read_json, with_hint
from surefooted.errors import InputError
from surefooted.models.external import is_external
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import DeepEnsemble, MCDropout, Source, TrainTask, WeightsFile


def find_victim(model: str, store: Store) -> Source:
    """``KEY`` or its beginning, ``FILE.safetensors``, ``KEY,KEY,...`` (a deep ensemble) or ``KEY@10`` (dropout masks).

    Raises:
        InputError: where there is no such network, or it cannot be one of several.
    """
    if is_external(model):
        raise InputError(
            f"{model} names a classifier that is not ours, and this takes networks that surefooted trained (a key or a "
            f".safetensors file). To evaluate it: surefooted audit --model {model} --data NAME."
        )
    if Path(model).suffix or "/" in model:
        return WeightsFile(Path(model))
    if "," in model:
        return DeepEnsemble(tuple(_trained(key.strip(), store) for key in model.split(",")))
    key, at, masks = model.partition("@")
    if not at:
        return _trained(key, store)
    if not masks.isdecimal() or int(masks) < 1:
        raise InputError(f"--model is {model!r}; expected a number of dropout masks behind the @, as in {key}@10.")
    return MCDropout(_trained(key, store), int(masks))


def _trained(key: str, store: Store) -> TrainTask:
    """The training whose key begins so."""
    place = store.find("train", key)
    with with_hint(f"Delete {place} and train again."):
        about = read_json(place / "spec.json")
    slots = ("method", "net", "data", "recipe", "seed", "precision")
    try:
        task = TrainTask(**{slot: about[slot] for slot in slots}, record=about.get("record"))
    except (KeyError, TypeError):
        raise InputError(f"{place / 'spec.json'} is damaged; delete {place} and train again.") from None
    if task.key != place.name:
        with store.reading("train", place.name):
            pass  # it is damage, if there is any, and not another code
        raise InputError(
            f"the data, or the code of a component, are no longer those that {key} was trained with. Train again, or "
            f"give the weights themselves: --model {place / 'weights.safetensors'} --data NAME"
        )
    return task
