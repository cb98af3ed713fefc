"""ONNX files as torch modules with gradients.

The file is parsed by the ``onnx`` package (extra ``onnx``); nothing in it is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.errors import InputError
from surefooted.models.external.onnx_ops import OPERATORS, Attributes

OLDEST = 7


class OnnxGraph(nn.Module):
    """An ONNX graph: its nodes run one after the other on its weights and one input.

    Args:
        nodes: operator, attributes, names of inputs and outputs of each.
        tensors: weights and constants, by name.
        source: the name of the input.
        result: the name of the output.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, Attributes, list[str], list[str]]],
        tensors: dict[str, Tensor],
        source: str,
        result: str,
    ) -> None:
        super().__init__()
        self.nodes, self.source, self.result, self.names = nodes, source, result, list(tensors)
        for k, tensor in enumerate(tensors.values()):  # the names may be no names of attributes
            self.register_parameter(f"tensor_{k}", nn.Parameter(tensor, requires_grad=False))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Tensor | None] = {name: getattr(self, f"tensor_{k}") for k, name in enumerate(self.names)}
        values |= {self.source: x, "": None}
        for operator, attributes, inputs, outputs in self.nodes:
            made = OPERATORS[operator](attributes, *(values[name] for name in inputs))
            values.update(zip(outputs, made if isinstance(made, tuple | list) else [made]))
        result = values[self.result]
        assert isinstance(result, Tensor)
        return result


def read_onnx(path: Path) -> OnnxGraph:
    """The graph of an ONNX file, in evaluation mode, with gradients.

    Raises:
        InputError: where the file cannot be read, takes several inputs or gives several outputs, or uses an operator
            that is not among ``OPERATORS``; all such operators are named.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise InputError(
            "reading ONNX files needs the onnx package; install it: pip install 'surefooted[onnx]'."
        ) from None
    try:
        model = onnx.load(path)
    except Exception as error:  # onnx passes on whatever its parser raises
        raise InputError(f"{path} cannot be read as ONNX ({error}). Export the model again.") from None
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < OLDEST:
        raise InputError(f"{path} uses opset {version}; from {OLDEST} on is read. Export it with opset_version=18.")
    graph = model.graph
    unknown = sorted(
        {_called(node) for node in graph.node if _called(node) not in OPERATORS and node.op_type != "Constant"}
    )
    if unknown:
        raise InputError(
            f"{path} uses ONNX operators that are not supported: {', '.join(unknown)}. Export the model to .pt2 "
            "instead (torch.export), or load it in a factory of your own (--model MODULE:FUNCTION)."
        )
    tensors = {one.name: _tensor(numpy_helper.to_array(one)) for one in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {a.name: _attribute(a, onnx) for a in node.attribute}
        if node.op_type == "Constant":
            tensors[node.output[0]] = _constant(attributes)
        else:
            about = {"opset": version, "outputs": len(node.output)}
            nodes.append((node.op_type, about | attributes, list(node.input), list(node.output)))
    sources = [one.name for one in graph.input if one.name not in tensors]
    if len(sources) != 1 or len(graph.output) != 1:
        raise InputError(
            f"{path} takes {len(sources)} inputs and gives {len(graph.output)} outputs; expected images to logits. "
            "Export a module whose forward takes one tensor and returns one."
        )
    return OnnxGraph(nodes, tensors, sources[0], graph.output[0].name)


def _called(node: Any) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(array.copy())


def _attribute(attribute: Any, onnx: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _tensor(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _constant(attributes: Attributes) -> Tensor:
    ((name, value),) = attributes.items()
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)
