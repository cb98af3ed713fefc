"""ONNX files as torch modules with gradients.

The ``onnx`` package (extra ``onnx``) parses the file; no code of the file is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.packages import import_package
from surefooted.errors import ModelError
from surefooted.models.external.conv_pool import Attributes
from surefooted.models.external.onnx_ops import ONNX_OPERATORS

_MIN_OPSET = 7


class OnnxGraph(nn.Module):
    """An ONNX graph, which runs its nodes in order on its weights and one input.

    Args:
        nodes: operator, attributes, names of inputs and names of outputs of each node.
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
        for k, tensor in enumerate(tensors.values()):  # names in the file may not be valid attribute names
            self.register_parameter(f"tensor_{k}", nn.Parameter(tensor, requires_grad=False))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Tensor | None] = {name: getattr(self, f"tensor_{k}") for k, name in enumerate(self.names)}
        values |= {self.source: x, "": None}
        for operator, attributes, inputs, outputs in self.nodes:
            out = ONNX_OPERATORS[operator](attributes, *(values[name] for name in inputs))
            values.update(zip(outputs, out if isinstance(out, tuple | list) else [out]))
        result = values[self.result]
        assert isinstance(result, Tensor)
        return result


def read_onnx(path: Path) -> OnnxGraph:
    """Read an ONNX file as a module with gradients, in evaluation mode.

    Args:
        path: the file; large weights may be in files beside it.

    Raises:
        DependencyError: if the onnx package is missing or broken.
        ModelError: if the file cannot be read, has several inputs or outputs, or uses an operator that is not among
            ``ONNX_OPERATORS``; the message names all such operators.

    Example:
        >>> import onnx
        >>> node = onnx.helper.make_node("Flatten", ["x"], ["y"])
        >>> x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy")
        >>> graph = onnx.helper.make_graph([node], "flatten", [x], [y])
        >>> onnx.save(onnx.helper.make_model(graph), "flatten.onnx")
        >>> read_onnx(Path("flatten.onnx"))(torch.rand(2, 1, 2, 2)).shape
        torch.Size([2, 4])
    """
    onnx: Any = import_package("onnx", "An ONNX file", "'surefooted[onnx]'")
    try:
        model = onnx.load(path)
    except Exception as error:  # onnx passes on any error of its parser
        raise ModelError(f"{path} cannot be read as ONNX ({error}). Export the model again.") from None
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < _MIN_OPSET:
        raise ModelError(
            f"{path} uses opset {version}; expected {_MIN_OPSET} or later. Export the model with opset_version=18."
        )
    graph = model.graph
    operators = {_operator_name(node) for node in graph.node} - {"Constant"}
    if unknown := sorted(operators - ONNX_OPERATORS.keys()):
        raise ModelError(
            f"{path} uses ONNX operators that are not supported: {', '.join(unknown)}. Export the model to .pt2 "
            "instead (torch.export), or build it in a factory (`model=MODULE:FUNCTION`)."
        )
    tensors = {one.name: _to_tensor(onnx.numpy_helper.to_array(one)) for one in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {a.name: _read_attribute(a, onnx) for a in node.attribute}
        if node.op_type == "Constant":
            tensors[node.output[0]] = _constant_value(attributes)
        else:
            attributes = {"opset": version, "outputs": len(node.output)} | attributes
            nodes.append((node.op_type, attributes, list(node.input), list(node.output)))
    sources = [one.name for one in graph.input if one.name not in tensors]
    if len(sources) != 1 or len(graph.output) != 1:
        raise ModelError(
            f"{path} has {len(sources)} inputs and {len(graph.output)} outputs; expected one of each, images and "
            "logits. Export a module whose forward takes one tensor and returns one."
        )
    return OnnxGraph(nodes, tensors, sources[0], graph.output[0].name)


def _operator_name(node: Any) -> str:
    """The operator, with its domain if that is not the standard one."""
    return str(node.op_type) if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _to_tensor(array: Any) -> Tensor:
    if array.dtype.name == "bfloat16":  # a type of ml_dtypes, which torch does not read
        return torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16)
    try:
        return torch.from_numpy(array.copy())
    except TypeError as error:
        raise ModelError(
            f"The ONNX file has a tensor of type {array.dtype.name}, which is not supported. Export it in float32."
        ) from error


def _read_attribute(attribute: Any, onnx: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _to_tensor(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _constant_value(attributes: Attributes) -> Tensor:
    ((name, value),) = attributes.items()
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)
