"""The ONNX operators that image classifiers use, in torch: from attributes and inputs to outputs.

Two attributes are added to those of the file: ``opset``, the version of ONNX in which it is written, and ``outputs``,
the number of the node's outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from surefooted.errors import ModelError
from surefooted.models.external.conv_pool import Attributes, average_pool, convolve, max_pool, pad, read_integers

_ONNX_DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, b: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    if a.get("training_mode", 0):
        # Run it as it was exported. Its outputs depend on the rest of the batch, which the sanity checks report.
        return F.batch_norm(x, None, None, scale, b, training=True, eps=a.get("epsilon", 1e-5))
    return F.batch_norm(x, mean, var, scale, b, eps=a.get("epsilon", 1e-5))


def _dropout(a: Attributes, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> Tensor:
    active = training is not None and bool(training)
    return F.dropout(x, float(ratio) if ratio is not None else a.get("ratio", 0.5), training=active)


def _gemm(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    x = x.T if a.get("transA", 0) else x
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    if a.get("transB", 0) and alpha == beta == 1 and (b is None or b.ndim == 1):
        return F.linear(x, w, b)  # bitwise equal to the exported layer
    out: Tensor = alpha * (x @ (w.T if a.get("transB", 0) else w))
    return out if b is None else out + beta * b


def _softmax(log: bool) -> Callable[..., Tensor]:
    function = F.log_softmax if log else F.softmax

    def softmax(a: Attributes, x: Tensor) -> Tensor:
        if a["opset"] >= 13:
            return function(x, a.get("axis", -1))
        axis = a.get("axis", 1) % x.ndim  # up to opset 12 softmax is over all dimensions from the axis on
        return function(x.flatten(axis), -1).view_as(x)

    return softmax


def _reduce_axes(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce_axes(a: Attributes, x: Tensor, axes_input: Tensor | None = None) -> Tensor:
        axes = read_integers(a, "axes", axes_input)
        if not axes:
            if a.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.ndim))
        return function(x, axes, bool(a.get("keepdims", 1)))

    return reduce_axes


def _reshape(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sizes = [x.shape[k] if size == 0 and not a.get("allowzero", 0) else size for k, size in enumerate(shape.tolist())]
    return x.reshape(tuple(sizes))


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", 1)  # from −r to r: a negative one counts from the rank r, and r itself is allowed
    return x.reshape(x.shape[: axis + x.ndim * (axis < 0)].numel(), -1)


def _squeeze(a: Attributes, x: Tensor, axes_input: Tensor | None = None) -> Tensor:
    axes = read_integers(a, "axes", axes_input)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(a: Attributes, x: Tensor, axes_input: Tensor | None = None) -> Tensor:
    axes = read_integers(a, "axes", axes_input) or []
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _slice(
    a: Attributes,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first, last = read_integers(a, "starts", starts) or [], read_integers(a, "ends", ends) or []
    dimensions = read_integers(a, "axes", axes) or list(range(len(first)))
    strides = steps.tolist() if steps is not None else [1] * len(first)
    for start, end, axis, step in zip(first, last, dimensions, strides):
        if step < 0:
            raise ModelError("Slice with a negative step is not supported. Export to .pt2 instead.")
        size = x.shape[axis]
        begin, stop = (min(max(v + size if v < 0 else v, 0), size) for v in (start, end))
        x = x.narrow(axis, begin, max(0, stop - begin))
        if step > 1:
            x = x.index_select(axis, torch.arange(0, x.shape[axis], step, device=x.device))
    return x


def _split(a: Attributes, x: Tensor, sizes_input: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    sizes = read_integers(a, "split", sizes_input)
    return torch.split(x, sizes if sizes is not None else ceil(x.shape[axis] / a["outputs"]), axis)


def _clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    lower, upper = (a.get(name) if v is None else float(v) for name, v in (("min", low), ("max", high)))
    return x if lower is None and upper is None else x.clamp(lower, upper)


def _gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = a.get("axis", 0) % x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index).to(x.device)
    picked = x.index_select(axis, index.flatten())
    return picked.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _layer_norm(a: Attributes, x: Tensor, scale: Tensor, b: Tensor | None = None) -> Tensor:
    axis = a.get("axis", -1) % x.ndim
    return F.layer_norm(x, x.shape[axis:], scale, b, a.get("epsilon", 1e-5))


def _divide(a: Attributes, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _local_response(a: Attributes, x: Tensor) -> Tensor:
    # Not torch's function: for an even size its window has the additional channel on the other side.
    size, channels = a["size"], x.shape[1]
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x.square().flatten(2), (0, 0, before, after))
    total = torch.stack([squares[:, k : k + channels] for k in range(size)]).sum(0).view_as(x)
    scale: Tensor = a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * total
    return x / scale.pow(a.get("beta", 0.75))


def _identity(a: Attributes, x: Tensor) -> Tensor:
    return x


ONNX_OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": lambda a, x: x.abs(),
    "Add": lambda a, x, y: x + y,
    "AveragePool": average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda a, x: x.to(_ONNX_DTYPES[a["to"]]),
    "Clip": _clip,
    "Concat": lambda a, *parts: torch.cat(parts, a["axis"]),
    "ConstantOfShape": lambda a, shape: a.get("value", torch.zeros(1)).to(shape.device).expand(shape.tolist()),
    "Conv": convolve,
    "Div": _divide,
    "Dropout": _dropout,
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Equal": lambda a, x, y: x == y,
    "Erf": lambda a, x: x.erf(),
    "Exp": lambda a, x: x.exp(),
    "Expand": lambda a, x, shape: x * torch.ones(shape.tolist(), dtype=x.dtype, device=x.device),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", "none")),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "GlobalMaxPool": lambda a, x: x.amax(tuple(range(2, x.ndim)), keepdim=True),
    "Greater": lambda a, x, y: x > y,
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda a, x: F.hardswish(x),
    "Identity": _identity,
    "InstanceNormalization": lambda a, x, w, b: F.instance_norm(x, weight=w, bias=b, eps=a.get("epsilon", 1e-5)),
    "LRN": _local_response,
    "LayerNormalization": _layer_norm,
    "Less": lambda a, x, y: x < y,
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "Log": lambda a, x: x.log(),
    "LogSoftmax": _softmax(log=True),
    "MatMul": lambda a, x, y: x @ y,
    "Max": lambda a, *parts: reduce(torch.maximum, parts),
    "MaxPool": max_pool,
    "Min": lambda a, *parts: reduce(torch.minimum, parts),
    "Mod": lambda a, x, y: torch.fmod(x, y) if a.get("fmod", 0) else torch.remainder(x, y),
    "Mul": lambda a, x, y: x * y,
    "Neg": lambda a, x: -x,
    "PRelu": lambda a, x, slope: torch.where(x < 0, slope * x, x),
    "Pad": pad,
    "Pow": lambda a, x, y: x**y,
    "Reciprocal": lambda a, x: x.reciprocal(),
    "ReduceMax": _reduce_axes(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduce_axes(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceSum": _reduce_axes(lambda x, axes, keep: x.sum(axes, keep)),
    "Relu": lambda a, x: x.relu(),
    "Reshape": _reshape,
    "Round": lambda a, x: x.round(),
    "Selu": lambda a, x: F.selu(x),
    "Shape": lambda a, x: torch.tensor(x.shape[a.get("start", 0) : a.get("end")], device=x.device),
    "Sigmoid": lambda a, x: x.sigmoid(),
    "Slice": _slice,
    "Softmax": _softmax(log=False),
    "Softplus": lambda a, x: F.softplus(x),
    "Split": _split,
    "Sqrt": lambda a, x: x.sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda a, x, y: x - y,
    "Sum": lambda a, *parts: reduce(torch.add, parts),
    "Tanh": lambda a, x: x.tanh(),
    "Transpose": lambda a, x: x.permute(a.get("perm", list(reversed(range(x.ndim))))),
    "Unsqueeze": _unsqueeze,
    "Where": lambda a, condition, x, y: torch.where(condition, x, y),
}
