"""Networks and their weight files. No claim of a file is trusted before it is checked."""

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

from surefooted.components.code import is_code
from surefooted.components.component import Spec
from surefooted.components.spec import base_name, build, complete, parse_spec
from surefooted.core.files import read_tensors
from surefooted.core.rng import torch_seed
from surefooted.errors import ArgumentError, InputError, ModelError
from surefooted.models.ensembles import Ensemble
from surefooted.models.nets.own import keep_network, own_network_spec

# Some layers register a weight more than once during construction (parametrisations).
_REGISTRATIONS_PER_TENSOR = 4


def load_model(file: Path, *, trusted: bool = False) -> nn.Module:
    """Load the network that ``train`` wrote, in evaluation mode.

    Args:
        file: a ``weights.safetensors``, which names its architecture in its metadata.
        trusted: the metadata may name code of the user (``module:function``), which is imported. Only the metadata of
            a stored training, not those of any file, may run code.

    Raises:
        ModelError: if the file names no architecture or that of other code, or its tensors do not match it.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.files import write_tensors
        >>> net = sf.nets.mlp((1, 2, 2), 3, width=4)
        >>> about = {"net": {"mlp": {"width": 4}}, "shape": [1, 2, 2], "classes": ["a", "b", "c"]}
        >>> write_tensors(Path("weights.safetensors"), net.state_dict(), about)
        >>> load_model(Path("weights.safetensors"))(torch.rand(5, 1, 2, 2)).shape
        torch.Size([5, 3])
    """
    tensors, metadata = read_tensors(file)
    net, shape, classes = (metadata.get(key) for key in ("net", "shape", "classes"))
    members = metadata.get("members", 1)
    if not (isinstance(net, dict) and isinstance(shape, list) and isinstance(classes, list) and type(members) is int):
        raise ModelError(
            f"{file} does not name the network that it holds; expected a weights.safetensors that surefooted wrote."
        )
    if any(is_code(str(name)) for name in net):
        if not trusted:
            raise ModelError(
                f"{file} is of a network of other code, {base_name(net)}. A file of weights must not run code. Give "
                f"the key of the stored training, or export that to .pt2 (surefooted export)."
            )
        model = seeded_network(net, tuple(shape), len(classes), 0, members)
        load_weights(model, tensors, file)
        return model.eval()
    try:
        with _limit_size(tensors, [net, shape, members]):
            outline = build_on_meta(net, tuple(shape), len(classes), members)
    except InputError as error:
        raise ModelError(f"{file} does not match the architecture recorded in its metadata. {error}") from None
    check_fit(outline, tensors, file)
    model = seeded_network(net, tuple(shape), len(classes), 0, members)
    load_weights(model, tensors, file)
    return model.eval()


def seeded_network(net: Any, shape: tuple[int, ...], classes: int, seed: int, members: int = 1) -> nn.Module:
    """Build a network with its initial weights.

    Args:
        net: name of a network, or ``{name: arguments}``.
        shape: (C, H, W) of the images.
        classes: number of classes.
        seed: of the initial weights.
        members: above 1, build an ensemble. Its first member equals the single network of the same seed.

    Example:
        >>> a, b = (seeded_network("mlp", (1, 2, 2), 3, seed=0, members=m) for m in (1, 2))
        >>> a.fc2.weight.equal(b.members[0].fc2.weight)
        True
    """
    if members > 1:
        seeds = [seed, *(torch_seed(seed, m) for m in range(1, members))]
        return Ensemble([seeded_network(net, shape, classes, member_seed) for member_seed in seeds])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(net, shape, classes)


def network_spec(net: Any, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """The complete spec of a network, checked by building the network without memory for its weights.

    Args:
        net: name of a network, ``{name: arguments}``, or a network. ``module:function`` of other code, a class or a
            function, and a module of another package are built and tried, see ``nets.own``.
        shape: (C, H, W) of the images.
        classes: number of classes.

    Raises:
        ArgumentError: if an argument is wrong, or the weights do not fit into memory.
        ModelError: if a network of other code cannot be trained on such images.

    Example:
        >>> network_spec({"mlp": {"width": 64}}, (1, 28, 28), 10)
        {'mlp': {'width': 64, 'layers': 1, 'dropout': 0.0, 'normalise': 'none'}}
    """
    if not isinstance(net, str | Mapping) and not isinstance(getattr(net, "spec", None), Spec):
        if not callable(net):
            raise ArgumentError(
                f"`net` is {type(net).__name__}; expected a network, its name, its class or a function."
            )
        net = keep_network(net)
    if isinstance(net, str | Mapping) and is_code(parse_spec(net)[0]):
        return own_network_spec(*parse_spec(net), shape, classes)
    model = build_on_meta(net, shape, classes) if isinstance(net, str | Mapping) else net
    spec = complete("network", model)
    weights = sum(weight.numel() for weight in model.parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # Linux and macOS
    if 4 * weights > memory:
        raise ArgumentError(
            f"{base_name(spec)} would have {weights:.2g} weights, more than {memory / 2**30:.0f} GiB of memory hold. "
            "Reduce its size, for example `net.width`."
        )
    return spec


def build_on_meta(net: Any, shape: tuple[Any, ...], classes: int, members: int = 1) -> nn.Module:
    """Build a network on the meta device, without memory for its weights; arguments as in ``seeded_network``.

    One of other code is built in memory.

    Raises:
        ArgumentError: if an argument is wrong.

    Example:
        >>> net = build_on_meta("resnet18", (3, 32, 32), 10)
        >>> all(weight.is_meta for weight in net.parameters())
        True
    """
    if isinstance(net, str | Mapping) and is_code(parse_spec(net)[0]):
        return seeded_network(net, shape, classes, 0, members)  # other code may need its numbers
    try:
        with torch.device("meta"), _NoInitialisation():
            if members > 1:
                return Ensemble([_build(net, shape, classes) for _ in range(members)])
            return _build(net, shape, classes)
    except (RuntimeError, OverflowError, MemoryError, TypeError) as error:  # torch's errors for too large a number
        reason = str(error).partition("\n")[0]
        raise ArgumentError(f"{base_name(net)} cannot be built for images of {shape}: {reason}.") from None


def load_weights(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load weights into a network in place. Names and shapes must match exactly; see ``check_fit``."""
    check_fit(net, weights, path)
    net.load_state_dict(weights)


def check_fit(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Refuse weights whose names or shapes are not those of the network.

    Args:
        net: the network; it may be on the meta device.
        weights: tensors by name.
        path: the file that they come from, for the message.

    Raises:
        ModelError: if a tensor is missing, unknown or of another shape.

    Example:
        >>> check_fit(nn.Linear(2, 1), {"weight": torch.zeros(1, 2)}, Path("my.safetensors"))
        Traceback (most recent call last):
            ...
        surefooted.errors.ModelError: my.safetensors does not fit the network: 1 tensor missing (bias). ...
    """
    expected = net.state_dict()
    faults = {
        "missing": sorted(expected.keys() - weights.keys()),
        "unknown": sorted(weights.keys() - expected.keys()),
        "of another shape": [
            name for name in expected if name in weights and expected[name].shape != weights[name].shape
        ],
    }
    mismatches = [f"{_count_tensors(names)} {fault} ({names[0]})" for fault, names in faults.items() if names]
    if mismatches:
        raise ModelError(
            f"{path} does not fit the network: {', '.join(mismatches)}. Use the network that it was written from."
        )


def _build(net: Any, shape: tuple[Any, ...], classes: int) -> nn.Module:
    model: nn.Module = build("network", net, shape, classes)
    return model


def _count_tensors(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) > 1)}"


class _NoInitialisation(TorchFunctionMode):
    """Skips the draws of initial weights: on the meta device the first of them loads seconds of torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _limit_size(tensors: Mapping[str, Tensor], metadata: Any) -> Iterator[None]:
    """Stop building a network as soon as it is larger than its file, whose metadata may claim any size."""
    entries = sum(tensor.numel() for tensor in tensors.values())
    largest = max(_integers(metadata), default=0)
    if largest > entries:
        raise ModelError(f"The metadata contain the number {largest}, but the file has {entries} entries only.")
    remaining = _REGISTRATIONS_PER_TENSOR * len(tensors)

    def count(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise ModelError(f"The network has more weights than the {len(tensors)} tensors of the file.")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _integers(part)
