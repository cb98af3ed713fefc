"""Contours of 8-bit images, as OpenCV finds them: Canny's edges, the distance from them, its histogram made even."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

Plane = Float64[Tensor, "b 1 h w"]

# Steps of the chamfer distance and their lengths (Borgefors 1986, 5×5).
STRAIGHT, DIAGONAL, KNIGHT = 1.0, 1.4, 2.1969
STEPS = [
    (y, x, {1: STRAIGHT, 2: DIAGONAL, 5: KNIGHT}[y * y + x * x])
    for y in range(-2, 3)
    for x in range(-2, 3)
    if y * y + x * x in (1, 2, 5)
]


def canny(x: Plane, low: float, high: float) -> Bool[Tensor, "b 1 h w"]:
    """Canny's edges: ridges of the Sobel gradient (L1) above ``low``, if they hang together with one above ``high``."""
    down, right = sobel(x)
    size = down.abs() + right.abs()
    around = pad(size, (1, 1, 1, 1))
    # The gradient's direction, one of four: across, along the diagonals, or down.
    slope = 13573 / 2**15  # tan 22.5° as OpenCV has it
    flat = down.abs() < slope * right.abs()
    steep = down.abs() > (slope + 2) * right.abs()
    falling = down * right < 0
    before = torch.where(flat, at(around, 0, -1), at(around, -1, 0))
    after = torch.where(flat, at(around, 0, 1), at(around, 1, 0))
    ridge = (size > before) & (size >= after)
    first = torch.where(falling, at(around, -1, 1), at(around, -1, -1))
    second = torch.where(falling, at(around, 1, -1), at(around, 1, 1))
    ridge = torch.where(flat | steep, ridge, (size > first) & (size > second)) & (size > low)
    edges = ridge & (size > high)
    while not torch.equal(more := ridge & (max_pool2d(edges.float(), 3, 1, 1) > 0), edges):
        edges = more
    return edges


def chamfer(edges: Bool[Tensor, "b 1 h w"], most: float) -> Plane:
    """Distance from the nearest edge, along steps of three lengths, cut off at ``most``."""
    distance = torch.where(edges, 0.0, most)
    while True:
        around, nearer = pad(distance, (2, 2, 2, 2), value=most), distance
        for y, x, length in STEPS:
            nearer = torch.minimum(nearer, at(around, y, x, 2) + length)
        if torch.equal(nearer, distance):
            return distance.double()
        distance = nearer


def equalised(x: Plane) -> Plane:
    """Histogram equalisation of whole numbers below 32 to levels from 0 to 255."""
    values = x.long().flatten(1)
    counts = x.new_zeros(len(x), 32).scatter_add_(1, values, torch.ones_like(values, dtype=x.dtype))
    lowest = values.amin(1, keepdim=True)
    in_lowest = counts.gather(1, lowest)
    rest = values.shape[1] - in_lowest
    table = (255 * (counts.cumsum(1) - in_lowest) / rest.clamp(min=1)).round()
    return torch.where(rest > 0, table.gather(1, values), lowest.to(x.dtype)).view_as(x)


def relief(x: Plane) -> Plane:
    """Light from above left, as 8-bit levels."""
    around = pad(x, (1, 1, 1, 1), mode="reflect")
    weights = ((-1, -1, -2), (-1, 0, -1), (0, -1, -1), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 2))
    return sum(weight * at(around, y, z) for y, z, weight in weights).clamp(0, 255)  # type: ignore[union-attr]


def mean3(x: Plane) -> Plane:
    """Mean over 3×3 pixels, edges mirrored."""
    around = pad(x, (1, 1, 1, 1), mode="reflect")
    return sum(at(around, y, z) for y in (-1, 0, 1) for z in (-1, 0, 1)) / 9  # type: ignore[return-value]


def sobel(x: Plane) -> tuple[Plane, Plane]:
    """The gradient down and to the right, edges repeated."""
    around = pad(x, (1, 1, 1, 1), mode="replicate")
    down = at(around, 1, -1) + 2 * at(around, 1, 0) + at(around, 1, 1)
    down = down - at(around, -1, -1) - 2 * at(around, -1, 0) - at(around, -1, 1)
    right = at(around, -1, 1) + 2 * at(around, 0, 1) + at(around, 1, 1)
    right = right - at(around, -1, -1) - 2 * at(around, 0, -1) - at(around, 1, -1)
    return down, right


def at(around: Tensor, y: int, x: int, margin: int = 1) -> Tensor:
    """The image moved by (y, x), out of one padded by ``margin``."""
    height, width = around.shape[-2] - 2 * margin, around.shape[-1] - 2 * margin
    return around[..., margin + y : margin + y + height, margin + x : margin + x + width]
