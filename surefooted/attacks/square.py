"""Square attack: random search that changes one square at a time, without gradients."""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle
from surefooted.components.component import Count, NonNegative, Share, component
from surefooted.core.norms import Norm, ball, per_row
from surefooted.core.scores import cw_margin
from surefooted.core.types import Score
from surefooted.errors import DataError

# Numbers of squares after which the area of the next ones is halved.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# Random numbers for this many squares are drawn at once: drawing them one by one would take as long as the forward
# passes of a small network.
_SQUARES_PER_DRAW = 64


@component
def square(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    queries: Count = 5000,
    p_init: Share = 0.8,
    restarts: Count = 1,
    objective: Score = cw_margin(),  # noqa: B008 - a value without state
    keep: Literal["found", "worst", "nearest"] = "found",
) -> Attack:
    """Square attack: random search with squares, which are kept if they raise the score. Gradient-free.

    L∞: starts from stripes of ±eps and sets a randomly placed square to x₀ ± eps, with one sign per channel.
    L2: starts from a grid of waves and moves the perturbation of one square into another, mixed with a new wave.
    Every example has its own draws: unlike in the authors' code, no result depends on the batch.

    Args:
        norm: norm of the ball, linf or l2.
        eps: radius of the ball, for pixels in [0, 1]: 8/255, not 8.
        queries: forward passes per example, including the one of the start.
        p_init: share of the image that the first square covers. It is halved after 10, 50, 200, 500, 1000, 2000, 4000,
            6000 and 8000 squares, whatever the number of queries (AutoAttack).
        restarts: searches from fresh draws, on the examples not broken before.
        objective: the score to raise.
        keep: found, worst or nearest; see ``Keep`` in ``attacks.tracker``.

    On points that are not images (batch, channels, height, width), the attack raises a ``DataError``.

    Reference: Andriushchenko et al., *Square attack: a query-efficient black-box adversarial attack via random search*,
    ECCV 2020, algorithms 1 to 3.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.square(eps=0.1, queries=30)(net, points)
        >>> int(result.queries.max()) <= 31
        True
    """
    start, change, numbers = (_stripes, _set_square, 2) if norm == "linf" else (_wave_grid, _move_square, 5)

    def search(oracle: Oracle) -> None:
        if oracle.x0.ndim != 4:
            raise DataError(
                f"square needs images of shape (batch, channels, height, width); got points of shape "
                f"{tuple(oracle.x0.shape)}. Use random_search, which takes any shape."
            )
        x = start(oracle)
        channels, height, width = x.shape[1:]
        lowest = torch.full_like(x[:, 0, 0, 0], -torch.inf)
        u = oracle.noise().uniform(_SQUARES_PER_DRAW, numbers + channels)
        s = oracle.state(x=x, candidate=x, value=lowest, u=u)
        for k in oracle.iterate(queries - 1, s):
            value = oracle.value(s.candidate)
            higher = value > s.value
            s.value = torch.where(higher, value, s.value)
            # Select by row with lerp: it takes a seventh of the time of where, whose mask would be broadcast.
            s.x = torch.lerp(s.x, s.candidate, per_row(higher, s.x).to(s.x))
            side = square_side(p_init / 2 ** sum(k > n for n in _HALVINGS), height, width, odd=norm == "l2")
            s.candidate = change(oracle, s.x, side, s.u[:, k % _SQUARES_PER_DRAW])
            if k % _SQUARES_PER_DRAW == _SQUARES_PER_DRAW - 1:
                s.u = oracle.noise().uniform(_SQUARES_PER_DRAW, numbers + channels)
        oracle.finish(s.candidate)

    return Attack(
        search, ball(norm, eps), objective, queries, keep, restarts, gradient_free=queries, tries_candidates=True
    )


def square_side(share: float, height: int, width: int, *, odd: bool) -> int:
    """Side of a square that covers about ``share`` of the image. With ``odd`` it is odd and at least 3, for a wave.

    Example:
        >>> square_side(0.8, 28, 28, odd=False), square_side(0.8, 28, 28, odd=True)
        (25, 25)
    """
    side = round(sqrt(share * height * width))
    side = max(side + (side % 2 == 0), 3) if odd else max(side, 1)
    return min(side, height, width)


def _stripes(oracle: Oracle) -> Float[Tensor, "b c h w"]:
    """Vertical stripes of x₀ ± eps, with a random sign per channel and column."""
    x0 = oracle.x0
    return (x0 + oracle.ball.eps * oracle.noise().sign(x0.shape[1], 1, x0.shape[3])).clamp_(*oracle.box)


def _set_square(oracle: Oracle, x: Tensor, side: int, u: Float[Tensor, "b u"]) -> Float[Tensor, "b c h w"]:
    """Set a square of each image to x₀ ± eps."""
    pixels = _square_pixels(u[:, :2], side, x)
    offset = _signs(u[:, 2:]) * oracle.ball.eps
    clean, current = _read(oracle.x0, pixels), _read(x, pixels)
    new = (clean + offset).clamp_(*oracle.box)
    # A square that would change nothing takes the other sign: a query on it would be wasted.
    same = (new == current).flatten(1).all(1)
    return _write(x, pixels, torch.where(same[:, None, None], (clean - offset).clamp_(*oracle.box), new))


def _wave_grid(oracle: Oracle) -> Float[Tensor, "b c h w"]:
    """A grid of about five by five waves, each with a random sign and orientation, together of norm eps."""
    x0 = oracle.x0
    channels, height, width = x0.shape[1:]
    side = max(min(height, width) // 5, 1)
    rows, columns = height // side, width // side
    u = oracle.noise().uniform(channels + 1, rows, columns, 1, 1)
    one = wave(side, x0.device, x0.dtype)
    tiles = _signs(u[:, 1:]) * torch.where(u[:, :1] < 0.5, one, one.T)
    d = tiles.transpose(3, 4).reshape(-1, channels, rows * side, columns * side)
    top, left = (height - d.shape[2]) // 2, (width - d.shape[3]) // 2
    return _rescale(oracle, pad(d, (left, width - d.shape[3] - left, top, height - d.shape[2] - top)))


def _move_square(oracle: Oracle, x: Tensor, side: int, u: Float[Tensor, "b u"]) -> Float[Tensor, "b c h w"]:
    """Move the perturbation of one square, and the unused part of the budget, into another, mixed with a wave."""
    d = x - oracle.x0
    target, source = _square_pixels(u[:, :2], side, x), _square_pixels(u[:, 2:4], side, x)
    one = wave(side, x.device, x.dtype)
    new_wave = _signs(u[:, 5:]) * torch.where(u[:, 4:5] < 0.5, one.flatten(), one.T.flatten())[:, None]
    mixed = new_wave + _unit(_read(d, target))
    zeros = torch.zeros_like(mixed)
    rest = _write(_write(d, source, zeros), target, zeros)
    total, remaining = _energy(d), _energy(rest)
    unused = (oracle.ball.eps**2 - total.sum(1, keepdim=True)).clamp_min(0) / d.shape[1]
    norms = (unused + (total - remaining).clamp_min(0)).sqrt()
    return _rescale(oracle, _write(rest, target, _unit(mixed) * norms))


@cache
def wave(side: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "side side"]:
    """A bump in the upper half and a negative bump in the lower, together of norm one."""
    half = side // 2
    both = torch.cat((bump(half, side), -bump(side - half, side)))
    norm: Tensor = torch.linalg.vector_norm(both)
    return (both / norm).to(device, dtype)


def bump(height: int, width: int) -> Float[Tensor, "height width"]:
    """Nested rectangles around the middle, each with the height 1 / m² of the m-th added, together of norm one."""
    rows, columns = (torch.arange(n).sub(n // 2).abs() for n in (height, width))
    ring = torch.maximum(rows[:, None], columns)
    steps = 1 / torch.arange(1, max(height, width) // 2 + 2) ** 2
    heights = steps.flip(0).cumsum(0).flip(0)[ring]
    norm: Tensor = torch.linalg.vector_norm(heights)
    return heights / norm


def _square_pixels(u: Float[Tensor, "b 2"], side: int, x: Tensor) -> Int[Tensor, "b n"]:
    """Indices, in a flattened image, of the pixels of a randomly placed square."""
    height, width = x.shape[2:]
    row, column = (u[:, 0] * (height - side + 1)).long(), (u[:, 1] * (width - side + 1)).long()
    i = torch.arange(side, device=x.device)
    return (row * width + column)[:, None] + (i[:, None] * width + i).flatten()


def _rescale(oracle: Oracle, d: Tensor) -> Float[Tensor, "b c h w"]:
    """The clean points plus the perturbation, scaled to the edge of the ball and then cut to the box."""
    size = oracle.ball.size(d).clamp_min(1e-12)
    return (oracle.x0 + d * per_row(oracle.ball.eps / size, d)).clamp_(*oracle.box)


def _signs(u: Float[Tensor, "b c *1"]) -> Tensor:
    """Uniform draws as signs. Draws without a pixel axis get one of length 1."""
    sign = torch.where(u < 0.5, -1.0, 1.0)
    return sign[:, :, None] if sign.ndim == 2 else sign


def _unit(d: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
    norm: Tensor = torch.linalg.vector_norm(d, dim=2, keepdim=True)
    return d / norm.clamp_min(1e-12)


def _energy(d: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1"]:
    """Squared norm of each channel."""
    return d.square().sum((2, 3))[:, :, None]


def _read(x: Tensor, pixels: Int[Tensor, "b n"]) -> Float[Tensor, "b c n"]:
    return x.flatten(2).gather(2, pixels[:, None].expand(-1, x.shape[1], -1))


def _write(x: Tensor, pixels: Int[Tensor, "b n"], values: Float[Tensor, "b c n"]) -> Float[Tensor, "b c h w"]:
    return x.flatten(2).scatter(2, pixels[:, None].expand_as(values), values).view_as(x)
