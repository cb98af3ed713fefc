"""Square attack: random search that repaints one square at a time, from the victim's answers alone."""

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
from surefooted.errors import InputError

# Squares tried after which the next have half of the area.
HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# Draws for so many squares are made at once: one by one they would take as long as a small network's answers.
BLOCK = 64


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
    """Square attack: random search with squares, kept where they raise the score. Asks for no gradient.

    L∞: from stripes of ±eps, a square at a drawn place is set to x₀ ± eps, with one sign for each channel.
    L2: from a grid of waves, the perturbation of one square is moved into another, where it is mixed with a wave.
    Each row draws for itself: unlike in the authors' code, no result depends on the batch.

    Args:
        norm: of the ball, linf or l2.
        eps: its radius, in pixels' [0, 1]: 8/255, not 8.
        queries: forward passes a row, the start among them.
        p_init: share of the image in the first square; halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000
            squares, however many there are to be (AutoAttack).
        objective: the score to raise.
        keep: found, worst or nearest; see ``surefooted.attacks.oracle.Oracle``.

    Raises:
        InputError: when run on points that are not images.

    Source: Andriushchenko et al., *Square attack: a query-efficient black-box adversarial attack via random search*,
    ECCV 2020.
    """
    first, change, draws = (stripes, paint, 2) if norm == "linf" else (waves, shift, 5)

    def search(oracle: Oracle) -> None:
        if oracle.x0.ndim != 4:
            raise InputError(
                f"square paints on images (rows, channels, height, width); these points have the shape "
                f"{tuple(oracle.x0.shape)}. Use random_search, which takes any."
            )
        start = first(oracle)
        channels, height, width = start.shape[1:]
        unseen = torch.full_like(start[:, 0, 0, 0], -torch.inf)
        s = oracle.state(x=start, new=start, value=unseen, u=oracle.noise().uniform(BLOCK, draws + channels))
        for k in oracle.rounds(queries - 1, s):
            value = oracle.value(s.new)
            higher = value > s.value
            s.value = torch.where(higher, value, s.value)
            # A choice by row: lerp takes a seventh of the time of where, whose mask would have to be broadcast.
            s.x = torch.lerp(s.x, s.new, per_row(higher, s.x).to(s.x))
            side = side_of(p_init / 2 ** sum(k > after for after in HALVED_AFTER), height, width, odd=norm == "l2")
            s.new = change(oracle, s.x, side, s.u[:, k % BLOCK])
            if k % BLOCK == BLOCK - 1:
                s.u = oracle.noise().uniform(BLOCK, draws + channels)
        oracle.finish(s.new)

    return Attack(search, ball(norm, eps), objective, queries, keep, restarts, gradient_free=queries, proposes=True)


def side_of(p: float, height: int, width: int, *, odd: bool) -> int:
    """Side of a square of about the share p of the image. A wave needs a middle: it is odd, from 3."""
    side = round(sqrt(p * height * width))
    side = max(side + (side % 2 == 0), 3) if odd else max(side, 1)
    return min(side, height, width)


def stripes(oracle: Oracle) -> Float[Tensor, "b c h w"]:
    """Vertical stripes of x₀ ± eps, a draw for each channel and column."""
    x0 = oracle.x0
    return (x0 + oracle.ball.eps * oracle.noise().sign(x0.shape[1], 1, x0.shape[3])).clamp_(*oracle.box)


def paint(oracle: Oracle, x: Tensor, side: int, u: Float[Tensor, "b u"]) -> Float[Tensor, "b c h w"]:
    """Set a square of each image to x₀ ± eps."""
    at = window(u[:, :2], side, x)
    edge = _signs(u[:, 2:]) * oracle.ball.eps
    clean, now = _read(oracle.x0, at), _read(x, at)
    new = (clean + edge).clamp_(*oracle.box)
    # A square that would change nothing takes the other sign: a query on it would be wasted.
    same = (new == now).flatten(1).all(1)
    return _write(x, at, torch.where(same[:, None, None], (clean - edge).clamp_(*oracle.box), new))


def waves(oracle: Oracle) -> Float[Tensor, "b c h w"]:
    """A grid of some five by five waves, each of a drawn sign and orientation, together of size eps."""
    x0 = oracle.x0
    channels, height, width = x0.shape[1:]
    side = max(min(height, width) // 5, 1)
    down, across = height // side, width // side
    u = oracle.noise().uniform(channels + 1, down, across, 1, 1)
    one = wave(side, x0.device, x0.dtype)
    tiles = _signs(u[:, 1:]) * torch.where(u[:, :1] < 0.5, one, one.T)
    d = tiles.transpose(3, 4).reshape(-1, channels, down * side, across * side)
    top, left = (height - d.shape[2]) // 2, (width - d.shape[3]) // 2
    return _resized(oracle, pad(d, (left, width - d.shape[3] - left, top, height - d.shape[2] - top)))


def shift(oracle: Oracle, x: Tensor, side: int, u: Float[Tensor, "b u"]) -> Float[Tensor, "b c h w"]:
    """Move the perturbation of one square, with what the ball has left, into another, and mix it with a wave there."""
    d = x - oracle.x0
    into, out_of = window(u[:, :2], side, x), window(u[:, 2:4], side, x)
    one = wave(side, x.device, x.dtype)
    drawn = _signs(u[:, 5:]) * torch.where(u[:, 4:5] < 0.5, one.flatten(), one.T.flatten())[:, None]
    mixed = drawn + _unit(_read(d, into))
    none = torch.zeros_like(mixed)
    rest = _write(_write(d, out_of, none), into, none)
    mass, left = _mass(d), _mass(rest)
    spare = (oracle.ball.eps**2 - mass.sum(1, keepdim=True)).clamp_min(0) / d.shape[1]
    return _resized(oracle, _write(rest, into, _unit(mixed) * (spare + (mass - left).clamp_min(0)).sqrt()))


@cache
def wave(side: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "side side"]:
    """A hill on the upper half and a hollow on the lower, of size one."""
    half = side // 2
    both = torch.cat((hill(half, side), -hill(side - half, side)))
    return (both / both.norm()).to(device, dtype)


def hill(height: int, width: int) -> Float[Tensor, "height width"]:
    """Nested rectangles about the middle, the m-th of height 1 / m², of size one."""
    rows, columns = (torch.arange(n).sub(n // 2).abs() for n in (height, width))
    ring = torch.maximum(rows[:, None], columns)
    steps = 1 / torch.arange(1, max(height, width) // 2 + 2) ** 2
    hill = steps.flip(0).cumsum(0).flip(0)[ring]
    return hill / hill.norm()


def window(u: Float[Tensor, "b 2"], side: int, x: Tensor) -> Int[Tensor, "b n"]:
    """Where the pixels of a square at a drawn place lie in a flattened image."""
    height, width = x.shape[2:]
    row, column = (u[:, 0] * (height - side + 1)).long(), (u[:, 1] * (width - side + 1)).long()
    i = torch.arange(side, device=x.device)
    return (row * width + column)[:, None] + (i[:, None] * width + i).flatten()


def _resized(oracle: Oracle, d: Tensor) -> Float[Tensor, "b c h w"]:
    """The perturbation at the edge of the ball, then in the box."""
    size = oracle.ball.size(d).clamp_min(1e-12)
    return (oracle.x0 + d * per_row(oracle.ball.eps / size, d)).clamp_(*oracle.box)


def _signs(u: Float[Tensor, "b c *1"]) -> Tensor:
    """Uniform draws as signs; with one pixel for a channel where they have none."""
    sign = torch.where(u < 0.5, -1.0, 1.0)
    return sign[:, :, None] if sign.ndim == 2 else sign


def _unit(d: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
    return d / d.norm(dim=2, keepdim=True).clamp_min(1e-12)


def _mass(d: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1"]:
    return d.square().sum((2, 3))[:, :, None]


def _read(x: Tensor, at: Int[Tensor, "b n"]) -> Float[Tensor, "b c n"]:
    return x.flatten(2).gather(2, at[:, None].expand(-1, x.shape[1], -1))


def _write(x: Tensor, at: Int[Tensor, "b n"], values: Float[Tensor, "b c n"]) -> Float[Tensor, "b c h w"]:
    return x.flatten(2).scatter(2, at[:, None].expand_as(values), values).view_as(x)
