"""The victim: the classifier under attack, from points ``(B, *D)`` to logits ``(S, B, K)``.

Attacks, predictions and analyses call every classifier through this one interface, be it a single network
(``NetworkVictim``), an ensemble or Monte Carlo dropout (``models.ensembles``), or the second half of a network that is
attacked in its features (``models.latent``). The functions below check what a victim is given, and leave it unchanged.
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
from surefooted.errors import ArgumentError, DataError, ModelError

Mode = Literal["eval", "train"]


@runtime_checkable
class Victim(Protocol):
    """The classifier under attack.

    A victim has three parts. ``lift`` maps the pixels of an image to the coordinates that are attacked; for almost all
    victims these are the pixels themselves. A call maps these coordinates to logits, with one slice per sample of the
    model: S = 1 for a plain network, one per member of an ensemble, one per mask of Monte Carlo dropout. ``nets`` and
    ``box`` tell the attack what to leave unchanged and which values are allowed.

    A plain ``torch.nn.Module`` needs no wrapping: every function that takes a victim takes a module, too, and wraps it
    with ``as_victim``. Any object with these four members is a victim.

    Attributes:
        nets: the modules that compute the logits. Attacks freeze their weights, and restore weights, buffers and modes.
        box: minimum and maximum of an attacked coordinate, (0, 1) for pixels.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> victim = as_victim(net)
        >>> isinstance(victim, Victim), victim.box
        (True, (0.0, 1.0))
        >>> x = torch.rand(5, 1, 8, 8)
        >>> victim(victim.lift(x)).shape  # samples, images, classes
        torch.Size([1, 5, 10])
    """

    @property
    def nets(self) -> tuple[nn.Module, ...]: ...

    @property
    def box(self) -> tuple[float, float]: ...

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *z"]:
        """Map pixels to the coordinates that are attacked."""

    def __call__(self, z: Float[Tensor, "b *z"]) -> Float[Tensor, "s b k"]:
        """Compute logits, one slice per sample of the model."""


@dataclass(frozen=True, eq=False)
class NetworkVictim:
    """A single network, attacked in its pixels: S = 1.

    Example:
        >>> victim = NetworkVictim(nn.Flatten())
        >>> victim(torch.rand(2, 1, 1, 3)).shape
        torch.Size([1, 2, 3])
    """

    net: nn.Module
    box: tuple[float, float] = (0.0, 1.0)

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    def __call__(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "1 b k"]:
        logits = self.net(z)
        if not isinstance(logits, Tensor):
            raise ModelError(
                f"The classifier returns a {type(logits).__name__}; expected one tensor of logits. Wrap it in a module "
                "that returns the logits alone."
            )
        return logits[None]


def as_victim(model: nn.Module | Victim) -> Victim:
    """Wrap a module as a victim. A victim, such as an ensemble, is returned unchanged.

    Raises:
        ModelError: if the model is neither.

    Example:
        >>> type(as_victim(nn.Flatten())).__name__
        'NetworkVictim'
    """
    if isinstance(model, Victim):
        return model
    if not isinstance(model, nn.Module):
        raise ModelError(
            "A classifier is a torch.nn.Module from pixels in [0, 1] to logits, or a victim; got "
            f"{type(model).__name__}. Wrap a function in a module whose forward calls it."
        )
    return NetworkVictim(model)


def device_of(victim: Victim) -> torch.device | None:
    """The device of the victim's weights and buffers; None if it has none."""
    tensors = (t for net in victim.nets for t in (*net.parameters(), *net.buffers()))
    return next((t.device for t in tensors), None)


def check_input(victim: Victim, points: Points, batch: int, *, boxed: bool = True) -> None:
    """Refuse points that the victim cannot read.

    Args:
        victim: the classifier.
        points: images, labels and rows.
        batch: number of images per forward pass.
        boxed: also refuse pixels outside [0, 1].

    Raises:
        InputError: if the points are malformed, empty, of the wrong precision or outside [0, 1].
    """
    check_points(points)
    check_not_empty(len(points.y), batch)
    precision = {w.dtype for net in victim.nets for w in net.parameters()}
    if points.x.dtype == torch.float64 and precision and torch.float64 not in precision:
        raise DataError("The images are float64, but the model is not. Pass Points(x.float(), y, rows).")
    if boxed:
        check_pixels(points.x)


def check_not_empty(count: int, batch: int) -> None:
    """Refuse an empty set of images, and a batch size below 1."""
    if batch < 1:
        raise ArgumentError(f"`batch` is {batch}; expected a whole number of at least 1.")
    if not count:
        raise DataError(
            "There are no images; at least one is required. If the validation split is empty, set "
            "`data.validation=0.1`."
        )


def to_device_of(victim: Victim, points: Points) -> Points:
    """Points on the device of the victim's weights, with labels and rows as int64."""
    device = device_of(victim)
    points = Points(points.x, points.y.long(), points.rows.long())
    return points if device is None else points.to(device)


def infer_num_classes(victim: Victim, x: Float[Tensor, "b *d"], y: Integer[Tensor, " n"]) -> int:
    """The number of classes, from a forward pass on a few images.

    Args:
        victim: the classifier.
        x: a few images.
        y: labels of all images.

    Raises:
        ModelError: if the logits have the wrong shape.
        DataError: if a label is not among the classes.

    Example:
        >>> infer_num_classes(as_victim(nn.Flatten()), torch.rand(1, 1, 1, 3), torch.tensor([0, 2]))
        3
    """
    with untouched(victim), torch.no_grad():
        logits = victim(victim.lift(x))
    if logits.ndim != 3 or logits.shape[1] != len(x):
        raise ModelError(f"The model's logits have shape {tuple(logits.shape[1:])}; expected (batch, classes).")
    classes, lowest, highest = logits.shape[-1], int(y.min()), int(y.max())
    if lowest < 0 or highest >= classes:
        raise DataError(
            f"Labels range from {lowest} to {highest}, but the model has {classes} classes; expected labels from 0 to "
            f"{classes - 1}."
        )
    return classes


@contextmanager
def untouched(victim: Victim, mode: Mode = "eval", seed: int | None = None) -> Iterator[None]:
    """Freeze the weights and set the mode; on exit restore flags, modes, buffers and random state.

    Frozen weights save the gradients that nobody reads (a tenth of a step on a ResNet-18).

    Args:
        victim: the classifier.
        mode: of its networks inside the context.
        seed: of torch's generators inside the context, for a victim that draws random numbers; None keeps their state.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> with untouched(as_victim(net)):
        ...     print(net.training, net.weight.requires_grad)
        False False
        >>> print(net.training, net.weight.requires_grad)
        True True
    """
    modules = [module for net in victim.nets for module in net.modules()]
    modes = [module.training for module in modules]
    trained = [weight for net in victim.nets for weight in net.parameters() if weight.requires_grad]
    # In evaluation mode no buffer changes and no dropout draws, so there is nothing to save.
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
                for buffer, saved in buffers:
                    buffer.copy_(saved)


@contextmanager
def channels_last(victim: Victim) -> Iterator[None]:
    """Run convolutions channels last on a CPU, where a LeNet's gradient takes half the time; equal up to rounding.

    On a GPU channels last is faster in half precision only, and training has chosen it there already.
    """
    contiguous: list[tuple[Tensor, Tensor]] = []
    for module in (module for net in victim.nets for module in net.modules()):
        if isinstance(module, nn.Conv2d) and module.weight.device.type == "cpu":
            contiguous.append((module.weight, module.weight.data))
            # Not contiguous(memory_format=...): with one input channel that does nothing, and the convolution is slow.
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight, data in reversed(contiguous):  # a module may occur twice
            weight.data = data
