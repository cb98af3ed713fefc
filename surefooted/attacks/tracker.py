"""What an oracle remembers: the best point of every row so far, and which rows are still attacked."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.core.norms import Ball, per_row
from surefooted.core.scores import cw_margin
from surefooted.core.types import Forward, Points

Keep = Literal["found", "worst", "nearest", "last"]

MARGIN = cw_margin()
# What a margin may move by from batch to batch, or with the layout of the weights.
ROUNDING = 4e-6


class Adversarial(NamedTuple):
    """What an attack hands back, per example.

    Attributes:
        x: the point kept (which one, the attack's ``keep`` rule says).
        found: whether the victim's answer there differs from the class that was attacked.
        size: norm of the perturbation kept; 0 where the clean point was already wrong, under ``found`` and ``nearest``,
            and where ``nearest`` found nothing (``distance`` tells these apart).
        queries: forward passes asked for this row until it retired.
    """

    x: Float[Tensor, "b *z"]
    found: Bool[Tensor, " b"]
    size: Float[Tensor, " b"]
    queries: Int[Tensor, " b"]

    @property
    def distance(self) -> Float[Tensor, " b"]:
        """(N,) ``size`` where something was found, infinite elsewhere: what ``levels_of`` ranks by."""
        return torch.where(self.found, self.size, inf)


class RowState:
    """Tensors with one entry a row that shrink together as rows retire."""

    def __init__(self, **tensors: Tensor) -> None:
        self.__dict__.update(tensors)

    def __getattr__(self, name: str) -> Tensor:  # for type checkers: every attribute is a tensor
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Tensor) -> None:
        self.__dict__[name] = value

    def take(self, index: Tensor) -> RowState:
        return RowState(**{name: t[index] for name, t in self.__dict__.items()})

    def put(self, index: Tensor, rows: RowState) -> None:
        for name, t in rows.__dict__.items():
            self.__dict__[name][index] = t

    def clone(self) -> RowState:
        return RowState(**{name: t.clone() for name, t in self.__dict__.items()})

    def become(self, other: RowState) -> None:
        self.__dict__.clear()
        self.__dict__.update(other.__dict__)


class Tracker:
    """The records of a block of rows.

    Args:
        points: the coordinates that are attacked, the class that each row should leave, the rows for the noise.
        target: what the objective reads as the truth.
        keep: as in ``Oracle``.
        judging: without it there is no record but of what was given.
        retiring: whether rows that are done leave.

    Attributes:
        now: of the rows that are still attacked: x0, y, i, target; their place in the block (row); and of what was
            judged best, found, value, size, queries, and idle where a row is done or rests.
        whole: of the block, up to date once ``settle`` was called.
        rested: whether rows were set aside since the last turn.
        across: whether several objectives have been raised in turn: the worst point is that of greatest margin, then.
        roaming: a search that leaves the ball to come back to it sets this: points outside do not count.
        outlook: less than infinity, ``rounds`` sets rows aside that have little hope: what is left of the way to their
            goal is more than so many times what the latter half of the rounds brought.
    """

    def __init__(
        self, points: Points, target: Tensor | None, *, ball: Ball, keep: Keep, judging: bool, retiring: bool
    ) -> None:
        x, y, i = points
        n, device = len(y), x.device
        self.ball, self.keep, self.judging = ball, keep, judging
        self.retiring, self.across, self.roaming, self.rested, self.outlook = retiring, False, False, False, inf
        self.now = RowState(
            x0=x, y=y, rows=i, target=y if target is None else target, row=torch.arange(n, device=device)
        )
        if judging:
            self.now.best = x.clone()
            self.now.found, self.now.idle = (torch.zeros(n, dtype=torch.bool, device=device) for _ in range(2))
            self.now.value, self.now.near, self.now.past = (torch.full((n,), -inf, device=device) for _ in range(3))
            self.now.size = torch.full((n,), inf, device=device)
            self.now.queries = torch.zeros(n, dtype=torch.int64, device=device)
        self.whole = RowState(**self.now.__dict__)
        # Asking whether rows have retired makes a GPU wait, so it is asked less often there.
        self.patience = 8 if x.is_cuda else 1

    @property
    def active(self) -> int:
        return len(self.now.y)

    def add(self, **columns: Tensor) -> None:
        """One more record of every row; nothing has retired yet."""
        self.now.__dict__.update(columns)
        self.whole.__dict__.update(columns)

    def rest(self, rows: Bool[Tensor, " a"]) -> None:
        """As ``Oracle.rest``."""
        if self.judging:
            self.now.idle |= rows
            self.rested = True

    def rounds(self, n: int, state: RowState) -> Iterator[int]:
        """As ``Oracle.rounds``."""
        entered, place = self.now.row, torch.arange(self.active, device=self.now.row.device)
        whole: RowState | None = None
        kept = torch.zeros_like(place, dtype=torch.bool)  # rows whose state is put away
        looks = {n // 10, n // 5, 2 * n // 5, 4 * n // 5} if self.outlook < inf else set()
        if looks:
            self.now.near, self.now.past = (torch.full_like(self.now.size, -inf) for _ in range(2))
        for k in range(n):
            if k in looks:
                self.rest(-self.now.near > self.outlook * (self.now.near - self.now.past))
                self.now.past = self.now.near.clone()
            if self.rested:
                # At once: how long a row goes on while others are still busy must not show in what it comes back with.
                fresh = self.now.idle & ~kept
                whole = whole or state.clone()
                whole.put(place[fresh], state.take(fresh))
                kept, self.rested = kept | fresh, False
            if self.judging and k % self.patience == 0 and self._worth_retiring():
                whole, stays = whole or state.clone(), ~self.now.idle
                place, kept = place[stays], kept[stays]
                state.become(state.take(stays))
                self.retire()
            if not self.active:
                break
            yield k
        if self.judging:
            self.settle()
            if whole is not None:
                whole.put(place[~kept], state.take(~kept))
                state.become(whole)
            self.rested = False
            back = self.whole.take(entered)
            back.idle = back.found & (self.keep == "found")
            self.now = back
            if self.active and bool(back.idle.any()):
                state.become(state.take(~back.idle))
                self.retire()

    def asked(self, part: slice, passes: int) -> None:
        """Count what was asked for the rows that are not done."""
        self.now.queries[part] += passes * ~self.now.idle[part]

    def compare(self, clean: Forward) -> None:
        """From now on rank points by their margin, whatever was raised; the clean ones are all that there is so far."""
        if not self.across:
            self.across = True
            self.now.value.copy_(MARGIN(clean))

    def judge(self, part: slice, x: Tensor, f: Forward, value: Tensor, wrong: Tensor) -> None:
        """Keep these points where they are better than the best so far, by the ``keep`` rule."""
        now = self.now
        value = MARGIN(f) if self.across else value
        found, best, idle = now.found[part], now.value[part], now.idle[part]
        if self.keep == "nearest":
            size = self.ball.size(x - now.x0[part])
            # Wrong by less than rounding may be right when asked again, in another batch or layout of the weights.
            better = wrong & (MARGIN(f) > ROUNDING) & (size < now.size[part])
        elif self.keep == "last":
            better = torch.ones_like(wrong)
        else:
            better = (wrong & ~found) | ((wrong == found) & (value > best))
        better &= ~idle
        if self.roaming:
            better &= self.ball.size(x - now.x0[part]) <= self.ball.eps * (1 + 1e-6)
        if self.keep == "nearest":
            _overwrite(now.size[part], better, size)
        _overwrite(now.best[part], better, x)
        _overwrite(best, better, value)
        _overwrite(found, better, wrong)
        if self.keep == "found":
            idle |= found
        if self.outlook < inf:
            # To the goal it is 0: from outside the ball the distance to its edge, from inside the margin.
            outside = torch.where(wrong, self.ball.eps - self.ball.size(x - now.x0[part]), -inf)
            torch.maximum(now.near[part], outside if self.roaming else MARGIN(f), out=now.near[part])

    def retire(self) -> None:
        """Rows that are idle leave ``now``."""
        idle = self.now.idle
        if self.retiring and bool(idle.any()):
            self._store(self.now.take(idle))
            self.now = self.now.take(~idle)

    def settle(self) -> RowState:
        """The records of the whole block."""
        self._store(self.now)
        return self.whole

    def _worth_retiring(self) -> bool:
        # Dropping a row copies the records of those that stay: wait until it pays.
        return self.retiring and int(self.now.idle.sum()) * 16 > self.active

    def _store(self, rows: RowState) -> None:
        if self.whole.row is self.now.row:
            self.whole = RowState(**self.now.__dict__)  # nothing has left yet: the record is the block
        else:
            self.whole.put(rows.row, rows)


def _overwrite(kept: Tensor, where: Bool[Tensor, " a"], new: Tensor) -> None:
    torch.where(per_row(where, kept), new.to(kept.dtype), kept, out=kept)
