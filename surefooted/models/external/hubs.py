"""Classifiers from the Hub, where ``timm`` or ``transformers`` is installed."""

from __future__ import annotations

import importlib
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import InputError

HUBS = ("timm", "transformers")


class Logits(nn.Module):
    """The logits of a model that returns them with other things, as those of transformers do."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.training = net.training

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.net(x).logits


def from_hub(hub: str, name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """A pretrained classifier, with the mean and std of the pixels that it reads.

    Raises:
        InputError: where the hub's package is not installed, or it has no such model.
    """
    try:
        package = importlib.import_module(hub)
    except ImportError as error:
        raise InputError(f"{hub}:{name} needs the package {hub} ({error}); install it: pip install {hub}.") from None
    try:
        return (_timm if hub == "timm" else _transformers)(package, name)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise InputError(f"{hub} cannot give the model {name!r}: {error}") from None


def _timm(timm: Any, name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    net = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(net)
    return net.eval(), tuple(config["mean"]), tuple(config["std"])


def _transformers(transformers: Any, name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    # Weights as safetensors only: older repositories hold pickles.
    net = transformers.AutoModelForImageClassification.from_pretrained(name, use_safetensors=True)
    reader = transformers.AutoImageProcessor.from_pretrained(name)
    mean, std = (), ()
    if getattr(reader, "do_normalize", True):
        mean, std = tuple(reader.image_mean), tuple(reader.image_std)
    return Logits(net).eval(), mean, std
