"""Victims: a classifier as attacks and metrics see it, ``(B, *D)`` points to ``(S, B, K)`` logits.

A view says how to read a network: as it is, as one of an ensemble or with its dropout left on (``ensembles``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from surefooted.core.rng import torch_seed
from surefooted.core.types import Points, check_pixels, check_points
from surefooted.errors import InputError

Mode = Literal["eval", "train"]


@runtime_checkable
class Victim(Protocol):
    """What is attacked.

    Attributes:
        nets: the modules whose weights, buffers and modes must be left as they were found.
        box: the least and greatest value of a coordinate that is attacked.
    """

    @property
    def nets(self) -> tuple[nn.Module, ...]: ...

    @property
    def box(self) -> tuple[float, float]: ...

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *z"]:
        """From pixels to the coordinates that are attacked (pixels themselves but for a latent view)."""

    def __call__(self, z: Float[Tensor, "b *z"]) -> Float[Tensor, "s b k"]:
        """Logits, one slice per sample of the model."""


@dataclass(frozen=True, eq=False)
class NetworkVictim:
    """One network as it is: S = 1, attacked in its pixels."""

    net: nn.Module
    box: tuple[float, float] = (0.0, 1.0)

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    def __call__(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "1 b k"]:
        return self.net(z)[None]


def as_victim(model: nn.Module | Victim) -> Victim:
    """A bare module is read as it is; one that is a victim already, such as an ensemble, as it says."""
    if isinstance(model, Victim):
        return model
    if not isinstance(model, nn.Module):
        raise InputError(
            f"a classifier is a torch.nn.Module from pixels in [0, 1] to logits, or a view of one; got "
            f"{type(model).__name__}. Wrap a function in a module whose forward calls it."
        )
    return NetworkVictim(model)


def device_of(victim: Victim) -> torch.device | None:
    """Where its weights and buffers are; None where it has none that can be seen."""
    held = (t for net in victim.nets for t in (*net.parameters(), *net.buffers()))
    return next((t.device for t in held), None)


def check_input(victim: Victim, points: Points, batch: int, *, boxed: bool = True) -> None:
    """Refuse points that the victim cannot be asked about; with ``boxed`` such outside [0, 1], too."""
    check_points(points)
    check_not_empty(len(points.y), batch)
    precision = {w.dtype for net in victim.nets for w in net.parameters()}
    if points.x.dtype == torch.float64 and precision and torch.float64 not in precision:
        raise InputError("images are float64, and the model is not; give Points(x.float(), y, rows).")
    if boxed:
        check_pixels(points.x)


def check_not_empty(count: int, batch: int) -> None:
    if batch < 1:
        raise InputError(f"batch is {batch}; expected a whole number from 1.")
    if not count:
        raise InputError(
            "there are no images, so no points to ask about; give at least one (where a split is empty: "
            "--data.validation 0.1)."
        )


def to_device_of(victim: Victim, points: Points) -> Points:
    """Points where the victim's weights are, with classes and rows as torch's functions take them."""
    device = device_of(victim)
    whole = Points(points.x, points.y.long(), points.rows.long())
    return whole if device is None else whole.to(device)


def classes_of(victim: Victim, x: Float[Tensor, "b *d"], y: Integer[Tensor, " n"]) -> int:
    """How many classes the victim tells apart, from its answer to a few images; labels beyond them are refused."""
    with untouched(victim), torch.no_grad():
        logits = victim(victim.lift(x))
    if logits.ndim != 3 or logits.shape[1] != len(x):
        raise InputError(f"the model's logits have shape {tuple(logits.shape[1:])}; expected (batch, classes).")
    classes, least, most = logits.shape[-1], int(y.min()), int(y.max())
    if least < 0 or most >= classes:
        raise InputError(f"labels go from {least} to {most}, but the model has {classes} classes.")
    return classes


@contextmanager
def untouched(victim: Victim, mode: Mode = "eval", seed: int | None = None) -> Iterator[None]:
    """Freeze the weights and set the mode; on leaving, everything is as it was: flags, modes, buffers, random state.

    Frozen weights save the gradients that nobody reads (a tenth of a step on a ResNet-18). A victim that draws at
    random does so from ``seed``, where one is given.
    """
    modules = [module for net in victim.nets for module in net.modules()]
    modes = [module.training for module in modules]
    trained = [weight for net in victim.nets for weight in net.parameters() if weight.requires_grad]
    # In evaluation mode no buffer moves and no dropout draws: there is nothing to keep.
    buffers = [(b, b.clone()) for net in victim.nets for b in net.buffers()] if mode == "train" else []
    devices = {weight.device for net in victim.nets for weight in net.parameters() if weight.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        if seed is not None:
            torch.default_generator.manual_seed(torch_seed(seed))
            for device in devices:
                torch.cuda.default_generators[device.index].manual_seed(torch_seed(seed))
        try:
            for net in victim.nets:
                net.train(mode == "train")
            for weight in trained:
                weight.requires_grad_(False)
            yield
        finally:
            for weight in trained:
                weight.requires_grad_(True)
            for module, training in zip(modules, modes):
                module.training = training
            with torch.no_grad():
                for buffer, kept in buffers:
                    buffer.copy_(kept)


@contextmanager
def channels_last(victim: Victim) -> Iterator[None]:
    """Convolutions channels last while it lasts, on a CPU: the same answers up to rounding, a LeNet's gradient in half.

    On a GPU that pays in half precision only, where training has laid them out so already.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    for module in (module for net in victim.nets for module in net.modules()):
        if isinstance(module, nn.Conv2d) and module.weight.device.type == "cpu":
            kept.append((module.weight, module.weight.data))
            # Not contiguous(): with one input channel that finds nothing to do, and the convolution takes the slow way.
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight, data in reversed(kept):  # a module may be there twice
            weight.data = data
