"""Operators of ONNX that slide a window over an image, and padding: attributes and inputs in, outputs out."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from surefooted.errors import InputError

Attributes = dict[str, Any]


def convolve(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    spatial = w.ndim - 2
    x, pads = _padded(a, x, list(w.shape[2:]), 0.0)
    run = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    ones = [1] * spatial
    return run(x, w, b, a.get("strides", ones), pads, a.get("dilations", ones), a.get("group", 1))


def max_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = a["kernel_shape"]
    ones = [1] * len(kernel)
    x, pads = _padded(a, x, kernel, -torch.inf)
    run = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    return run(x, kernel, a.get("strides", ones), pads, a.get("dilations", ones), bool(a.get("ceil_mode", 0)))


def average_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = a["kernel_shape"]
    counted = bool(a.get("count_include_pad", 0))
    padded, pads = _padded(a, x, kernel, 0.0)
    if padded is not x and not counted:
        raise InputError(
            "AveragePool with uneven padding that is not counted is not supported. Export to .pt2 instead."
        )
    if any(d != 1 for d in a.get("dilations", [1])):
        raise InputError("AveragePool with dilations is not supported. Export to .pt2 instead.")
    run = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(kernel)]
    return run(padded, kernel, a.get("strides", [1] * len(kernel)), pads, bool(a.get("ceil_mode", 0)), counted)


def _padded(a: Attributes, x: Tensor, kernel: list[int], value: float) -> tuple[Tensor, list[int]]:
    """Padding that torch's own argument can express is left to it; the rest is put on by hand."""
    n = len(kernel)
    auto, pads = a.get("auto_pad", "NOTSET"), a.get("pads", [0] * 2 * n)
    if auto == "VALID":
        return x, [0] * n
    if auto.startswith("SAME"):
        strides, dilations = a.get("strides", [1] * n), a.get("dilations", [1] * n)
        need = [
            max(0, (ceil(size / s) - 1) * s + (k - 1) * d + 1 - size)
            for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations)
        ]
        less, more = [v // 2 for v in need], [v - v // 2 for v in need]
        pads = less + more if auto == "SAME_UPPER" else more + less
    # torch pads a pooling window by half of itself at most
    if pads[:n] == pads[n:] and all(2 * p <= k for p, k in zip(pads, kernel)):
        return x, pads[:n]
    return F.pad(x, _torch_pads(pads), value=value), [0] * n


def _torch_pads(pads: list[int]) -> list[int]:
    """From (begins..., ends...) to torch's pairs from the last dimension on."""
    n = len(pads) // 2
    return [v for d in reversed(range(n)) for v in (pads[d], pads[n + d])]


def pad(
    a: Attributes, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    given = numbers(a, "pads", pads) or []
    if axes is not None:
        n, full = len(given) // 2, [0] * 2 * x.ndim
        for k, axis in enumerate(axes.tolist()):
            full[axis % x.ndim], full[x.ndim + axis % x.ndim] = given[k], given[n + k]
        given = full
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(a.get("mode", "constant"))
    if mode is None:
        raise InputError(f"Pad of mode {a['mode']!r} is not supported. Export to .pt2 instead.")
    if mode == "constant":
        return F.pad(x, _torch_pads(given), value=float(value) if value is not None else a.get("value", 0.0))
    return F.pad(x, _torch_pads(given)[: 2 * (x.ndim - 2)], mode=mode)


def numbers(attributes: Attributes, name: str, given: Tensor | None) -> list[int] | None:
    """Whole numbers that are an attribute in older versions of ONNX and an input in newer."""
    return given.tolist() if given is not None else attributes.get(name)
