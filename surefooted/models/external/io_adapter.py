"""The adapter between pixels in [0, 1] and logits, and a classifier with other inputs or outputs."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import ArgumentError
from surefooted.models.guard import call_network

OUTPUTS = ("logits", "probabilities")
_MIN_PROBABILITY = 1e-30


class IOAdapter(nn.Module):
    """A classifier with its normalisation before it and logits as its output.

    Args:
        net: the classifier.
        mean: per-channel mean that is subtracted from the pixels; empty for no normalisation.
        std: per-channel standard deviation by which the pixels are divided; empty for no normalisation.
        outputs: what the classifier returns, ``logits`` or ``probabilities``. The logarithms of probabilities are
            their logits.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Softmax(-1))
        >>> adapter = IOAdapter(net, mean=(0.5,), std=(0.25,), outputs="probabilities")
        >>> x = torch.rand(2, 1, 1, 3)
        >>> adapter(x).softmax(-1).allclose(net((x - 0.5) / 0.25))
        True
    """

    guards_itself = True  # the classifier is called by ``call_network``

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], outputs: str) -> None:
        super().__init__()
        self.net, self.outputs = net, outputs
        self.mean = nn.Buffer(torch.tensor(mean).view(-1, 1, 1), persistent=False) if mean else None
        self.std = nn.Buffer(torch.tensor(std).view(-1, 1, 1), persistent=False) if std else None
        self.training = net.training  # kept, because the sanity checks examine the mode in which a classifier arrives

    def forward(self, x: Float[Tensor, "b *d"]) -> Any:
        out = self.raw(x)
        # The logarithm of 0 is infinite, so probabilities are clamped. The sanity checks refuse what is not a tensor.
        return (
            out.clamp_min(_MIN_PROBABILITY).log() if self.outputs == "probabilities" and torch.is_tensor(out) else out
        )

    def raw(self, x: Float[Tensor, "b *d"]) -> Any:
        """The classifier's own output for pixels in [0, 1]."""
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return call_network(self.net, x)


def check_io(mean: tuple[float, ...], std: tuple[float, ...], outputs: str) -> None:
    """Refuse a normalisation or an output type that no ``IOAdapter`` can have.

    Raises:
        ArgumentError: if an argument is wrong.
    """
    if len(mean) != len(std):
        raise ArgumentError(
            f"`mean` has {len(mean)} numbers and `std` has {len(std)}; expected one number per channel in both."
        )
    if not all(isfinite(v) for v in mean) or not all(isfinite(v) and v > 0 for v in std):
        raise ArgumentError(f"`mean` is {mean} and `std` is {std}; expected finite numbers, and `std` above 0.")
    if any(v > 2 for v in (*mean, *std)):
        raise ArgumentError(
            f"`mean` is {mean} and `std` is {std}, which looks like pixels from 0 to 255. Divide both by 255."
        )
    if outputs not in OUTPUTS:
        raise ArgumentError(f"`outputs` is {outputs!r}; expected {' or '.join(OUTPUTS)}.")
