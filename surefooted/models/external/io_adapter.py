"""The adapter between pixels in [0, 1] and logits, and a classifier with other inputs or outputs."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import ArgumentError, ModelError
from surefooted.models.guard import call_network

# What a classifier may return; ``to_logits`` says what each is.
OUTPUTS = ("logits", "probabilities", "log_probabilities", "sigmoid", "labels")
_MIN_PROBABILITY = 1e-30


class IOAdapter(nn.Module):
    """A classifier with its normalisation before it and logits as its output.

    Args:
        net: the classifier.
        mean: per-channel mean that is subtracted from the pixels; empty for no normalisation.
        std: per-channel standard deviation by which the pixels are divided; empty for no normalisation.
        outputs: what the classifier returns; see ``to_logits``.
        classes: number of classes, needed for labels.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Softmax(-1))
        >>> adapter = IOAdapter(net, mean=(0.5,), std=(0.25,), outputs="probabilities")
        >>> x = torch.rand(2, 1, 1, 3)
        >>> adapter(x).softmax(-1).allclose(net((x - 0.5) / 0.25))
        True
    """

    guards_itself = True  # the classifier is called by ``call_network``

    def __init__(
        self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], outputs: str, classes: int = 0
    ) -> None:
        super().__init__()
        self.net, self.outputs, self.classes = net, outputs, classes
        self.differentiable = outputs != "labels"
        self.mean = nn.Buffer(torch.tensor(mean).view(-1, 1, 1), persistent=False) if mean else None
        self.std = nn.Buffer(torch.tensor(std).view(-1, 1, 1), persistent=False) if std else None
        self.training = net.training  # kept, because the sanity checks examine the mode in which a classifier arrives

    def forward(self, x: Float[Tensor, "b *d"]) -> Any:
        out = self.raw(x)
        # The sanity checks refuse what is not a tensor.
        return to_logits(out, self.outputs, n=len(x), classes=self.classes) if torch.is_tensor(out) else out

    def raw(self, x: Float[Tensor, "b *d"]) -> Any:
        """The classifier's own output for pixels in [0, 1]."""
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return call_network(self.net, x)


def to_logits(out: Tensor, outputs: str, *, n: int, classes: int = 0) -> Tensor:
    """The logits that stand for a classifier's outputs.

    Args:
        out: what it returned for ``n`` images.
        outputs: ``logits``; ``log_probabilities``, which are logits; ``probabilities``, whose logarithms are logits, or
            (n,) or (n, 1) probabilities of class 1 of two; ``sigmoid``: (n,) or (n, 1) logits z of class 1 of two,
            whose logits are (0, z); ``labels``: (n,) or (n, 1) class indices, which have probability 1.
        n: number of images.
        classes: number of classes, for labels.

    Raises:
        ModelError: if the shape does not fit.

    Example:
        >>> to_logits(torch.tensor([2.0]), "sigmoid", n=1)
        tensor([[0., 2.]])
        >>> to_logits(torch.tensor([0.25]), "probabilities", n=1).exp()
        tensor([[0.7500, 0.2500]])
        >>> to_logits(torch.tensor([1]), "labels", n=1, classes=3).exp()
        tensor([[1.0000e-30, 1.0000e+00, 1.0000e-30]])
    """
    if outputs in ("logits", "log_probabilities"):
        return out
    column = out.reshape(-1, 1) if out.shape in ((n,), (n, 1)) else None
    if outputs == "probabilities":
        p = out if column is None else torch.cat([1 - column, column], 1)
        p = p if p.is_floating_point() else p.float()
        return p.clamp_min(_MIN_PROBABILITY).log()  # the logarithm of 0 is infinite
    if column is None:
        expected = "one logit" if outputs == "sigmoid" else "one label"
        raise ModelError(
            f"The model's outputs have shape {tuple(out.shape)} for {n} images; with `outputs={outputs}`, expected "
            f"{expected} per image."
        )
    if outputs == "sigmoid":
        return torch.cat([torch.zeros_like(column), column], 1)
    return _one_hot(column[:, 0], classes).clamp_min(_MIN_PROBABILITY).log()


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """Probability 1 for each label; a label that is NaN is no answer."""
    missing = labels.isnan()
    known = torch.where(missing, torch.zeros_like(labels), labels)
    index = known.long()
    if bool((index != known).any()) or bool(((index < 0) | (index >= classes)).any()):
        wrong = known[(index != known) | (index < 0) | (index >= classes)][0]
        raise ModelError(
            f"The model returns the label {wrong.item():g}; expected whole numbers from 0 to {classes - 1}, one per "
            "class. Map its labels to the indices of the classes."
        )
    p = torch.nn.functional.one_hot(index, classes).float()
    return p.masked_fill(missing[:, None], torch.nan)


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
    check_outputs(outputs)


def check_outputs(outputs: str) -> None:
    """Refuse an unknown type of output.

    Raises:
        ArgumentError: if it is unknown.
    """
    if outputs not in OUTPUTS:
        raise ArgumentError(f"`outputs` is {outputs!r}; expected {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}.")
