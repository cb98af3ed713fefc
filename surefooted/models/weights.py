"""Networks and the files that hold them: nothing that a file says of itself is believed before it is checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from surefooted.components.spec import base_name, build, complete
from surefooted.core.files import read_tensors
from surefooted.core.rng import torch_seed
from surefooted.errors import InputError
from surefooted.models.ensembles import Ensemble

# Some layers register a weight more than once on their way (parametrisations).
REGISTRATIONS_PER_TENSOR = 4


def load_model(file: Path) -> nn.Module:
    """The network that ``train`` wrote, in evaluation mode. Raises InputError where the file is not of that kind."""
    tensors, about = read_tensors(file)
    net, shape, classes = (about.get(part) for part in ("net", "shape", "classes"))
    members = about.get("members", 1)
    if not (isinstance(net, dict) and isinstance(shape, list) and isinstance(classes, list) and type(members) is int):
        raise InputError(
            f"{file} does not say which network it holds; expected a weights.safetensors that surefooted wrote."
        )
    try:
        with _no_larger_than(tensors, [net, shape, members]):
            made = build_on_meta(net, tuple(shape), len(classes), members)
    except InputError as error:
        raise InputError(f"{file} does not hold the network that it says it does. {error}") from None
    check_fit(made, tensors, file)
    made = seeded_network(net, tuple(shape), len(classes), 0, members)
    load_weights(made, tensors, file)
    return made.eval()


def seeded_network(net: Any, shape: tuple[int, ...], classes: int, seed: int, members: int = 1) -> nn.Module:
    """The network before the first step; of several members the first is the network of that seed alone."""
    if members > 1:
        seeds = [seed, *(torch_seed(seed, m) for m in range(1, members))]
        return Ensemble([seeded_network(net, shape, classes, one) for one in seeds])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build("network", net, shape, classes)


def network_spec(net: Any, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """The complete spec of a network. Its arguments are checked by building it without its weights."""
    made = build_on_meta(net, shape, classes) if isinstance(net, str | Mapping) else net
    spec = complete("network", made)
    weights = sum(weight.numel() for weight in made.parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * weights > memory:
        raise InputError(
            f"{base_name(spec)} would have {weights:.2g} weights, more than {memory / 2**30:.0f} GiB of memory hold; "
            "make it smaller (--net.width)."
        )
    return spec


def build_on_meta(net: Any, shape: tuple[Any, ...], classes: int, members: int = 1) -> nn.Module:
    """The network without memory for its weights."""
    try:
        with torch.device("meta"), _NoInitialisation():
            if members > 1:
                return Ensemble([build("network", net, shape, classes) for _ in range(members)])
            return build("network", net, shape, classes)
    except (RuntimeError, OverflowError, MemoryError, TypeError) as error:  # how torch says that a number is too large
        why = str(error).partition("\n")[0]
        raise InputError(f"{base_name(net)} cannot be built for images of {shape}: {why}.") from None


class _NoInitialisation(TorchFunctionMode):
    """Skips the draws of initial weights: on the meta device the first of them loads seconds of torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _no_larger_than(tensors: Mapping[str, Tensor], said: Any) -> Iterator[None]:
    """Stop building what a file says it holds as soon as that is more than the file holds: it may say anything."""
    entries = sum(tensor.numel() for tensor in tensors.values())
    largest = max(_whole_numbers(said), default=0)
    if largest > entries:
        raise InputError(f"It names the number {largest}, and the file has {entries} entries.")
    left = REGISTRATIONS_PER_TENSOR * len(tensors)

    def count(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise InputError(f"That would have more weights than the {len(tensors)} tensors of the file.")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(part)


def load_weights(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Strictly: every tensor of the network, of its shape, and no other."""
    check_fit(net, weights, path)
    net.load_state_dict(weights)


def check_fit(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    own = net.state_dict()
    faults = {
        "missing": sorted(own.keys() - weights.keys()),
        "unknown": sorted(weights.keys() - own.keys()),
        "of another shape": [name for name in own if name in weights and own[name].shape != weights[name].shape],
    }
    seen = [f"{len(names)} {kind} ({names[0]})" for kind, names in faults.items() if names]
    if seen:
        raise InputError(
            f"{path} does not fit the network; of its tensors {', '.join(seen)}. Give the network it was made with."
        )
