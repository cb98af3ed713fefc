"""ONNX operators that slide a window over an image, and padding: from attributes and inputs to outputs."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from surefooted.errors import ModelError

Attributes = dict[str, Any]


def convolve(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Convolution in 1, 2 or 3 dimensions.

    Example:
        >>> convolve({"pads": [1, 1, 1, 1]}, torch.rand(2, 1, 8, 8), torch.rand(4, 1, 3, 3)).shape
        torch.Size([2, 4, 8, 8])
    """
    spatial = w.ndim - 2
    x, pads = _apply_padding(a, x, list(w.shape[2:]), 0.0)
    run = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    ones = [1] * spatial
    return run(x, w, b, a.get("strides", ones), pads, a.get("dilations", ones), a.get("group", 1))


def max_pool(a: Attributes, x: Tensor) -> Tensor:
    """Max pooling in 1, 2 or 3 dimensions.

    Example:
        >>> max_pool({"kernel_shape": [2, 2], "strides": [2, 2]}, torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 1, 4, 4])
    """
    kernel = a["kernel_shape"]
    ones = [1] * len(kernel)
    x, pads = _apply_padding(a, x, kernel, -torch.inf)
    run = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    return run(x, kernel, a.get("strides", ones), pads, a.get("dilations", ones), bool(a.get("ceil_mode", 0)))


def average_pool(a: Attributes, x: Tensor) -> Tensor:
    """Average pooling in 1, 2 or 3 dimensions.

    Example:
        >>> average_pool({"kernel_shape": [2, 2]}, torch.ones(1, 1, 2, 2)).item()
        1.0
    """
    kernel = a["kernel_shape"]
    count_padding = bool(a.get("count_include_pad", 0))
    padded, pads = _apply_padding(a, x, kernel, 0.0)
    if padded is not x and not count_padding:
        raise ModelError(
            "AveragePool with asymmetric padding and count_include_pad=0 is not supported. Export to .pt2 instead."
        )
    if any(d != 1 for d in a.get("dilations", [1])):
        raise ModelError("AveragePool with dilations is not supported. Export to .pt2 instead.")
    run = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(kernel)]
    return run(padded, kernel, a.get("strides", [1] * len(kernel)), pads, bool(a.get("ceil_mode", 0)), count_padding)


def _apply_padding(a: Attributes, x: Tensor, kernel: list[int], value: float) -> tuple[Tensor, list[int]]:
    """Pad by hand what torch's padding argument cannot express; returns the input, and the padding left to torch."""
    n = len(kernel)
    auto, pads = a.get("auto_pad", "NOTSET"), a.get("pads", [0] * 2 * n)
    if auto == "VALID":
        return x, [0] * n
    if auto.startswith("SAME"):
        strides, dilations = a.get("strides", [1] * n), a.get("dilations", [1] * n)
        total = [
            max(0, (ceil(size / s) - 1) * s + (k - 1) * d + 1 - size)
            for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations)
        ]
        smaller, larger = [v // 2 for v in total], [v - v // 2 for v in total]
        pads = smaller + larger if auto == "SAME_UPPER" else larger + smaller
    # torch pads a pooling window by at most half its size
    if pads[:n] == pads[n:] and all(2 * p <= k for p, k in zip(pads, kernel)):
        return x, pads[:n]
    return F.pad(x, _torch_pads(pads), value=value), [0] * n


def _torch_pads(pads: list[int]) -> list[int]:
    """From (begins..., ends...) to torch's (begin, end) pairs, last dimension first."""
    n = len(pads) // 2
    return [v for d in reversed(range(n)) for v in (pads[d], pads[n + d])]


def pad(
    a: Attributes, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """Padding by a constant, by reflection or by repeating the edge.

    Example:
        >>> pad({"pads": [0, 1, 0, 2]}, torch.ones(1, 1)).tolist()
        [[0.0, 1.0, 0.0, 0.0]]
    """
    amounts = read_integers(a, "pads", pads) or []
    if axes is not None:
        n, full = len(amounts) // 2, [0] * 2 * x.ndim
        for k, axis in enumerate(axes.tolist()):
            full[axis % x.ndim], full[x.ndim + axis % x.ndim] = amounts[k], amounts[n + k]
        amounts = full
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(a.get("mode", "constant"))
    if mode is None:
        raise ModelError(f"Pad of mode {a['mode']!r} is not supported. Export to .pt2 instead.")
    if mode == "constant":
        return F.pad(x, _torch_pads(amounts), value=float(value) if value is not None else a.get("value", 0.0))
    if any(amounts[k] or amounts[x.ndim + k] for k in (0, 1)):
        raise ModelError(
            f"Pad of mode {a['mode']!r} over images or channels is not supported (pads = {amounts}). Export to .pt2 "
            "instead."
        )
    return F.pad(x, _torch_pads(amounts)[: 2 * (x.ndim - 2)], mode=mode)


def read_integers(a: Attributes, name: str, value: Tensor | None) -> list[int] | None:
    """Integers that are an attribute in older versions of ONNX, and an input in newer ones.

    Example:
        >>> read_integers({"axes": [1]}, "axes", None), read_integers({}, "axes", torch.tensor([2]))
        ([1], [2])
    """
    integers: list[int] | None = value.tolist() if value is not None else a.get(name)
    return integers
