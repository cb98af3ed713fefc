"""What stands between pixels in [0, 1] and a classifier that reads and says something else."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import InputError

OUTPUTS = ("logits", "probabilities")
TINY = 1e-30


class IOAdapter(nn.Module):
    """A classifier behind its normalisation, whose answers are logits.

    Args:
        net: the classifier.
        mean, std: of each channel, taken from the pixels before the classifier reads them; empty for none.
        outputs: ``probabilities`` are made logits by their logarithm.
    """

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], outputs: str) -> None:
        super().__init__()
        self.net, self.outputs = net, outputs
        self.mean = nn.Buffer(torch.tensor(mean).view(-1, 1, 1), persistent=False) if mean else None
        self.std = nn.Buffer(torch.tensor(std).view(-1, 1, 1), persistent=False) if std else None
        self.training = net.training  # the mode that it came in is for the checks to see

    def forward(self, x: Float[Tensor, "b *d"]) -> Any:
        out = self.said(x)
        # A probability of 0 has no logarithm: the least one stands for it. What is no tensor is for the checks to see.
        return out.clamp_min(TINY).log() if self.outputs == "probabilities" and isinstance(out, Tensor) else out

    def said(self, x: Float[Tensor, "b *d"]) -> Any:
        """What the classifier itself returns."""
        if self.mean is not None and self.std is not None:
            return self.net((x - self.mean) / self.std)
        return self.net(x.clone())  # which it may write to


def check_io(mean: tuple[float, ...], std: tuple[float, ...], outputs: str) -> None:
    if len(mean) != len(std):
        raise InputError(f"--mean has {len(mean)} numbers and --std {len(std)}; give both, a number for each channel.")
    if not all(isfinite(v) for v in mean) or not all(isfinite(v) and v > 0 for v in std):
        raise InputError(f"--mean is {mean} and --std {std}; expected finite numbers, and --std above 0.")
    if any(v > 2 for v in (*mean, *std)):
        raise InputError(
            f"--mean is {mean} and --std {std}, which looks like pixels from 0 to 255; divide both by 255."
        )
    if outputs not in OUTPUTS:
        raise InputError(f"--outputs is {outputs!r}; expected {' or '.join(OUTPUTS)}.")
