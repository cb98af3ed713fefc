"""Weights files for a network that somebody else's code builds: what torch would load loads, the rest is refused.

Files differ from a network's own names in a few well-known ways: wrappers leave prefixes, safetensors stores a shared
tensor once, large files come in shards, and a network may have been saved in half precision.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from surefooted.core.files import read_json, read_tensors
from surefooted.errors import ModelError, Notice

# Segments of a name that ``nn.DataParallel`` and ``torch.compile`` insert, for a whole network or a part of it.
_WRAPPERS = ("module", "_orig_mod")
# Attributes in which people's own wrappers keep a network, such as a module of Lightning.
_HOLDERS = ("model", "net", "network", "backbone", "classifier", "state_dict")
# Names of parametrisations in ``nn.utils.parametrizations``, and of the same tensors in ``nn.utils``.
_PARAMETRISATIONS = {
    r"parametrizations\.(\w+)\.original0$": r"\1_g",
    r"parametrizations\.(\w+)\.original1$": r"\1_v",
    r"parametrizations\.(\w+)\.original$": r"\1_orig",
    r"parametrizations\.(\w+)\.0\._([uv])$": r"\1_\2",
}
_EXTRA_STATE = "_extra_state"
_NAMES_SHOWN = 3


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or all shards that a ``*.safetensors.index.json`` names.

    Args:
        path: of the file or index. Shards lie beside their index.

    Raises:
        StoreError: if a file is missing, damaged or not safetensors.
        ModelError: if the index names no shards, a place outside its folder, or tensors that its shards do not hold.

    Example:
        >>> from safetensors.torch import save_file
        >>> save_file({"a": torch.ones(2)}, "part-1.safetensors")
        >>> _ = Path("all.safetensors.index.json").write_text('{"weight_map": {"a": "part-1.safetensors"}}')
        >>> read_weights(Path("all.safetensors.index.json"))
        {'a': tensor([1., 1.])}
    """
    if path.suffix != ".json":
        return read_tensors(path)[0]
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise ModelError(
            f"{path} names no shards; expected {{'weight_map': {{tensor: file}}}}, as transformers writes."
        )
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if file != os.path.basename(file) or not file.endswith(".safetensors"):
            raise ModelError(f"{path} names the shard {file!r}; expected a .safetensors file in the same folder.")
        tensors |= read_tensors(path.parent / file)[0]
    if absent := sorted(places.keys() - tensors.keys()):
        raise ModelError(f"The shards of {path} do not hold {_list_names(absent)}. A shard is of another version.")
    return tensors


def load_external_weights(net: nn.Module, path: Path) -> None:
    """Load a weights file into a network in place, by the rules of ``nn.Module.load_state_dict``.

    Beyond them, names may lack or have the prefixes of torch's wrappers (``module.``, ``_orig_mod.``), and a name may
    be missing if its tensor is tied to one that is in the file. All names may have another prefix of a few well-known
    ones, such as ``model.``; a warning names it. Tensors of another precision are converted, and NaN is loaded; a
    warning says so.

    Args:
        net: the network. Lazy modules take their shapes from the file.
        path: a safetensors file, or the index of its shards.

    Raises:
        ModelError: if tensors are missing, unknown, of another shape or kind of number, or tied tensors differ.
        StoreError: if the file cannot be read.

    Example:
        >>> from safetensors.torch import save_file
        >>> save_file({"module.weight": torch.ones(1, 2), "module.bias": torch.zeros(1)}, "parallel.safetensors")
        >>> net = nn.Linear(2, 1)
        >>> load_external_weights(net, Path("parallel.safetensors"))
        >>> net(torch.ones(1, 2))
        tensor([[2.]], grad_fn=<AddmmBackward0>)
    """
    expected = _state(net)
    if on_meta := [name for name, tensor in expected.items() if tensor.is_meta]:
        raise ModelError(f"The network has tensors on the meta device ({_list_names(on_meta)}). Build it on the CPU.")
    given = _rename(read_weights(path), expected, path)
    _check_tensors(expected, given, path)
    try:
        missing, unknown = net.load_state_dict(given, strict=False)
    except RuntimeError as error:  # a module's own rules of loading
        raise ModelError(f"{path} does not fit the network: {' '.join(str(error).split())}") from None
    _check_names(net, given, missing, unknown, path)
    _warn_of_values(expected, given, path)


def _state(net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a state dict, which may hold any other object as extra state."""
    return {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}


def _rename(given: dict[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Give the tensors the network's names if they differ by prefixes or parametrisations only; fewest changes win."""
    best, most, held = given, len(given.keys() & expected.keys()), False
    for simplify in (_without_wrappers, _with_classic_names, _without_holder):
        theirs, ours = simplify(given), simplify(expected)
        if len(set(theirs.values())) < len(theirs) or len(set(ours.values())) < len(ours):
            continue
        names = {simple: name for name, simple in ours.items()}
        renamed = {names.get(simple, name): given[name] for name, simple in theirs.items()}
        if (matches := len(renamed.keys() & expected.keys())) > most and len(renamed) == len(given):
            best, most, held = renamed, matches, simplify is _without_holder
    if held:
        prefixes = {"in the file": _holder(given), "of the network": _holder(expected)}
        begin = " and ".join(f"all names {place} begin with {prefix!r}" for place, prefix in prefixes.items() if prefix)
        _warn(f"{path}: {begin}; the names are compared without it.")
    return best


def _without_wrappers(names: Iterable[str]) -> dict[str, str]:
    return {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}


def _with_classic_names(names: Iterable[str]) -> dict[str, str]:
    """Names without wrappers, and those of parametrisations as ``nn.utils`` wrote them before torch had these."""
    simple = _without_wrappers(names)
    for modern, classic in _PARAMETRISATIONS.items():
        simple = {name: re.sub(modern, classic, short) for name, short in simple.items()}
    return simple


def _without_holder(names: Iterable[str]) -> dict[str, str]:
    """Classic names without the holders, such as ``model.``, that all of them begin with."""
    simple = _with_classic_names(names)
    prefix = _holder(simple.values())
    return {name: short.removeprefix(prefix) for name, short in simple.items()}


def _holder(names: Iterable[str]) -> str:
    """The longest prefix that all names have in common and that consists of holders; torch's wrappers do not count."""
    rest = [short.split(".") for short in _without_wrappers(names).values()]
    depth = 0
    while rest and all(len(parts) > depth + 1 and parts[depth] in _HOLDERS for parts in rest):
        if len({parts[depth] for parts in rest}) > 1:
            break
        depth += 1
    return "".join(f"{part}." for part in rest[0][:depth]) if rest else ""


def _check_tensors(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    """Refuse all tensors of another shape, and those whose kind of number ``load_state_dict`` would convert."""
    common = [name for name in given if name in expected]
    shapes = [
        f"{name}: {tuple(given[name].shape)} in the file, {tuple(expected[name].shape)} in the network"
        for name in common
        if not is_lazy(expected[name]) and not _fits(given[name], expected[name])
    ]
    if shapes:
        raise ModelError(
            f"{path} does not fit the network: {len(shapes)} of {len(common)} tensors have another shape "
            f"({'; '.join(shapes)}). Build the network with the sizes that it was trained with, such as the number of "
            "classes or channels."
        )
    kinds = [
        f"{name}: {_dtype(given[name])} in the file, {_dtype(expected[name])} in the network"
        for name in common
        if not _convertible(given[name], expected[name])
    ]
    if kinds:
        raise ModelError(
            f"{path} does not fit the network: {_count(kinds)} hold another kind of number "
            f"({_list_names(kinds, '; ')}). The weights are quantised, or the file is damaged. Save them in floating "
            "point."
        )


def _fits(given: Tensor, expected: Tensor) -> bool:
    """Torch reads a single number from a vector of length 1, as old files hold it."""
    return given.shape == expected.shape or (expected.ndim == 0 and given.shape == (1,))


def _convertible(given: Tensor, expected: Tensor) -> bool:
    """False if numbers would change their meaning: integers read as weights, or fractions as counters."""
    if given.is_complex() != expected.is_complex():
        return False
    if given.is_floating_point() and not expected.is_floating_point() and not expected.is_complex():
        return bool((given.double().frac() == 0).all())
    return given.is_floating_point() or not expected.is_floating_point()


def _check_names(
    net: nn.Module, given: Mapping[str, Tensor], missing: list[str], unknown: list[str], path: Path
) -> None:
    """Refuse missing and unknown names, except those without effect: tied, empty, extra state, and constants."""
    if given and len(unknown) == len(given):
        ours = [name for name in missing if name.rpartition(".")[2] != _EXTRA_STATE]
        raise ModelError(
            f"{path} holds the weights of another network: none of its {_count(list(given))} ({_list_names(given)}) is "
            f"among the network's {len(ours)} ({_list_names(ours)})."
        )
    state, constants = _state(net), dict(net.named_buffers())
    loaded = [state[name] for name in given if name in state]
    extra = [name for name in missing if name.rpartition(".")[2] == _EXTRA_STATE]
    faults: dict[str, list[str]] = {
        "missing": [name for name in missing if name not in extra and not _is_loaded(state.get(name), loaded)],
        "unknown": [name for name in unknown if not (name in constants and _equal(given[name], constants[name]))],
        "tied in the network but not in the file": [
            name
            for name in given
            if name in state and _is_loaded(state[name], loaded, times=2) and not _equal(given[name], state[name])
        ],
    }
    if mismatches := [f"{_count(names)} {fault} ({_list_names(names)})" for fault, names in faults.items() if names]:
        raise ModelError(
            f"{path} does not fit the network: {', '.join(mismatches)}. Use the network that it was written from."
        )
    if extra:
        _warn(f"{path} has no extra state ({_list_names(extra)}); the network keeps what it was built with.")


def _is_loaded(tensor: Tensor | None, loaded: list[Tensor], times: int = 1) -> bool:
    """True if all memory of a tensor was written, each part equally often, or if it has none."""
    if tensor is None or is_lazy(tensor):
        return False
    return not tensor.numel() or sum(_covers(other, tensor) for other in loaded if not is_lazy(other)) >= times


def _covers(other: Tensor, tensor: Tensor) -> bool:
    if other.device != tensor.device or other.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr():
        return False
    (low, high), (begin, end) = _memory(other), _memory(tensor)
    dense = high - low == other.numel() * other.element_size()
    same = (begin, end) == (low, high) and other.stride() == tensor.stride() and other.shape == tensor.shape
    return same or (dense and low <= begin and end <= high)


def _memory(tensor: Tensor) -> tuple[int, int]:
    """First byte and end of a tensor within its storage."""
    begin, size = int(tensor.storage_offset()), tensor.element_size()
    last = begin + sum((int(n) - 1) * int(stride) for n, stride in zip(tensor.shape, tensor.stride()))
    return begin * size, (last + 1) * size


def _equal(given: Tensor, held: Tensor) -> bool:
    """True if a tensor of the network holds the values of the file, in its own precision."""
    if not _fits(given, held):
        return False
    return torch.equal(given.to(held).reshape(held.shape).nan_to_num(), held.detach().nan_to_num())


def _warn_of_values(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    converted: dict[tuple[str, str], list[str]] = {}
    for name, tensor in given.items():
        if name in expected and tensor.dtype != expected[name].dtype and not is_lazy(expected[name]):
            converted.setdefault((_dtype(tensor), _dtype(expected[name])), []).append(name)
    for (before, after), names in converted.items():
        _warn(f"{path}: {_count(names)} of {before} are converted to the network's {after} ({_list_names(names)}).")
    if bad := [name for name, tensor in given.items() if not bool(_as_number(tensor).isfinite().all())]:
        _warn(f"{path}: {_count(bad)} hold NaN or infinite numbers ({_list_names(bad)}).")


def _as_number(tensor: Tensor) -> Tensor:
    """In a precision that every function of torch reads, unlike eight bits."""
    return tensor if tensor.is_complex() else tensor.float()


def _warn(message: str) -> None:
    warnings.warn(message, Notice, stacklevel=2)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _count(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) != 1)}"


def _list_names(names: Iterable[str], separator: str = ", ") -> str:
    """The first few names."""
    every = list(names)
    return separator.join(every[:_NAMES_SHOWN]) + f"{separator}..." * (len(every) > _NAMES_SHOWN)
