"""Exported programs (``.pt2`` files of ``torch.export``), read without running any code of the file.

``torch.export.load`` unpickles sample inputs and constants and evaluates expressions, so a file could run any code. But
a program is only a list of operator calls in JSON, and weights as raw bytes. Only these are read here, and every call
must be among the allowed operators of ``aten``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.errors import ModelError
from surefooted.models.external.aten_ops import ATEN_DTYPES, find_operator, is_allowed

_SCHEMA_VERSION = 8
_EXPORT_HINT = (
    "Export it again with torch 2.9 or later: torch.export.save(torch.export.export(model.eval(), (x,), "
    "dynamic_shapes=({0: torch.export.Dim('batch')},)), 'model.pt2')"
)
_NAME_FIELDS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


class Program(nn.Module):
    """An exported program, which runs its calls in order on its weights and one input.

    Args:
        nodes: target, arguments and outputs of each call, as in the file.
        tensors: weights, buffers and constants, by their names in the calls.
        source: the name of the input.
        result: the name of the output.
    """

    def __init__(self, nodes: Sequence[Any], tensors: dict[str, Tensor], source: str, result: str) -> None:
        super().__init__()
        self.calls = [(find_operator(node["target"]), node["inputs"], node["outputs"]) for node in nodes]
        self.source, self.result, self.names = source, result, list(tensors)
        for k, tensor in enumerate(tensors.values()):  # names in the file may not be valid attribute names
            self.register_parameter(f"tensor_{k}", nn.Parameter(tensor, requires_grad=False))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {name: getattr(self, f"tensor_{k}") for k, name in enumerate(self.names)}
        values[self.source] = x
        for call, inputs, outputs in self.calls:
            if call is None:
                continue
            arguments = [_value(one["arg"], values, x.device) for one in inputs]
            # What the file passes by position stays so: names in the schema, such as ``self``, cannot be keywords.
            positional = [a for a, one in zip(arguments, inputs) if one["kind"] != 2]
            named = {one["name"]: a for a, one in zip(arguments, inputs) if one["kind"] == 2}
            _bind_outputs(outputs, call(*positional, **named), values)
        result: Tensor = values[self.result]
        return result


def read_program(path: Path) -> Program:
    """Read a ``.pt2`` file as a module, in evaluation mode. Nothing is unpickled or evaluated.

    Args:
        path: a file that ``torch.export.save`` wrote.

    Raises:
        ModelError: if the file is incomplete or of another version, stores weights as pickles, or calls an operator
            that is not among those that only compute.

    Example:
        >>> _ = Path("truncated.pt2").write_bytes(b"PK")
        >>> read_program(Path("truncated.pt2"))
        Traceback (most recent call last):
            ...
        surefooted.errors.ModelError: truncated.pt2 is not a complete .pt2 file ...
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a complete .pt2 file ({error}). {_EXPORT_HINT}.") from None
    except ModelError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{path} is not a program that torch.export wrote ({error!r}). {_EXPORT_HINT}.") from None


def _read(archive: zipfile.ZipFile, path: Path) -> Program:
    files = {name.partition("/")[2]: name for name in archive.namelist()}
    models = [name for name in files if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        content = f"{len(models)} programs" if models else "no program of the current format"
        raise ModelError(f"{path} contains {content}; expected one. {_EXPORT_HINT}.")
    model = models[0].removeprefix("models/").removesuffix(".json")
    if archive.read(files["byteorder"]) != b"little":
        raise ModelError(f"{path} was written on a big-endian machine, which is not supported. {_EXPORT_HINT}.")
    program = json.loads(archive.read(files[models[0]]))
    if (version := program["schema_version"]["major"]) != _SCHEMA_VERSION:
        raise ModelError(f"{path} has format version {version}; expected {_SCHEMA_VERSION}. {_EXPORT_HINT}.")
    graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
    stored = _read_tensors(archive, files, model, path)
    tensors, sources = {}, []
    for spec in signature["input_specs"]:
        ((kind, entry),) = spec.items()
        if kind == "user_input":
            sources.append(entry["arg"]["as_tensor"]["name"])
        elif kind in _NAME_FIELDS:
            tensors[entry["arg"]["name"]] = stored[entry[_NAME_FIELDS[kind]]]
        else:
            raise ModelError(f"{path} has an input of kind {kind}, which is not supported. {_EXPORT_HINT}.")
    results = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
    if len(sources) != 1 or len(results) != 1 or "as_tensor" not in results[0]:
        raise ModelError(
            f"{path} has {len(sources)} inputs and {len(results)} outputs; expected one tensor of images and one of "
            "logits. Export a module whose forward takes one tensor and returns one."
        )
    unknown = sorted({node["target"] for node in graph["nodes"] if not is_allowed(node["target"])})
    if unknown:
        raise ModelError(
            f"{path} calls {', '.join(unknown)}, which is not among the operators allowed in untrusted files. If you "
            "trust the file, load it in a factory (`model=MODULE:FUNCTION`)."
        )
    return Program(graph["nodes"], tensors, sources[0], results[0]["as_tensor"]["name"])


def _read_tensors(archive: zipfile.ZipFile, files: dict[str, str], model: str, path: Path) -> dict[str, Tensor]:
    """Weights, buffers and constants of the file, by their names in the exported module."""
    tensors = {}
    for folder, config in (("data/weights/", "weights"), ("data/constants/", "constants")):
        entries = json.loads(archive.read(files[f"{folder}{model}_{config}_config.json"]))["config"]
        for name, entry in entries.items():
            if entry["use_pickle"]:
                raise ModelError(
                    f"{path} stores {name!r} as a pickle, which can run any code when it is read; it was not loaded. "
                    "Export a model whose weights and constants are plain tensors or, if you trust the file, load it "
                    "in a factory (`model=MODULE:FUNCTION`)."
                )
            tensors[name] = _to_tensor(archive.read(files[folder + entry["path_name"]]), entry["tensor_meta"])
    return tensors


def _to_tensor(raw: bytes, meta: dict[str, Any]) -> Tensor:
    sizes, strides = ([int(v["as_int"]) for v in meta[key]] for key in ("sizes", "strides"))
    dtype = ATEN_DTYPES[meta["dtype"]]
    if 0 in sizes:
        return torch.empty(sizes, dtype=dtype)
    flat = torch.frombuffer(bytearray(raw), dtype=dtype)
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).contiguous()


def _value(argument: dict[str, Any], values: dict[str, Any], device: torch.device) -> Any:
    """The value of a call's argument: one computed before, or a constant."""
    ((kind, content),) = argument.items()
    if kind in ("as_tensor", "as_tensors"):
        return values[content["name"]] if kind == "as_tensor" else [values[one["name"]] for one in content]
    if kind == "as_optional_tensors":
        return [_value(one, values, device) for one in content]
    if kind == "as_optional_tensor":
        return _value(content, values, device)
    if kind.startswith("as_sym_"):
        return [_symbol(one, values) for one in content] if isinstance(content, list) else _symbol(content, values)
    if kind == "as_scalar_type":
        return ATEN_DTYPES[content]
    if kind == "as_device":
        return device  # that of the input, not that of the export
    if kind == "as_memory_format":
        return {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}[content]
    if kind == "as_layout":
        return torch.strided
    if kind == "as_none":
        return None
    if kind in ("as_float", "as_floats"):  # infinities are stored as words
        return [float(one) for one in content] if isinstance(content, list) else float(content)
    if kind in ("as_int", "as_ints", "as_bool", "as_bools", "as_string"):
        return content
    raise ModelError(f"The program has an argument of kind {kind}, which is not supported. {_EXPORT_HINT}.")


def _symbol(symbol: dict[str, Any], values: dict[str, Any]) -> Any:
    ((kind, content),) = symbol.items()
    return values[content] if kind == "as_name" else content


def _bind_outputs(outputs: Sequence[Any], results: Any, values: dict[str, Any]) -> None:
    """Store the results of a call under their names. A single output that is a list has a name for each element."""
    if len(outputs) == 1 and "as_tensors" not in outputs[0]:
        results = [results]
    elif len(outputs) == 1:
        outputs = [{"as_tensor": one} for one in outputs[0]["as_tensors"]]
    for output, result in zip(outputs, results):
        ((kind, content),) = output.items()
        if kind == "as_tensor":
            values[content["name"]] = result
        elif kind.startswith("as_sym_"):
            values[content["as_name"]] = result
