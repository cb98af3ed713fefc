"""Linear filters along rows and columns, with sums that are exact in whatever order a device takes them.

A filter along one axis is a matrix. Its weights are multiples of 2⁻²², values are put on multiples of 2⁻¹⁶ before each
product: then every product and partial sum of float64 is exact, a flat region stays flat, and neither the batch nor
the number of threads moves a bit, which truncation to 256 levels would make visible.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

WEIGHT = 2.0**22
GRID = 2.0**16

Edge = Literal["nearest", "reflect", "mirror"]


def along(
    x: Float64[Tensor, "*b h w"], rows: Float64[Tensor, "y h"], columns: Float64[Tensor, "x w"]
) -> Float64[Tensor, "*b y x"]:
    """Filter the columns of an image, then its rows."""
    across = on_grid(x) @ columns.T.to(x.device)
    return rows.to(x.device) @ on_grid(across)


def blurred(
    x: Float64[Tensor, "*b h w"], sigma: float, *, truncate: float = 4, edge: Edge = "nearest"
) -> Float64[Tensor, "*b h w"]:
    """Gaussian filter, cut off at ``truncate`` standard deviations."""
    if int(truncate * sigma + 0.5) == 0:
        return x
    return along(x, *(gaussian(n, sigma, truncate, edge) for n in x.shape[-2:]))


def correlated(x: Float64[Tensor, "*b h w"], kernel: np.ndarray) -> Float64[Tensor, "*b h w"]:
    """Correlation with a kernel that is symmetric about its middle row, edges mirrored about the outermost pixels."""
    middle = len(kernel) // 2
    y = torch.arange(x.shape[-2])
    x = on_grid(x)
    total = torch.zeros_like(x)
    for move in range(middle + 1):
        rows = x[..., edged(y + move, x.shape[-2], "mirror").to(x.device), :]
        if move:
            rows = rows + x[..., edged(y - move, x.shape[-2], "mirror").to(x.device), :]
        total += rows @ banded(kernel[middle + move], x.shape[-1], "mirror").T.to(x.device)
    return total


def on_grid(x: Tensor) -> Tensor:
    return (x * GRID).round_().mul_(1 / GRID)


def exact(weights: np.ndarray) -> np.ndarray:
    """The weights as multiples of 2⁻²², their sum kept by the largest, or the middle one of several."""
    whole = np.round(weights * WEIGHT)
    largest = np.flatnonzero(whole == whole.max())
    whole.flat[largest[len(largest) // 2]] += np.round(weights.sum() * WEIGHT) - whole.sum()
    return whole / WEIGHT


@cache
def gaussian(n: int, sigma: float, truncate: float = 4, edge: Edge = "nearest") -> Float64[Tensor, "n n"]:
    radius = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return banded(exact(weights / weights.sum()), n, edge)


def zoom_sizes(n: int, factor: float) -> tuple[int, int, int]:
    """Pixels of the axis, of the part of it that is cut out, and of that part enlarged."""
    inside = int(np.ceil(n / factor))
    return n, inside, round(inside * factor)


@cache
def zoomed(n: int, inside: int, outside: int) -> Float64[Tensor, "n n"]:
    """Cut out the middle, enlarge it linearly (first and last pixel onto first and last), trim to size."""
    start, trim = (n - inside) // 2, (outside - n) // 2
    places = (np.arange(n) + trim) * ((inside - 1) / max(outside - 1, 1))
    below = np.minimum(np.floor(places).astype(int), inside - 2)
    share = np.round((places - below) * WEIGHT) / WEIGHT
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for row, (low, high_share) in enumerate(zip(below, share)):
        matrix[row, start + low] += 1 - high_share
        matrix[row, start + low + 1] += high_share
    return matrix


@cache
def boxed(n: int, m: int) -> Float64[Tensor, "m n"]:
    """Resize from n pixels to m by Pillow's box filter: the mean of the pixels whose centres lie in the new one."""
    scale, matrix = n / m, torch.zeros(m, n, dtype=torch.float64)
    support = max(scale, 1) / 2
    for new in range(m):
        centre = (new + 0.5) * scale
        old = np.arange(max(0, int(centre - support + 0.5)), min(n, int(centre + support + 0.5)))
        offset = (old - centre + 0.5) / max(scale, 1)
        inside = old[(offset > -0.5) & (offset <= 0.5)]
        matrix[new, inside] = torch.from_numpy(exact(np.full(len(inside), 1 / len(inside))))
    return matrix


def banded(weights: np.ndarray, n: int, edge: Edge) -> Float64[Tensor, "n n"]:
    """The matrix of a correlation with these weights, the axis continued at its ends."""
    matrix, at = torch.zeros(n, n, dtype=torch.float64), torch.arange(n)
    for move, weight in enumerate(weights, -(len(weights) // 2)):
        matrix[at, edged(at + move, n, edge)] += float(weight)
    return matrix


def edged(index: Tensor, n: int, edge: Edge) -> Tensor:
    """Indices beyond an axis, brought back: the last pixel repeated, or reflected about its outer edge or middle."""
    if edge == "nearest":
        return index.clamp(0, n - 1)
    if edge == "reflect":
        index = index.remainder(2 * n)
        return torch.minimum(index, 2 * n - 1 - index)
    index = index.remainder(2 * n - 2)
    return torch.minimum(index, 2 * n - 2 - index)
