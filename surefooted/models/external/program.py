"""Exported programs (.pt2 of ``torch.export``), read without running anything that the file says.

``torch.export.load`` unpickles sample inputs and constants, and evaluates expressions: a file could run any code. But a
program is a list of operator calls in JSON and weights as raw bytes. Those are read here; the calls are looked up
among those of ``aten``, and nothing else of the file is touched.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.errors import InputError
from surefooted.models.external.aten_ops import DTYPES, known, operator

SCHEMA = 8
EXPORT = (
    "Export it anew with torch 2.9 or later: torch.export.save(torch.export.export(model.eval(), (x,), "
    "dynamic_shapes=({0: torch.export.Dim('batch')},)), 'model.pt2')"
)


class Program(nn.Module):
    """An exported program: ``nodes`` run one after the other on its weights and one input.

    Args:
        nodes: target, arguments and outputs of each call, as in the file.
        tensors: weights, buffers and constants, by the names that the calls use.
        source: the name of the input.
        result: the name of the output.
    """

    def __init__(self, nodes: Sequence[Any], tensors: dict[str, Tensor], source: str, result: str) -> None:
        super().__init__()
        self.calls = [(operator(node["target"]), node["inputs"], node["outputs"]) for node in nodes]
        self.source, self.result, self.names = source, result, list(tensors)
        for k, tensor in enumerate(tensors.values()):  # the names may be no names of attributes
            self.register_parameter(f"tensor_{k}", nn.Parameter(tensor, requires_grad=False))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {name: getattr(self, f"tensor_{k}") for k, name in enumerate(self.names)}
        values[self.source] = x
        for call, inputs, outputs in self.calls:
            if call is None:
                continue
            arguments = [_value(one["arg"], values, x.device) for one in inputs]
            # By position what the file has by position: schema names such as ``self`` cannot be keywords.
            positional = [a for a, one in zip(arguments, inputs) if one["kind"] != 2]
            named = {one["name"]: a for a, one in zip(arguments, inputs) if one["kind"] == 2}
            _bind(outputs, call(*positional, **named), values)
        return values[self.result]


def read_program(path: Path) -> Program:
    """The program of a ``.pt2`` file, in evaluation mode; nothing is unpickled and nothing evaluated.

    Raises:
        InputError: where the file is not whole, of another version, holds pickles in its program, or calls an operator
            that is not among those that only compute.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a whole .pt2 file ({error}). {EXPORT}.") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a program as torch.export writes it ({error!r}). {EXPORT}.") from None


def _read(archive: zipfile.ZipFile, path: Path) -> Program:
    files = {name.partition("/")[2]: name for name in archive.namelist()}
    models = [name for name in files if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        seen = f"{len(models)} programs" if models else "no program of the present format"
        raise InputError(f"{path} holds {seen}; expected one. {EXPORT}.")
    model = models[0].removeprefix("models/").removesuffix(".json")
    if archive.read(files["byteorder"]) != b"little":
        raise InputError(f"{path} was written on a big-endian machine, which is not supported. {EXPORT}.")
    program = json.loads(archive.read(files[models[0]]))
    if (version := program["schema_version"]["major"]) != SCHEMA:
        raise InputError(f"{path} has the format {version}; this version reads {SCHEMA}. {EXPORT}.")
    held: dict[str, Tensor] = {}
    for place, config in (("data/weights/", "weights"), ("data/constants/", "constants")):
        entries = json.loads(archive.read(files[f"{place}{model}_{config}_config.json"]))["config"]
        for name, entry in entries.items():
            if entry["use_pickle"]:
                raise InputError(
                    f"{path} stores {name!r} as a pickle, which can run any code when it is read; it was not loaded. "
                    "Export a model whose weights and constants are plain tensors, or load it in a factory of your own "
                    "(--model MODULE:FUNCTION) where you trust it."
                )
            held[name] = _tensor(archive.read(files[place + entry["path_name"]]), entry["tensor_meta"])
    graph = program["graph_module"]["graph"]
    tensors, sources = {}, []
    for spec in program["graph_module"]["signature"]["input_specs"]:
        ((kind, what),) = spec.items()
        if kind == "user_input":
            sources.append(what["arg"]["as_tensor"]["name"])
        else:
            key = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
            if kind not in key:
                raise InputError(f"{path} has an input of kind {kind}, which is not supported. {EXPORT}.")
            tensors[what["arg"]["name"]] = held[what[key[kind]]]
    results = [
        s["user_output"]["arg"] for s in program["graph_module"]["signature"]["output_specs"] if "user_output" in s
    ]
    if len(sources) != 1 or len(results) != 1 or "as_tensor" not in results[0]:
        raise InputError(
            f"{path} takes {len(sources)} inputs and gives {len(results)} outputs; expected images to logits. "
            "Export a module whose forward takes one tensor and returns one."
        )
    unknown = sorted({node["target"] for node in graph["nodes"] if not known(node["target"])})
    if unknown:
        raise InputError(
            f"{path} calls {', '.join(unknown)}, which is not among the operators that are read from untrusted files. "
            "Load it in a factory of your own (--model MODULE:FUNCTION) where you trust it."
        )
    return Program(graph["nodes"], tensors, sources[0], results[0]["as_tensor"]["name"])


def _tensor(raw: bytes, meta: dict[str, Any]) -> Tensor:
    sizes, strides = ([int(v["as_int"]) for v in meta[key]] for key in ("sizes", "strides"))
    dtype = DTYPES[meta["dtype"]]
    if 0 in sizes:
        return torch.empty(sizes, dtype=dtype)
    flat = torch.frombuffer(bytearray(raw), dtype=dtype)
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).contiguous()


def _value(argument: dict[str, Any], values: dict[str, Any], device: torch.device) -> Any:
    """An argument: a value computed before, or a constant."""
    ((kind, held),) = argument.items()
    if kind in ("as_tensor", "as_tensors"):
        return values[held["name"]] if kind == "as_tensor" else [values[one["name"]] for one in held]
    if kind == "as_optional_tensors":
        return [_value(one, values, device) for one in held]
    if kind == "as_optional_tensor":
        return _value(held, values, device)
    if kind.startswith("as_sym_"):
        return [_symbol(one, values) for one in held] if isinstance(held, list) else _symbol(held, values)
    if kind == "as_scalar_type":
        return DTYPES[held]
    if kind == "as_device":
        return device  # the program goes where its input is
    if kind == "as_memory_format":
        return {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}[held]
    if kind == "as_layout":
        return torch.strided
    if kind == "as_none":
        return None
    if kind in ("as_float", "as_floats"):  # infinities are words
        return [float(one) for one in held] if isinstance(held, list) else float(held)
    if kind in ("as_int", "as_ints", "as_bool", "as_bools", "as_string"):
        return held
    raise InputError(f"the program has an argument of kind {kind}, which is not supported. {EXPORT}.")


def _symbol(one: dict[str, Any], values: dict[str, Any]) -> Any:
    ((kind, held),) = one.items()
    return values[held] if kind == "as_name" else held


def _bind(outputs: Sequence[Any], given: Any, values: dict[str, Any]) -> None:
    """Give the results of a call their names; a list under one output is the list of its elements."""
    if len(outputs) == 1 and "as_tensors" not in outputs[0]:
        given = [given]
    elif len(outputs) == 1:
        outputs = [{"as_tensor": one} for one in outputs[0]["as_tensors"]]
    for output, value in zip(outputs, given):
        ((kind, held),) = output.items()
        if kind == "as_tensor":
            values[held["name"]] = value
        elif kind.startswith("as_sym_"):
            values[held["as_name"]] = value
