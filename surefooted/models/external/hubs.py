"""Pretrained classifiers from the hubs of ``timm`` and ``transformers``, if these packages are installed."""

from __future__ import annotations

import importlib
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import DependencyError, ModelError

HUBS = ("timm", "transformers")


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


def load_from_hub(hub: str, name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """Load a pretrained classifier in evaluation mode.

    Args:
        hub: ``timm`` or ``transformers``.
        name: of the model on the hub.

    Returns:
        The classifier, and the per-channel mean and standard deviation of its normalisation.

    Raises:
        DependencyError: if the hub's package is not installed.
        ModelError: if the hub has no such model, or cannot be reached.
    """
    try:
        package = importlib.import_module(hub)
    except ImportError as error:
        raise DependencyError(
            f"{hub}:{name} needs the package {hub} ({error}). Install it: pip install {hub}."
        ) from None
    try:
        return (_load_timm if hub == "timm" else _load_transformers)(package, name)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise ModelError(f"{hub} cannot load the model {name!r}: {error}") from None


def _load_timm(timm: Any, name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    net = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(net)
    return net.eval(), tuple(config["mean"]), tuple(config["std"])


def _load_transformers(transformers: Any, name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    # Weights as safetensors only: older repositories hold pickles.
    net = transformers.AutoModelForImageClassification.from_pretrained(name, use_safetensors=True)
    processor = transformers.AutoImageProcessor.from_pretrained(name)
    mean, std = (), ()
    if getattr(processor, "do_normalize", True):
        mean, std = tuple(processor.image_mean), tuple(processor.image_std)
    return LogitsOutput(net).eval(), mean, std
