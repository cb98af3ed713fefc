"""Networks of the user's code: a class, a factory or a module, called as the networks of this package are.

Such a network is built for images of a shape and a number of classes, and checked before it is trained: a training of
hours must not fail at its first step, or in its last.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from surefooted.components.code import (
    Code,
    arguments_of,
    content_digest,
    find_code,
    first_line,
    keep_code,
    read_options,
)
from surefooted.core.files import tensors_digest
from surefooted.errors import ArgumentError, ModelError, SurefootedError
from surefooted.models.guard import contained, network_logits
from surefooted.models.victims import as_victim, untouched

# Arguments that Surefooted supplies if a factory has them: the image shape (C, H, W), the number of classes, channels.
SHAPE, CLASSES, CHANNELS = (
    ("shape", "image_shape", "input_shape"),
    ("classes", "num_classes", "n_classes"),
    ("channels", "in_channels", "num_channels", "in_chans"),
)


def own_network(reference: str) -> Callable[..., nn.Module]:
    """The function that builds a network of the user's code: ``(shape, classes, **options)``.

    A factory or class gets the image shape, the number of classes and of channels if it has arguments of such names
    (``SHAPE``, ``CLASSES``, ``CHANNELS``), and the options. Of a module, each call gives a copy.

    Args:
        reference: ``module:function``, a name of code that ``keep_code`` or ``keep_network`` returned.

    Raises:
        ArgumentError: if there is no such code, or its arguments are wrong.

    Example:
        >>> own_network("torch.nn:Flatten")((1, 8, 8), 64)
        Flatten(start_dim=1, end_dim=-1)
    """
    code = find_code(reference)
    if not isinstance(code.value, nn.Module) and not callable(code.value):
        raise ArgumentError(
            f"{code.name} is {type(code.value).__name__}; expected a torch.nn.Module, its class, or a function that "
            "returns one."
        )

    def make(shape: tuple[int, ...], classes: int, /, **options: Any) -> nn.Module:
        if isinstance(code.value, nn.Module):
            return _copy_of(code, options)
        supplied = _supplied(code, shape, classes)
        given = supplied | read_options(code.name, code.value, options, set(supplied))
        try:
            with contained(), _generators_seeded():
                net = code.value(**given)
        except (SurefootedError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            call = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise ModelError(f"{code.name}({call}) failed ({first_line(error)}).") from error
        if not isinstance(net, nn.Module):
            raise ModelError(f"{code.name} returned a {type(net).__name__}; expected a torch.nn.Module.")
        return _materialised(net, shape)

    return make


def own_network_spec(reference: str, options: dict[str, Any], shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """The complete spec of a network of the user's code, which is built and tried.

    Raises:
        ArgumentError: if there is no such code, or its arguments are wrong.
        ModelError: if the network cannot be trained on such images; the message says why.

    Example:
        >>> class Linear(nn.Sequential):
        ...     def __init__(self, channels, classes, side: int = 8):
        ...         super().__init__(nn.Flatten(), nn.Linear(channels * side * side, classes))
        >>> own_network_spec(keep_code(Linear, "0123").reference, {"side": "8"}, (1, 8, 8), 10)
        {'memory:Linear@0123': {'side': 8}}
    """
    code = find_code(reference)
    if isinstance(code.value, nn.Module) and not reference.startswith("memory:"):
        raise ArgumentError(
            f"{code.name} is a module. Its weights are where a training starts, and its name does not tell them. Name "
            "its class or a function, or pass the module in Python (`sf.train(method, net, data)`)."
        )
    with torch.random.fork_rng(devices=[]):
        check_trainable(own_network(code.reference)(shape, classes, **options), shape, classes, code.name)
    supplied = set() if isinstance(code.value, nn.Module) else set(_supplied(code, shape, classes))
    read = {} if isinstance(code.value, nn.Module) else read_options(code.name, code.value, options, supplied)
    return {code.reference: read}


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def keep_network(net: Any) -> str:
    """The reference of a network, class or factory that was given in Python.

    A module is known by the hash of its code, structure and weights, since these are where its training starts.

    Example:
        >>> keep_network(nn.Flatten)
        'torch.nn.modules.flatten:Flatten@...'
        >>> keep_network(nn.Flatten()).partition("@")[0]
        'memory:Flatten'
    """
    if not isinstance(net, nn.Module):
        return keep_code(net).reference
    kinds = sorted({type(module) for module in net.modules()}, key=lambda kind: (kind.__module__, kind.__qualname__))
    digests = [keep_code(kind).digest for kind in kinds]
    state = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    frozen = [name for name, weight in net.named_parameters() if not weight.requires_grad]
    # What the modules hold beside weights and children, such as a temperature that the forward pass divides by.
    own = {
        name: {k: v for k, v in vars(part).items() if k not in _OF_EVERY_MODULE} for name, part in net.named_modules()
    }
    digest = tensors_digest(state, about=[*digests, repr(net), *frozen, content_digest(own, type(net).__name__)])
    return keep_code(_copied(net), digest).reference


def check_trainable(net: nn.Module, shape: tuple[int, ...], classes: int, name: str) -> None:
    """Refuse a network that cannot be trained on images of a shape into a number of classes, or cannot be stored.

    Args:
        net: the network, which is left as it is.
        shape: (C, H, W) of the images.
        classes: number of classes.
        name: of the network, for messages.

    Raises:
        ModelError: if it fails, returns other logits, has no weight to train or holds what no file of weights can.

    Example:
        >>> check_trainable(nn.Sequential(nn.Flatten(), nn.Linear(64, 9)), (1, 8, 8), 10, "net")
        Traceback (most recent call last):
        surefooted.errors.ModelError: net returns 9 logits per image, but the data have 10 classes. ...
    """
    if not any(weight.requires_grad for weight in net.parameters()):
        raise ModelError(f"{name} has no weight to train: it has no parameters, or none with requires_grad.")
    state = net.state_dict()
    if foreign := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise ModelError(
            f"{name} keeps what is no tensor in its state dict ({foreign[0]}), which a file of weights cannot hold. "
            "Keep it in an attribute, or as a tensor (register_buffer)."
        )
    victim = as_victim(net)
    with untouched(victim):
        x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
        logits = network_logits(net, x.to(next(net.parameters()).device))
    if logits.ndim != 2 or logits.shape[-1] != classes:
        raise ModelError(
            f"{name} returns {logits.shape[-1]} logits per image, but the data have {classes} classes. Give a factory "
            "an argument `classes` or num_classes, which is filled in, or pass it as an option."
        )
    check_reaches_weights(net, x, name)


def check_reaches_weights(net: nn.Module, x: Tensor, name: str) -> None:
    """Refuse a network whose logits have no gradient with respect to its weights."""
    modes = [(module, module.training) for module in net.modules()]
    saved = [(buffer, buffer.clone()) for buffer in net.buffers()]
    with torch.random.fork_rng(devices=[]):
        try:
            net.eval()
            with torch.enable_grad():
                reached = network_logits(net, x.to(next(net.parameters()).device)).requires_grad
        except NotImplementedError:
            raise ModelError(
                f"{name} has no training mode, as an exported program has none. Train the module that it was exported "
                "from."
            ) from None
        finally:
            with torch.no_grad():
                for buffer, value in saved:
                    buffer.copy_(value)
            for module, training in modes:
                module.training = training
    if not reached:
        raise ModelError(
            f"The logits of {name} have no gradient with respect to its weights. Remove detach(), no_grad or "
            "conversions to numpy from its forward pass."
        )


def _supplied(code: Code, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    named = {**dict.fromkeys(SHAPE, shape), **dict.fromkeys(CLASSES, classes), **dict.fromkeys(CHANNELS, shape[0])}
    return {name: value for name, value in named.items() if name in arguments_of(code.value)}


def _copy_of(code: Code, options: dict[str, Any]) -> nn.Module:
    if options:
        raise ArgumentError(
            f"{code.name} is a module, so it takes no options ({', '.join(options)}). Name its class or a function."
        )
    return _copied(code.value)


def _copied(net: nn.Module) -> nn.Module:
    try:
        return deepcopy(net)
    except Exception as error:
        raise ModelError(
            f"The network {type(net).__name__} cannot be copied ({first_line(error)}). Pass its class or a function "
            "that builds it."
        ) from None


def _materialised(net: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The network with weights in its lazy layers: one forward pass makes them."""
    if any(is_lazy(weight) for weight in [*net.parameters(), *net.buffers()]):
        modes = [(module, module.training) for module in net.modules()]
        with torch.no_grad():
            network_logits(net.eval(), torch.zeros(2, *shape))
        for module, training in modes:
            module.training = training
    return net


@contextmanager
def _generators_seeded() -> Iterator[None]:
    """Seed the generators of Python and NumPy as torch's is, for code that draws weights from them; then restore."""
    states = random.getstate(), np.random.get_state()
    random.seed(torch.initial_seed())
    np.random.seed(torch.initial_seed() % 2**32)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
