"""Contours of 8-bit images as in OpenCV: Canny's edges, distance to the nearest edge, histogram equalisation."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from surefooted.data.corruptions.base import GreyLevels

# Moves of the 5×5 chamfer distance with their lengths (Borgefors 1986), keyed by squared Euclidean length.
_LENGTHS = {1: 1.0, 2: 1.4, 5: 2.1969}
_MOVES = [(y, x, _LENGTHS[y * y + x * x]) for y in range(-2, 3) for x in range(-2, 3) if y * y + x * x in _LENGTHS]


def canny_edges(x: GreyLevels, low: float, high: float) -> Bool[Tensor, "b 1 h w"]:
    """Canny's edges: ridges of the Sobel gradient (L1) above ``low`` that are connected to one above ``high``."""
    down, right = _sobel_gradient(x)
    size = down.abs() + right.abs()
    padded = pad(size, (1, 1, 1, 1))
    # Direction of the gradient, one of four: horizontal, two diagonals, vertical.
    slope = 13573 / 2**15  # tan 22.5° as in OpenCV
    flat = down.abs() < slope * right.abs()
    steep = down.abs() > (slope + 2) * right.abs()
    falling = down * right < 0
    before = torch.where(flat, _shifted(padded, 0, -1), _shifted(padded, -1, 0))
    after = torch.where(flat, _shifted(padded, 0, 1), _shifted(padded, 1, 0))
    straight = (size > before) & (size >= after)
    before = torch.where(falling, _shifted(padded, -1, 1), _shifted(padded, -1, -1))
    after = torch.where(falling, _shifted(padded, 1, -1), _shifted(padded, 1, 1))
    diagonal = (size > before) & (size > after)
    ridge = torch.where(flat | steep, straight, diagonal) & (size > low)
    edges = ridge & (size > high)
    while not torch.equal(grown := ridge & (max_pool2d(edges.float(), 3, 1, 1) > 0), edges):
        edges = grown
    return edges


def chamfer_distance(edges: Bool[Tensor, "b 1 h w"], limit: float) -> GreyLevels:
    """Distance to the nearest edge along moves of three lengths, at most ``limit``."""
    distance = torch.where(edges, 0.0, limit)
    while True:
        padded, nearer = pad(distance, (2, 2, 2, 2), value=limit), distance
        for y, x, length in _MOVES:
            nearer = torch.minimum(nearer, _shifted(padded, y, x, 2) + length)
        if torch.equal(nearer, distance):
            return distance.double()
        distance = nearer


def equalise_histogram(x: GreyLevels) -> GreyLevels:
    """Equalise the histogram of whole numbers below 32 to levels from 0 to 255."""
    values = x.long().flatten(1)
    counts = x.new_zeros(len(x), 32).scatter_add_(1, values, torch.ones_like(values, dtype=x.dtype))
    lowest = values.amin(1, keepdim=True)
    in_lowest = counts.gather(1, lowest)
    rest = values.shape[1] - in_lowest
    table = (255 * (counts.cumsum(1) - in_lowest) / rest.clamp(min=1)).round()
    return torch.where(rest > 0, table.gather(1, values), lowest.to(x.dtype)).view_as(x)


def emboss(x: GreyLevels) -> GreyLevels:
    """Relief lit from the upper left, as 8-bit levels."""
    padded = pad(x, (1, 1, 1, 1), mode="reflect")
    weights = ((-1, -1, -2), (-1, 0, -1), (0, -1, -1), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 2))
    total = torch.zeros_like(x)
    for y, z, weight in weights:
        total += weight * _shifted(padded, y, z)
    return total.clamp(0, 255)


def box_mean(x: GreyLevels) -> GreyLevels:
    """Mean over 3×3 pixels; the border is mirrored."""
    padded = pad(x, (1, 1, 1, 1), mode="reflect")
    total = torch.zeros_like(x)
    for y in (-1, 0, 1):
        for z in (-1, 0, 1):
            total += _shifted(padded, y, z)
    return total / 9


def _sobel_gradient(x: GreyLevels) -> tuple[GreyLevels, GreyLevels]:
    """Gradients downwards and to the right; the border is repeated."""
    padded = pad(x, (1, 1, 1, 1), mode="replicate")
    down = _shifted(padded, 1, -1) + 2 * _shifted(padded, 1, 0) + _shifted(padded, 1, 1)
    down = down - _shifted(padded, -1, -1) - 2 * _shifted(padded, -1, 0) - _shifted(padded, -1, 1)
    right = _shifted(padded, -1, 1) + 2 * _shifted(padded, 0, 1) + _shifted(padded, 1, 1)
    right = right - _shifted(padded, -1, -1) - 2 * _shifted(padded, 0, -1) - _shifted(padded, 1, -1)
    return down, right


def _shifted(padded: Tensor, y: int, x: int, margin: int = 1) -> Tensor:
    """The neighbours at offset (y, x) of all pixels of an image that is padded by ``margin``."""
    height, width = padded.shape[-2] - 2 * margin, padded.shape[-1] - 2 * margin
    return padded[..., margin + y : margin + y + height, margin + x : margin + x + width]
