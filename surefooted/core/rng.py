"""Random draws as a function of (seed, row, step), never of the position in a batch.

Philox-4x32-10 is a keyed bijection of counters, so any element of any draw can be computed without the ones before it.
Batch size, order, the set of active rows and the number of workers therefore cannot change a result. The code uses
int64 tensor arithmetic and gives the same bits on every device.

Reference: Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from math import pi, prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

WORD_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def torch_seed(*place: int) -> int:
    """A seed for a ``torch.Generator``, derived from whole numbers that identify a place in a run.

    The CPU generator reads only the low 32 bits of its seed, so every number has to affect those.

    Example:
        >>> torch_seed(0, 1) == torch_seed(0, 1) != torch_seed(1, 0)
        True
    """
    digest = hashlib.blake2b(repr(place).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, eq=False)
class Noise:
    """A stream of random draws for every row.

    Args:
        seed: any integer; its low 64 bits are the key.
        rows: (B,) indices in the data set.
        step: number of the draw of a row; ``at`` changes it.
        stream: separates draws for different purposes under one seed.

    Example:
        >>> noise = Noise(0, torch.tensor([3, 7]))
        >>> noise.uniform(1, 8, 8).shape
        torch.Size([2, 1, 8, 8])
        >>> torch.equal(noise.uniform(5)[1:], Noise(0, torch.tensor([7])).uniform(5))
        True
    """

    seed: int
    rows: Int[Tensor, " b"]
    step: int = 0
    stream: int = 0

    def at(self, step: int) -> Noise:
        """The same stream at another step."""
        return replace(self, step=step)

    def uniform(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Draws from [0, 1), multiples of 2⁻²⁴."""
        return self._bits(prod(shape)).bitwise_right_shift_(8).float().mul_(2**-24).view(len(self.rows), *shape)

    def normal(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Draws from N(0, 1), by the Box-Muller transform."""
        n = prod(shape)
        u = self._bits(n + n % 2).bitwise_right_shift_(8).float().mul_(2**-24)
        half = u.shape[1] // 2
        # 1 - u is in (0, 1], so the logarithm is finite.
        radius = (-2 * (1 - u[:, :half]).log()).sqrt_()
        angle = u[:, half:].mul(2 * pi)
        draws = torch.cat((radius * angle.cos(), radius * angle.sin()), 1)
        return draws[:, :n].reshape(len(self.rows), *shape)

    def sign(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Draws of -1 and 1, equally likely."""
        return self._bits(prod(shape)).bitwise_and_(1).mul_(2).sub_(1).float().view(len(self.rows), *shape)

    def _bits(self, n: int) -> Int[Tensor, "b n"]:
        """Uniform integers in [0, 2³²), as int64."""
        blocks = torch.arange(-(-n // 4), device=self.rows.device)
        rows = self.rows[:, None]
        step = torch.full_like(blocks, self.step & WORD_MASK)
        counter = (blocks, step, rows & WORD_MASK, rows >> 32 & 0xFFFF | self.stream << 16)
        words = philox(counter, (self.seed & WORD_MASK, self.seed >> 32 & WORD_MASK))
        return torch.stack(words, -1).view(len(self.rows), 4 * len(blocks))[:, :n]


def philox(counter: tuple[Tensor, ...], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox-4x32-10 of four int64 tensors of 32-bit words, which are broadcast against each other.

    Example:
        >>> words = philox((torch.tensor(0),) * 4, (0, 0))
        >>> hex(words[0])  # the first known answer of Random123
        '0x6627e8d5'
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The product wraps at 64 bits, which keeps its bit pattern right; the mask removes the extended sign.
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (second >> 32 & WORD_MASK) ^ c1 ^ k0,
            second & WORD_MASK,
            (first >> 32 & WORD_MASK) ^ c3 ^ k1,
            first & WORD_MASK,
        )
        k0, k1 = k0 + _WEYL[0] & WORD_MASK, k1 + _WEYL[1] & WORD_MASK
    return c0, c1, c2, c3
