"""Pretrained classifiers from the hubs of ``timm`` and ``transformers``, if these packages are installed.

A classifier comes with the preprocessing that its hub states. It is compared with the hub's own processor, and refused
if that does more to an image than a normalisation can; see ``preprocessing``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.core.packages import broken_package, import_package
from surefooted.errors import ModelError, Notice
from surefooted.models.external.preprocessing import Processor, measure_preprocessing

HUBS = ("timm", "transformers")
# Settings of processors that do more than normalise, quoted in messages.
_SETTINGS = ("size", "resample", "crop_size", "crop_pct", "pad_size", "input_size", "crop_mode", "interpolation")

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Per-channel mean and standard deviation."""


class LogitsOutput(nn.Module):
    """Returns the logits alone of a model whose output has several fields, as those of transformers do.

    Example:
        >>> from types import SimpleNamespace
        >>> class Model(nn.Module):
        ...     def forward(self, x):
        ...         return SimpleNamespace(logits=x.flatten(1), hidden_states=None)
        >>> import torch
        >>> LogitsOutput(Model())(torch.rand(2, 1, 1, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.training = net.training

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        logits: Tensor = self.net(x).logits
        return logits


class _HubModel(NamedTuple):
    """What a hub gives: the network, its processor (or why there is none), and what its configuration states.

    Attributes:
        stated: mean and standard deviation, if it normalises.
        settings: of the processor, for messages.
        classes: names of the outputs; empty if unknown.
    """

    net: nn.Module
    processor: Processor | str
    stated: tuple[Any, Any] | None
    settings: str
    classes: tuple[str, ...]


def load_from_hub(
    hub: str,
    name: str,
    shape: tuple[int, ...],
    *,
    normalisation: Normalisation | None = None,
    classes: Sequence[str] = (),
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """Load a pretrained classifier in evaluation mode.

    Args:
        hub: ``timm`` or ``transformers``.
        name: of the model on the hub.
        shape: (C, H, W) of the images; the hub's processor is compared with the normalisation on such images.
        normalisation: mean and standard deviation that the user states instead of the hub's. A warning says if the
            hub's processor does anything else.
        classes: names of the data's classes. A warning says if the model has them in another order.

    Returns:
        The classifier, and the per-channel mean and standard deviation of its normalisation.

    Raises:
        DependencyError: if the hub's package is missing or broken.
        ModelError: if the hub has no such model, cannot be reached, or its processor does more than a normalisation.
    """
    package = import_package(hub, f"{hub}:{name}", hub, cure=_cure(hub))
    try:
        loaded = (_load_timm if hub == "timm" else _load_transformers)(package, name)
    except ImportError as error:  # both packages import their parts when these are first used
        raise broken_package(hub, f"{hub}:{name}", error, _cure(hub)) from None
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise ModelError(f"{hub} cannot load the model {name!r}: {error}") from None
    _check_class_order(f"{hub}:{name}", loaded.classes, classes)
    if isinstance(loaded.processor, str):
        if normalisation:
            return loaded.net, *normalisation
        raise ModelError(
            f"{hub}:{name} has no usable image processor ({loaded.processor}), so nobody knows how it normalises "
            "pixels. State it with `mean` and `std`; 0 and 1 for pixels in [0, 1]."
        )
    try:
        preprocessing = measure_preprocessing(loaded.processor, shape, loaded.stated)
    except ModelError as error:
        fault = f"The image processor of {hub}:{name} cannot be reproduced on pixels: {error} ({loaded.settings})."
        if normalisation:
            warnings.warn(f"{fault} `mean` and `std` are used as given instead.", Notice, stacklevel=2)
            return loaded.net, *normalisation
        raise ModelError(
            f"{fault} Use images as it leaves them. If they are that already, state the normalisation with `mean` and "
            f"`std`{_describe(loaded.stated)}; or do all of it in a module of your own (MODULE:FUNCTION)."
        ) from None
    net, mean, std = preprocessing.adapt(loaded.net, shape[0])
    if normalisation and not _is_same((mean, std), normalisation):
        warnings.warn(
            f"{hub}:{name} normalises with mean {mean or 0} and std {std or 1}; `mean` {normalisation[0]} and `std` "
            f"{normalisation[1]} are used as given instead.",
            Notice,
            stacklevel=2,
        )
        return net, *normalisation
    return net, mean, std


def _is_same(one: Normalisation, other: Normalisation) -> bool:
    """Whether two normalisations do the same to every pixel; none is a mean of 0 and a standard deviation of 1."""
    pairs = zip(one, other, (0.0, 1.0))
    return all(np.allclose(a or (none,), b or (none,), rtol=1e-4, atol=1e-4) for a, b, none in pairs)


def _cure(hub: str) -> str:
    return f"Install versions of {hub}, torch and torchvision that belong together."


def _load_timm(timm: Any, name: str) -> _HubModel:
    net = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(net)
    transform = timm.data.create_transform(**config, is_training=False)
    classes = (getattr(net, "pretrained_cfg", None) or {}).get("label_names") or ()
    stated = config.get("mean"), config.get("std")

    def process(images: list[Any]) -> Tensor:
        return torch.stack([transform(image) for image in images])

    return _HubModel(net.eval(), process, stated, _list_settings(config), tuple(map(str, classes)))


def _load_transformers(transformers: Any, name: str) -> _HubModel:
    # Weights as safetensors only: older repositories hold pickles.
    net = transformers.AutoModelForImageClassification.from_pretrained(name, use_safetensors=True)
    labels = getattr(getattr(net, "config", None), "id2label", None) or {}
    classes = tuple(str(labels[k]) for k in sorted(labels, key=int))
    victim = LogitsOutput(net).eval()
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name)
    except (ImportError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        return _HubModel(victim, first_line, None, "", classes)

    def process(images: list[Any]) -> Any:
        inputs = processor(images=images, return_tensors="pt")
        if set(inputs) != {"pixel_values"}:
            raise ModelError(f"it returns {', '.join(sorted(inputs))}; expected pixel_values alone")
        return inputs["pixel_values"]

    normalises = getattr(processor, "do_normalize", True)
    stated = (
        (getattr(processor, "image_mean", None), getattr(processor, "image_std", None)) if normalises else (0.0, 1.0)
    )
    return _HubModel(victim, process, stated, _list_settings(vars(processor)), classes)


def _list_settings(config: Mapping[str, Any]) -> str:
    given = (f"{name}={config[name]}" for name in _SETTINGS if config.get(name) is not None)
    return ", ".join(given) or "its settings name no size"


def _describe(stated: tuple[Any, Any] | None) -> str:
    return f" (its own: {stated[0]} and {stated[1]})" if stated and None not in stated else ""


def _check_class_order(source: str, theirs: Sequence[str], ours: Sequence[str]) -> None:
    """Warn if model and data have the same classes in another order: every label would mean another class."""
    named, expected = ([name.strip().casefold().replace("_", " ") for name in names] for names in (theirs, ours))
    if named != expected and sorted(named) == sorted(expected):
        k = next(k for k, (one, other) in enumerate(zip(named, expected)) if one != other)
        warnings.warn(
            f"{source} has the classes of the data in another order: its output {k} is {theirs[k]!r}, and label {k} of "
            f"the data is {ours[k]!r}. Accuracies will be wrong; reorder the outputs or the labels.",
            Notice,
            stacklevel=3,
        )
