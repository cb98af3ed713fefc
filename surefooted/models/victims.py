"""The victim: the classifier under attack, from points ``(B, *D)`` to logits ``(S, B, K)``.

Attacks, predictions and analyses call every classifier through this one interface, be it a single network
(``NetworkVictim``), an ensemble or Monte Carlo dropout (``models.ensembles``), or the second half of a network that is
attacked in its features (``models.latent``). The functions below check what a victim is given, and leave it unchanged.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from surefooted.core.predictions import look_like_probabilities
from surefooted.core.rng import torch_seed
from surefooted.core.types import Points, check_pixels, check_points
from surefooted.errors import ArgumentError, DataError, ModelError, ModelNotice
from surefooted.models.guard import AUTOCAST_DEVICES, gives_gradients, is_known, model_errors, network_logits

Mode = Literal["eval", "train"]
# Images per forward pass by default, of predictions and of attacks alike: both ask in the same batches.
BATCH = 512
# Images on which a model is tried before it is used.
TRIED_IMAGES = 8
# Relative difference of the logits of an image in two batches that rounding cannot explain, in any precision.
_BATCH_TOLERANCE = 0.01


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
        return network_logits(self.net, z)[None]


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


def check_input(victim: Victim, points: Points, batch: int, *, boxed: bool = True) -> Points:
    """Refuse points that the victim cannot read.

    Args:
        victim: the classifier.
        points: images, labels and rows.
        batch: number of images per forward pass.
        boxed: also refuse pixels outside [0, 1].

    Returns:
        The points; pixels that rounding has put outside [0, 1] are clamped, unless ``boxed`` is False.

    Raises:
        InputError: if the points are malformed, empty, of the wrong precision or outside [0, 1].
    """
    check_points(points)
    check_not_empty(len(points.y), batch)
    precision = {w.dtype for net in victim.nets for w in net.parameters()}
    if points.x.dtype == torch.float64 and precision and torch.float64 not in precision:
        raise DataError("The images are float64, but the model is not. Pass Points(x.float(), y, rows).")
    return points._replace(x=check_pixels(points.x)) if boxed else points


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
    points = Points(*(_ordinary(column) for column in (points.x, points.y.long(), points.rows.long())))
    return points if device is None else points.to(device)


def infer_num_classes(
    victim: Victim, x: Float[Tensor, "b *d"], y: Integer[Tensor, " n"], *, mode: Mode = "eval", gradient: bool = False
) -> int:
    """The number of classes, from a forward pass on a few images. What a run will need is tried here, before its work.

    Args:
        victim: the classifier.
        x: a few images.
        y: labels of all images.
        mode: of the victim's networks.
        gradient: also try a backward pass.

    Raises:
        ModelError: if the model fails, the logits have the wrong shape, or its weights change with every answer.
        DataError: if a label is not among the classes.

    Example:
        >>> infer_num_classes(as_victim(nn.Flatten()), torch.rand(1, 1, 1, 3), torch.tensor([0, 2]))
        3
    """
    x = _ordinary(x)
    logits = try_model(victim, x, mode)
    if gradient:
        check_gradient(victim, x, mode)
    classes, lowest, highest = logits.shape[-1], int(y.min()), int(y.max())
    if lowest < 0 or highest >= classes:
        raise DataError(
            f"Labels range from {lowest} to {highest}, but the model has {classes} classes; expected labels from 0 to "
            f"{classes - 1}."
        )
    return classes


def tried_images(victim: Victim, batch: int) -> int:
    """Images on which a victim is tried before it is used: the answers of a black box may have a price."""
    return min(batch, TRIED_IMAGES if gives_gradients(victim.nets) else 2)


def try_model(victim: Victim, x: Float[Tensor, "b *d"], mode: Mode = "eval") -> Float[Tensor, "s b k"]:
    """The logits of a few images. A ``ModelNotice`` says what makes the answers of this victim doubtful.

    Args:
        victim: the classifier.
        x: a few images, such as the first ``TRIED_IMAGES``.
        mode: of the victim's networks.

    Raises:
        ModelError: if the model fails, the logits have the wrong shape, or its weights change with every answer.

    Example:
        >>> try_model(as_victim(nn.Flatten()), torch.rand(2, 1, 1, 3)).shape
        torch.Size([1, 2, 3])
    """
    free = gives_gradients(victim.nets)  # the answers of a black box may have a price: it is asked once
    unknown = [net for net in victim.nets if free and not is_known(net)]
    with untouched(victim, mode), torch.no_grad():
        x, weights = _ordinary(x), [weight for net in unknown for weight in net.parameters() if _is_plain(weight)]
        before = [weight.clone() for weight in weights]
        logits = victim(victim.lift(x))
        if logits.ndim != 3 or logits.shape[1] != len(x):
            raise ModelError(f"The model's logits have shape {tuple(logits.shape[1:])}; expected (batch, classes).")
        if _differ(weights, before):
            _check_weights_settle(victim, x, weights)
        depends_on_batch = any(map(_has_batch_statistics, victim.nets))
        if unknown and mode == "eval" and len(x) > 1:
            single = victim(victim.lift(x[:1]))  # attacks drop images: a batch may be of any size
            if single.shape == logits[:, :1].shape and _is_far(single, logits[:, :1]):
                again = victim(victim.lift(x))  # differs if the victim is stochastic
                depends_on_batch |= not _is_far(again, logits, _BATCH_TOLERANCE / 100)
    if depends_on_batch and mode == "eval":
        warnings.warn(
            "The model's answer to an image depends on the other images of the batch, in evaluation mode: batch norm "
            "without running statistics? Results will depend on `batch`. Give it running statistics.",
            ModelNotice,
            stacklevel=3,
        )
    if all(map(look_like_probabilities, logits)):
        warnings.warn(
            "The model's outputs look like probabilities: they are in [0, 1] and sum to 1. They are read as logits, so "
            "softmax is applied twice. Return the logits, or the logarithm of the probabilities.",
            ModelNotice,
            stacklevel=3,
        )
    return logits


def check_gradient(victim: Victim, x: Float[Tensor, "b *d"], mode: Mode = "eval") -> None:
    """Refuse a victim whose backward pass fails. One that is not differentiable, so that there is none, is accepted.

    Networks made of known layers are not tried: their backward pass works.

    Args:
        victim: the classifier.
        x: a few images.
        mode: of the victim's networks.

    Raises:
        ModelError: if it fails; the message states the cause.

    Example:
        >>> check_gradient(as_victim(nn.Flatten()), torch.rand(1, 1, 1, 3))
    """
    if any(weight.is_inference() for net in victim.nets for weight in net.parameters()):
        raise ModelError(
            "The model's weights were made in inference mode, so it has no gradient. Build or load it outside "
            "torch.inference_mode()."
        )
    if all(is_known(net) for net in victim.nets) or not gives_gradients(victim.nets):
        return
    with untouched(victim, mode):
        point = victim.lift(x).detach().clone().requires_grad_()
        value = victim(point).sum()
        if value.requires_grad:
            with model_errors("The model's backward pass failed"):
                torch.autograd.grad(value, point, allow_unused=True)


@contextmanager
def untouched(
    victim: Victim, mode: Mode = "eval", seed: int | None = None, *, in_training: bool = False
) -> Iterator[None]:
    """Freeze the weights and set the mode; on exit restore flags, modes, weights, buffers and random state.

    Frozen weights save the gradients that nobody reads (a tenth of a step on a ResNet-18). Gradients are allowed and
    autocast is off inside, whatever the caller's script has set, so that results do not depend on it.

    Args:
        victim: the classifier.
        mode: of its networks inside the context.
        seed: of torch's generators inside the context, for a victim that draws random numbers; None keeps their state.
        in_training: this is part of a training step, in the precision of which it runs: autocast stays.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> with untouched(as_victim(net)):
        ...     print(net.training, net.weight.requires_grad)
        False False
        >>> print(net.training, net.weight.requires_grad)
        True True
    """
    check_initialised(victim)
    modules = [module for net in victim.nets for module in net.modules()]
    modes = [module.training for module in modules]
    weights = (weight for net in victim.nets for weight in net.parameters())
    trained = [weight for weight in weights if weight.requires_grad and not weight.is_inference()]
    unknown = [net for net in victim.nets if not is_known(net)]
    # In evaluation mode no buffer of a known network changes and no dropout draws, so there is nothing to save.
    buffers = _save_tensors(victim.nets if mode == "train" else unknown, weights=False)
    own = [] if in_training else _save_tensors(unknown, weights=True)
    devices = {weight.device for net in victim.nets for weight in net.parameters() if weight.is_cuda}
    with (
        torch.random.fork_rng(devices=list(devices)),
        _other_generators(seed, unknown),
        _own_settings(autocast=in_training),
    ):
        if seed is not None:
            torch.default_generator.manual_seed(torch_seed(seed))
            for device in devices:
                torch.cuda.default_generators[device.index].manual_seed(torch_seed(seed))
        try:
            for net in victim.nets:
                _set_mode(net, mode == "train")
            for weight in trained:
                weight.requires_grad_(False)
            yield
        finally:
            for weight in trained:
                weight.requires_grad_(True)
            for module, training in zip(modules, modes):
                if module.training != training:
                    module.training = training
            _restore_tensors(buffers)
            _restore_tensors([entry for entry in own if _has_changed(entry)])


def check_initialised(victim: Victim) -> None:
    """Refuse a network with lazy layers whose weights do not exist yet.

    Raises:
        ModelError: if there are any; the message names them.

    Example:
        >>> check_initialised(as_victim(nn.LazyLinear(3)))
        Traceback (most recent call last):
        surefooted.errors.ModelError: The model has lazy layers ... (weight, bias). Call it once ...
    """
    lazy = [name for net in victim.nets for name, weight in net.named_parameters() if is_lazy(weight)]
    if lazy:
        raise ModelError(
            f"The model has lazy layers without weights ({', '.join(lazy[:5])}). Call it once on a batch of images, "
            "then load or train its weights."
        )


def _set_mode(net: nn.Module, training: bool) -> None:
    """Call ``train`` or ``eval``, unless the network is in that mode already or, as exported programs, has only one."""
    if all(module.training == training for module in net.modules()):
        return
    try:
        net.train(training)
    except NotImplementedError:
        for child in net.children():
            _set_mode(child, training)


def _has_batch_statistics(net: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) and module.running_mean is None for module in net.modules())


def _is_far(a: Tensor, b: Tensor, tolerance: float = _BATCH_TOLERANCE) -> bool:
    """Whether logits differ by more than rounding, by default in half precision."""
    return bool((a - b).abs().nan_to_num(0.0).max() > tolerance * b.nan_to_num(0.0, 0.0, 0.0).abs().max())


def _is_plain(weight: Tensor) -> bool:
    """Whether a weight is an ordinary tensor, not a subclass that stands for a compressed or distributed one."""
    return type(weight.data) is Tensor and weight.layout == torch.strided and not is_lazy(weight)


def _differ(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return not all(
        torch.equal(one, other) or torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(a, b, strict=True)
    )


def _check_weights_settle(victim: Victim, x: Tensor, weights: Sequence[Tensor]) -> None:
    """Say that a forward pass sets weights, as that of a binary network does; refuse one that moves them each time."""
    settled = [weight.clone() for weight in weights]
    victim(victim.lift(x))
    if _differ(weights, settled):
        raise ModelError(
            "The model changes its weights in every forward pass, so its answers depend on how often it was asked. "
            "Move the update out of forward, into the training loop."
        )
    warnings.warn(
        "The model sets its own weights in its forward pass. They are restored after each use.",
        ModelNotice,
        stacklevel=4,
    )


_Saved = tuple[nn.Module, str, Tensor, Tensor]


def _save_tensors(nets: Sequence[nn.Module], *, weights: bool) -> list[_Saved]:
    """The buffers of networks, or their weights."""
    modules = (module for net in nets for module in net.modules())
    return [
        (module, name, tensor, tensor.detach().clone())
        for module in modules
        for name, tensor in (module.named_parameters if weights else module.named_buffers)(recurse=False)
        if not weights or _is_plain(tensor)
    ]


def _has_changed(entry: _Saved) -> bool:
    module, name, tensor, saved = entry
    replaced = getattr(module, name) is not tensor and not isinstance(module, torch.jit.ScriptModule)
    return replaced or _differ([tensor], [saved])


def _restore_tensors(tensors: Sequence[_Saved]) -> None:
    """Restore the values, and the tensors themselves where a forward pass has put others in their place."""
    with torch.no_grad():
        for module, name, tensor, saved in tensors:
            with torch.inference_mode(tensor.is_inference()):  # such a tensor can be written there only
                tensor.detach().copy_(saved)
            if getattr(module, name) is not tensor and not isinstance(module, torch.jit.ScriptModule):
                setattr(module, name, tensor)


@contextmanager
def _other_generators(seed: int | None, unknown: Sequence[nn.Module]) -> Iterator[None]:
    """Seed and restore the generators of Python and NumPy, from which an unknown network may draw."""
    if not unknown:
        yield
        return
    states = random.getstate(), np.random.get_state()
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(torch_seed(seed) % 2**32)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextmanager
def _own_settings(*, autocast: bool) -> Iterator[None]:
    """Allow gradients, also in a script that has switched them off, and switch its autocast off unless it may stay."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in AUTOCAST_DEVICES:
            if not autocast and torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _ordinary(x: Tensor) -> Tensor:
    """A tensor that gradients can be computed for: one made in inference mode is copied."""
    return x.clone() if x.is_inference() else x


@contextmanager
def channels_last(victim: Victim) -> Iterator[None]:
    """Run convolutions channels last on a CPU, where a LeNet's gradient takes half the time; equal up to rounding.

    Only networks of known layers are laid out: the code of others may rely on the layout, as ``.view(B, -1)`` does.
    On a GPU channels last is faster in half precision only, and training has chosen it there already.
    """
    contiguous: list[tuple[Tensor, Tensor]] = []
    for module in (module for net in victim.nets if is_known(net) for module in net.modules()):
        if isinstance(module, nn.Conv2d) and module.weight.device.type == "cpu":
            contiguous.append((module.weight, module.weight.data))
            # Not contiguous(memory_format=...): with one input channel that does nothing, and the convolution is slow.
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight, data in reversed(contiguous):  # a module may occur twice
            weight.data = data
