"""The tracker: the best point of every row so far, and which rows are still under attack."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.core.finite import finite_rows, ranked
from surefooted.core.interval import Interval, wilson_interval
from surefooted.core.norms import Ball, per_row
from surefooted.core.scores import cw_margin
from surefooted.core.types import Forward, Points

# The point that an attack returns: ``found`` drops an image once the attack succeeds; ``worst`` never drops it and
# ranks points by (success, objective); ``nearest`` keeps the smallest perturbation that succeeds; ``last`` is the final
# iterate.
Keep = Literal["found", "worst", "nearest", "last"]

_MARGIN = cw_margin()
# A margin changes by up to this much with the composition of the batch or the memory layout of the weights. The oracle
# scales logits that are all but equal, so that it stands for the rounding of those, too.
MARGIN_ROUNDING = 4e-6


class AttackResult(NamedTuple):
    """The result of an attack, one entry per example.

    Attributes:
        x: the adversarial example that the attack's ``keep`` rule selects.
        found: True where the victim misclassifies ``x``: its prediction, by ``predict`` with the attack's ``batch``,
            differs from the class under attack. A point or an answer that is not finite is never a success.
        size: norm of the perturbation. It is 0 where the clean point is already misclassified (``keep`` is ``found`` or
            ``nearest``) and where ``nearest`` finds nothing; ``distance`` tells these two apart.
        queries: forward passes spent on the example until it was dropped.
        non_finite_answers: how often the victim's answer had a logit that is NaN or +inf (see ``core.finite``).
        non_finite_gradients: how many gradients had an entry that is NaN or infinite; such an entry counts as 0.

    Example:
        >>> import torch
        >>> from surefooted.attacks.tracker import AttackResult
        >>> found, size = torch.tensor([True, False]), torch.tensor([0.5, 0.0])
        >>> AttackResult(torch.zeros(2, 3), found, size, torch.tensor([7, 9])).distance
        tensor([0.5000, inf])
    """

    x: Float[Tensor, "b *z"]
    found: Bool[Tensor, " b"]
    size: Float[Tensor, " b"]
    queries: Int[Tensor, " b"]
    non_finite_answers: Int[Tensor, " b"] | None = None
    non_finite_gradients: Int[Tensor, " b"] | None = None

    def __repr__(self) -> str:
        return f"AttackResult(n={len(self.found)}, success={100 * self.found.double().mean().item():.1f} %)"

    @property
    def robust_accuracy(self) -> Interval:
        """The share of images on which the attack failed, with its 95 % Wilson interval over the images.

        Example:
            >>> found = torch.tensor([True] * 30 + [False] * 70)
            >>> AttackResult(torch.zeros(100, 3), found, torch.zeros(100), torch.zeros(100).long()).robust_accuracy
            0.700 [0.604, 0.781]
        """
        return wilson_interval(int((~self.found).sum()), len(self.found))

    @property
    def distance(self) -> Float[Tensor, " b"]:
        """(N,) ``size`` where the attack succeeded, infinite elsewhere: the input of ``levels_of``."""
        return torch.where(self.found, self.size, inf)


class RowState:
    """Tensors with one entry per row, which shrink together when rows are dropped."""

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

    def assign(self, other: RowState) -> None:
        """Take over the tensors of another state."""
        self.__dict__.clear()
        self.__dict__.update(other.__dict__)


class Tracker:
    """The records of a pool of rows.

    Args:
        points: the coordinates under attack, the class that each row should leave, the rows that key the noise.
        target: what the objective treats as the truth; the class by default.
        ball: the allowed perturbations.
        keep: see ``Oracle``.
        tracks_best: if False, nothing is recorded but the points themselves.
        drops_rows: if False, inactive rows stay in the batch.

    Attributes:
        active: records of the rows under attack. ``x0``, ``y``, ``rows`` and ``target`` were given; ``position`` is the
            place in the pool. ``best``, ``found``, ``value``, ``size`` and ``queries`` describe the best point so far.
            ``inactive`` is True where a row is finished or deactivated. ``non_finite_answers`` and
            ``non_finite_gradients`` count.
        pool: records of the whole pool, up to date after ``collect``.
        multi_objective: True once the objective has changed. The worst point is then the one of greatest margin.
        leaves_ball: a search that leaves the ball and returns sets this to True. Points outside do not count.
        give_up_ratio: if finite, ``iterate`` deactivates rows with little hope: those whose remaining way to the goal
            is longer than this many times the progress in the second half of the steps so far.
        drop_every: steps between two checks for rows to drop.
        drops_at_once: if True, a finished row is never asked again.
    """

    def __init__(
        self, points: Points, target: Tensor | None, *, ball: Ball, keep: Keep, tracks_best: bool, drops_rows: bool
    ) -> None:
        x, y, rows = points
        n, device = len(y), x.device
        self.ball, self.keep, self.tracks_best, self.drops_rows = ball, keep, tracks_best, drops_rows
        self.multi_objective, self.leaves_ball, self.give_up_ratio = False, False, inf
        self.active = RowState(
            x0=x, y=y, rows=rows, target=y if target is None else target, position=torch.arange(n, device=device)
        )
        if tracks_best:
            active = self.active
            active.best = x.clone()
            active.found, active.inactive = (torch.zeros(n, dtype=torch.bool, device=device) for _ in range(2))
            active.value, active.progress, active.previous_progress = (
                torch.full((n,), -inf, device=device) for _ in range(3)
            )
            active.size = torch.full((n,), inf, device=device)
            active.queries, active.non_finite_answers, active.non_finite_gradients = (
                torch.zeros(n, dtype=torch.int64, device=device) for _ in range(3)
            )
        self.pool = RowState(**self.active.__dict__)
        # Counting inactive rows makes the CPU wait for a GPU, so it is done less often there.
        self.drop_every = 8 if x.is_cuda else 1
        self.drops_at_once = False
        self._has_deactivated = False  # since the last step of ``iterate``

    @property
    def active_count(self) -> int:
        """Number of rows under attack."""
        return len(self.active.y)

    def add_columns(self, **columns: Tensor) -> None:
        """Add a record of every row. No row may have been dropped yet."""
        self.active.__dict__.update(columns)
        self.pool.__dict__.update(columns)

    def deactivate(self, rows: Bool[Tensor, " a"]) -> None:
        """See ``Oracle.deactivate``."""
        if self.tracks_best:
            self.active.inactive |= rows
            self._has_deactivated = True

    def iterate(self, steps: int, state: RowState) -> Iterator[int]:
        """See ``Oracle.iterate``."""
        entered, place = self.active.position, torch.arange(self.active_count, device=self.active.position.device)
        full: RowState | None = None  # the state of all rows that entered, once some have left
        saved = torch.zeros_like(place, dtype=torch.bool)  # rows whose state in ``full`` is final
        checks = {steps // 10, steps // 5, 2 * steps // 5, 4 * steps // 5} if self.give_up_ratio < inf else set()
        if checks:
            self.active.progress, self.active.previous_progress = (
                torch.full_like(self.active.size, -inf) for _ in range(2)
            )
        for k in range(steps):
            if k in checks:
                progress, previous = self.active.progress, self.active.previous_progress
                self.deactivate(-progress > self.give_up_ratio * (progress - previous))
                self.active.previous_progress = progress.clone()
            if self._has_deactivated:
                # Save the state at once: a row must not come back changed by steps that it took only because other
                # rows were still busy.
                new = self.active.inactive & ~saved
                full = full or state.clone()
                full.put(place[new], state.take(new))
                saved, self._has_deactivated = saved | new, False
            if self.tracks_best and k % self.drop_every == 0 and self._dropping_pays():
                full, stays = full or state.clone(), ~self.active.inactive
                place, saved = place[stays], saved[stays]
                state.assign(state.take(stays))
                self.drop_inactive()
            if not self.active_count:
                break
            yield k
        if self.tracks_best:
            self.collect()
            if full is not None:
                full.put(place[~saved], state.take(~saved))
                state.assign(full)
            self._has_deactivated = False
            returned = self.pool.take(entered)
            returned.inactive = returned.found & (self.keep == "found")
            self.active = returned
            if self.active_count and bool(returned.inactive.any()):
                state.assign(state.take(~returned.inactive))
                self.drop_inactive()

    def count_queries(self, batch: slice, passes: int) -> None:
        """Count forward passes for the active rows of a batch."""
        self.active.queries[batch] += passes * ~self.active.inactive[batch]

    def count_non_finite(self, batch: slice, *, answered: Tensor) -> None:
        """Count the active rows of a batch that have no answer."""
        self.active.non_finite_answers[batch] += ~(answered | self.active.inactive[batch])

    def count_broken_gradients(self, batch: slice, broken: Tensor) -> None:
        """Count the active rows of a batch whose gradient has an entry that is not finite."""
        self.active.non_finite_gradients[batch] += broken & ~self.active.inactive[batch]

    def rank_by_margin(self, clean: Forward) -> None:
        """From now on rank points by their margin, whatever the objective. Only the clean points exist so far."""
        if not self.multi_objective:
            self.multi_objective = True
            self.active.value.copy_(ranked(_MARGIN(clean)))

    def judge(self, batch: slice, x: Tensor, f: Forward, value: Tensor, wrong: Tensor) -> None:
        """Record these points where they are better than the best so far by the ``keep`` rule."""
        active = self.active
        value = ranked(_MARGIN(f)) if self.multi_objective else value
        found, best_value, inactive = active.found[batch], active.value[batch], active.inactive[batch]
        if self.keep == "nearest":
            size = self.ball.size(x - active.x0[batch])
            # A point misclassified by less than rounding may be classified correctly in another batch or layout.
            better = wrong & (_MARGIN(f) > MARGIN_ROUNDING) & (size < active.size[batch])
        elif self.keep == "last":
            better = torch.ones_like(wrong)
        else:
            better = ((wrong & ~found) | ((wrong == found) & (value > best_value))) & f.answered
        better &= finite_rows(x) & ~inactive
        if self.leaves_ball:
            better &= self.ball.size(x - active.x0[batch]) <= self.ball.eps * (1 + 1e-6)
        if self.keep == "nearest":
            _overwrite(active.size[batch], better, size)
        _overwrite(active.best[batch], better, x)
        _overwrite(best_value, better, value)
        _overwrite(found, better, wrong)
        if self.keep == "found":
            inactive |= found
        if self.give_up_ratio < inf:
            # Progress is 0 at the goal. A walk from outside measures the distance to the edge of the ball, a walk from
            # inside the margin.
            outside = torch.where(wrong, self.ball.eps - self.ball.size(x - active.x0[batch]), -inf)
            progress = active.progress[batch]
            torch.maximum(progress, outside if self.leaves_ball else ranked(_MARGIN(f)), out=progress)

    def drop_inactive(self) -> None:
        """Drop inactive rows from ``active``; the pool keeps their records."""
        inactive = self.active.inactive
        if self.drops_rows and bool(inactive.any()):
            self._write_to_pool(self.active.take(inactive))
            self.active = self.active.take(~inactive)

    def collect(self) -> RowState:
        """Bring the records of the whole pool up to date and return them."""
        self._write_to_pool(self.active)
        return self.pool

    def _dropping_pays(self) -> bool:
        # Dropping a row copies the records of all others: wait until a sixteenth of the rows can go.
        count = int(self.active.inactive.sum())
        return self.drops_rows and (count > 0 if self.drops_at_once else count * 16 > self.active_count)

    def _write_to_pool(self, rows: RowState) -> None:
        if self.pool.position is self.active.position:
            self.pool = RowState(**self.active.__dict__)  # no row has been dropped yet: both are the same
        else:
            self.pool.put(rows.position, rows)


def _overwrite(best: Tensor, where: Bool[Tensor, " a"], new: Tensor) -> None:
    torch.where(per_row(where, best), new.to(best.dtype), best, out=best)
