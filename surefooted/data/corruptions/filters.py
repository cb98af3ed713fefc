"""Linear filters along rows and columns, with sums that are exact in any order of summation.

A filter along one axis is a matrix. Its weights are multiples of 2⁻²², and values are rounded to multiples of 2⁻¹⁶
before each product. Every product and partial sum is then exact in float64: a flat region stays flat, and the result
depends neither on the batch nor on the number of threads. Truncation to 256 levels would amplify any such difference.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

_WEIGHT_SCALE = 2.0**22
_VALUE_SCALE = 2.0**16

# Continuation of an axis: the last pixel repeated, or the axis reflected about the outer edge ("reflect") or the centre
# ("mirror") of the last pixel. The names are those of scipy.ndimage.
Edge = Literal["nearest", "reflect", "mirror"]


def filter_axes(
    x: Float64[Tensor, "*b h w"], rows: Float64[Tensor, "y h"], columns: Float64[Tensor, "x w"]
) -> Float64[Tensor, "*b y x"]:
    """Apply the matrix ``columns`` along each row of an image, then the matrix ``rows`` along each column."""
    filtered = _round_values(x) @ columns.T.to(x.device)
    return rows.to(x.device) @ _round_values(filtered)


def gaussian_filter(
    x: Float64[Tensor, "*b h w"], sigma: float, *, truncate: float = 4, edge: Edge = "nearest"
) -> Float64[Tensor, "*b h w"]:
    """Gaussian filter, truncated at ``truncate`` standard deviations."""
    if int(truncate * sigma + 0.5) == 0:
        return x
    return filter_axes(x, *(_gaussian_matrix(n, sigma, truncate, edge) for n in x.shape[-2:]))


def correlate(x: Float64[Tensor, "*b h w"], kernel: np.ndarray) -> Float64[Tensor, "*b h w"]:
    """Correlation with a kernel that is symmetric about its middle row; the border is mirrored."""
    middle = len(kernel) // 2
    y = torch.arange(x.shape[-2])
    x = _round_values(x)
    total = torch.zeros_like(x)
    for offset in range(middle + 1):
        rows = x[..., _extend_index(y + offset, x.shape[-2], "mirror").to(x.device), :]
        if offset:
            rows = rows + x[..., _extend_index(y - offset, x.shape[-2], "mirror").to(x.device), :]
        total += rows @ correlation_matrix(kernel[middle + offset], x.shape[-1], "mirror").T.to(x.device)
    return total


def exact_weights(weights: np.ndarray) -> np.ndarray:
    """Round weights to multiples of 2⁻²². The largest (the middle one of several) absorbs the change of the sum."""
    whole = np.round(weights * _WEIGHT_SCALE)
    largest = np.flatnonzero(whole == whole.max())
    whole.flat[largest[len(largest) // 2]] += np.round(weights.sum() * _WEIGHT_SCALE) - whole.sum()
    return whole / _WEIGHT_SCALE


def correlation_matrix(weights: np.ndarray, n: int, edge: Edge) -> Float64[Tensor, "n n"]:
    """Matrix of the correlation of an axis of n pixels with these weights."""
    matrix, index = torch.zeros(n, n, dtype=torch.float64), torch.arange(n)
    for offset, weight in enumerate(weights, -(len(weights) // 2)):
        matrix[index, _extend_index(index + offset, n, edge)] += float(weight)
    return matrix


def zoom_sizes(n: int, factor: float) -> tuple[int, int, int]:
    """Pixels of an axis, of its middle part that is enlarged, and of that part after enlargement."""
    inside = int(np.ceil(n / factor))
    return n, inside, round(inside * factor)


@cache
def zoom_matrix(n: int, inside: int, outside: int) -> Float64[Tensor, "n n"]:
    """Matrix that enlarges the middle part linearly (first and last pixel stay first and last) and trims it to n."""
    start, trim = (n - inside) // 2, (outside - n) // 2
    places = (np.arange(n) + trim) * ((inside - 1) / max(outside - 1, 1))
    below = np.minimum(np.floor(places).astype(int), inside - 2)
    share = np.round((places - below) * _WEIGHT_SCALE) / _WEIGHT_SCALE
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for row, (low, high_share) in enumerate(zip(below, share)):
        matrix[row, start + low] += 1 - high_share
        matrix[row, start + low + 1] += high_share
    return matrix


@cache
def box_resize_matrix(n: int, m: int) -> Float64[Tensor, "m n"]:
    """Matrix of Pillow's box filter from n to m pixels: each new pixel is the mean of the old centres inside it."""
    scale, matrix = n / m, torch.zeros(m, n, dtype=torch.float64)
    support = max(scale, 1) / 2
    for new in range(m):
        centre = (new + 0.5) * scale
        old = np.arange(max(0, int(centre - support + 0.5)), min(n, int(centre + support + 0.5)))
        offset = (old - centre + 0.5) / max(scale, 1)
        inside = old[(offset > -0.5) & (offset <= 0.5)]
        matrix[new, inside] = torch.from_numpy(exact_weights(np.full(len(inside), 1 / len(inside))))
    return matrix


@cache
def _gaussian_matrix(n: int, sigma: float, truncate: float, edge: Edge) -> Float64[Tensor, "n n"]:
    radius = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return correlation_matrix(exact_weights(weights / weights.sum()), n, edge)


def _extend_index(index: Tensor, n: int, edge: Edge) -> Tensor:
    """Map indices beyond the ends of an axis of n pixels onto the axis."""
    if edge == "nearest":
        return index.clamp(0, n - 1)
    if edge == "reflect":
        index = index.remainder(2 * n)
        return torch.minimum(index, 2 * n - 1 - index)
    index = index.remainder(2 * n - 2)
    return torch.minimum(index, 2 * n - 2 - index)


def _round_values(x: Tensor) -> Tensor:
    return (x * _VALUE_SCALE).round_().mul_(1 / _VALUE_SCALE)
