"""HopSkipJump: the nearest adversarial example by a model's decisions alone, without scores and gradients."""

from __future__ import annotations

from math import ceil, inf, log2, sqrt
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import RowState
from surefooted.components.component import Count, NonNegative, component
from surefooted.core.norms import Norm, ball, per_row
from surefooted.core.scores import cw_margin

# What a row's next query is for.
_START, _BISECT, _GRADIENT, _STEP = range(4)
# A bisection ends at the resolution of float32; a step that fails this often is given up.
_MOST_BISECTIONS, _MOST_HALVINGS = 24, 30
_MOST_DIRECTIONS = 10_000
# Standard deviation of a pixel below which points at distance δ would be equal in float32.
_SMALLEST_PIXEL_STEP = 2**-18
# Blocks per side of the coarse starts.
_GRIDS = (1, 2, 4, 8)


@component
def hop_skip_jump(
    *,
    norm: Norm = "l2",
    eps: NonNegative | None = None,
    queries: Count = 5000,
    directions: Count = 100,
    starts: Count = 100,
    away_from: Literal["label", "prediction"] = "label",
) -> Attack:
    """HopSkipJump: the smallest perturbation, found by asking for decisions only. For labels-only black boxes.

    From a misclassified point x̃, round t = 1, 2, ... with d pixels and the clean point x₀

    1. bisects between x₀ and x̃, to a point x at the decision boundary;
    2. estimates the normal of the boundary from B_t = ``directions`` √t unit draws u:
       v ∝ mean over u of (φ(x + δu) − φ̄) u, where φ is 1 for a misclassified point and −1 otherwise;
    3. steps to x̃ = x + ξv, with ξ = ‖x − x₀‖ / √t, halved until x̃ is misclassified. L∞ steps along sign(v).

    Every example runs its own rounds until its queries are spent, and every query counts: the result is the nearest of
    all points that were misclassified. δ is a tenth of the box in the first round, then the distance of x̃ divided by d.

    Three details differ from the paper. Only every second start is uniform noise; the others have coarse blocks,
    because many models assign all noise to one class. δ is at least 2⁻¹⁸ √d, which float32 can resolve. A bisection
    takes at most 24 queries.

    Args:
        norm: norm that is minimised, linf or l2.
        eps: drop an example once its perturbation is within this radius; by default look for the smallest one.
        queries: decisions per example, including that of the clean point. An example without a start costs ``starts``.
        directions: B₀, the number of draws for the normal in the first round.
        starts: draws for a misclassified point to start from.
        away_from: ``prediction`` measures an example's robustness level (AR-AdaLS); ``label`` gives robust accuracy.

    Reference: Chen, Jordan and Wainwright, *HopSkipJumpAttack: a query-efficient decision-based attack*, IEEE S&P 2020,
    algorithms 1 and 2.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.hop_skip_jump(queries=20, directions=5)(net, points)
        >>> int(result.queries.max()) <= 20
        True
    """

    def search(oracle: Oracle) -> None:
        if not oracle.active_count:
            return
        walk = _Walk(oracle, norm, directions)
        s = walk.begin(starts)
        oracle.tracker.leaves_ball = eps is not None
        for k in oracle.iterate(queries - 1, s):
            point = walk.next_point(s, k)
            oracle.value(point)
            walk.advance(s, point, oracle.wrong)
        oracle.tracker.leaves_ball = False

    return Attack(
        search,
        ball(norm, inf if eps is None else eps),
        cw_margin(),
        queries,
        "nearest" if eps is None else "found",
        away_from=away_from,
        gradient_free=queries,
        tries_candidates=True,
    )


class _Walk:
    """The rounds of all active rows. A row's state says what its next query is for: rows need not be in step.

    The state of a row: its ``phase``; ``left``, the queries left in the phase; ``round``; ``x``, a misclassified point
    (the clean one before the start); ``low`` and ``high`` of the bisection; ``delta``, the length of the draws;
    ``step``, the length of the step; the sums of φ, u and φu over the draws. The last becomes the direction.
    """

    def __init__(self, oracle: Oracle, norm: Norm, directions: int) -> None:
        self.oracle, self.norm, self.directions = oracle, norm, directions
        self.pixels = oracle.x0[0].numel()
        theta = self.pixels ** (-1.5 if norm == "l2" else -2.0)
        self.bisections = min(max(ceil(-log2(theta)), 1), _MOST_BISECTIONS)

    def begin(self, starts: int) -> RowState:
        x0, count = self.oracle.x0, torch.zeros_like(self.oracle.y)
        none = torch.zeros(len(x0), dtype=x0.dtype, device=x0.device)
        return self.oracle.state(
            x=x0,
            phase=count + _START,
            left=count + starts,
            round=count + 1,
            low=none,
            high=none,
            delta=none,
            step=none,
            sum_phi=none,
            sum_u=torch.zeros_like(x0),
            direction=torch.zeros_like(x0),
        )

    def next_point(self, s: RowState, k: int) -> Float[Tensor, "a *z"]:
        """The point that each row asks for in step ``k``."""
        point = s.x.clone()
        if bool((rows := s.phase == _START).any()):
            point[rows] = self._start(k)[rows]
        if bool((rows := s.phase == _BISECT).any()):
            point[rows] = self._between(s, rows, (s.low + s.high) / 2)
        if bool((rows := s.phase == _GRADIENT).any()):
            point[rows] += (per_row(s.delta, s.x) * self._unit_draws())[rows]
        if bool((rows := s.phase == _STEP).any()):
            point[rows] += (per_row(s.step, s.x) * s.direction)[rows]
        return point.clamp_(*self.oracle.box)

    def advance(self, s: RowState, point: Float[Tensor, "a *z"], wrong: Bool[Tensor, " a"]) -> None:
        """Take the answers in: each row's query at ``point`` is ``wrong`` (misclassified) or not."""
        start, bisect, gradient, step = (s.phase == phase for phase in (_START, _BISECT, _GRADIENT, _STEP))
        s.left = s.left - 1
        done = s.left <= 0
        middle = (s.low + s.high) / 2
        s.low = torch.where(bisect & ~wrong, middle, s.low)
        s.high = torch.where(bisect & wrong, middle, s.high)
        if bool(gradient.any()):
            self._add_draw(s, point, wrong, gradient)
        s.step = torch.where(step & ~wrong, s.step / 2, s.step)
        s.round = s.round + (step & (wrong | done)).long()
        self._end_bisection(s, bisect & done)
        self._end_gradient(s, gradient & done)
        self._begin_gradient(s, (bisect | (step & ~wrong)) & done)
        if bool((arrived := (start | step) & wrong).any()):
            s.x = torch.where(per_row(arrived, s.x), point, s.x)
            self._begin_bisection(s, arrived)
        self.oracle.deactivate(start & ~wrong & done)

    def _start(self, k: int) -> Float[Tensor, "a *z"]:
        """Uniform noise in the box or, in every second step, blocks of one colour."""
        low, high = self.oracle.box
        shape = self.oracle.x0.shape[1:]
        grid = _GRIDS[k // 2 % len(_GRIDS)]
        if k % 2 and len(shape) == 3 and grid < min(shape[1:]):
            u = interpolate(self.oracle.noise().uniform(shape[0], grid, grid), shape[1:])
        else:
            u = self.oracle.noise().uniform(*shape)
        return low + (high - low) * u.to(self.oracle.x0.dtype)

    def _unit_draws(self) -> Float[Tensor, "a *z"]:
        shape, noise = self.oracle.x0.shape[1:], self.oracle.noise()
        u = noise.normal(*shape) if self.norm == "l2" else noise.uniform(*shape) * 2 - 1
        return u / per_row(u.flatten(1).norm(dim=1).clamp_min(1e-12), u)

    def _between(self, s: RowState, rows: Bool[Tensor, " a"], at: Float[Tensor, " a"]) -> Float[Tensor, "r *z"]:
        """Of some rows, the point between the clean point and ``x``: by its share of the way, or its L∞ distance."""
        x0, x = self.oracle.x0[rows], s.x[rows]
        at = per_row(at[rows], x)
        return torch.lerp(x0, x, at) if self.norm == "l2" else torch.clamp(x, x0 - at, x0 + at)

    def _begin_bisection(self, s: RowState, rows: Bool[Tensor, " a"]) -> None:
        size = self.oracle.ball.size(s.x - self.oracle.x0)
        s.phase, s.left = s.phase.masked_fill(rows, _BISECT), s.left.masked_fill(rows, self.bisections)
        s.low = s.low.masked_fill(rows, 0.0)
        s.high = torch.where(rows, torch.ones_like(size) if self.norm == "l2" else size, s.high)
        low, high = self.oracle.box
        delta = torch.where(s.round == 1, torch.full_like(size, (high - low) / 10), size / self.pixels)
        s.delta = torch.where(rows, delta.clamp_min(_SMALLEST_PIXEL_STEP * sqrt(self.pixels)), s.delta)

    def _end_bisection(self, s: RowState, rows: Bool[Tensor, " a"]) -> None:
        if bool(rows.any()):
            s.x = s.x.index_put((rows.nonzero()[:, 0],), self._between(s, rows, s.high))

    def _begin_gradient(self, s: RowState, rows: Bool[Tensor, " a"]) -> None:
        if bool(rows.any()):
            draws = (self.directions * s.round.double().sqrt()).long().clamp_max(_MOST_DIRECTIONS)
            s.phase, s.left = s.phase.masked_fill(rows, _GRADIENT), torch.where(rows, draws, s.left)
            s.sum_phi = s.sum_phi.masked_fill(rows, 0.0)
            s.sum_u, s.direction = (t.masked_fill(per_row(rows, t), 0.0) for t in (s.sum_u, s.direction))

    def _add_draw(self, s: RowState, point: Tensor, wrong: Tensor, rows: Tensor) -> None:
        phi = torch.where(wrong, 1.0, -1.0).to(s.x.dtype) * rows
        u = (point - s.x) * per_row(rows / s.delta.clamp_min(1e-30), s.x)  # where the box cut it
        s.sum_phi, s.sum_u = s.sum_phi + phi, s.sum_u + u
        s.direction = torch.where(per_row(rows, u), s.direction + per_row(phi, u) * u, s.direction)

    def _end_gradient(self, s: RowState, rows: Bool[Tensor, " a"]) -> None:
        """The direction of the step, from the sums over the draws, with the mean of φ as baseline."""
        if not bool(rows.any()):
            return
        draws = (self.directions * s.round.double().sqrt()).long().clamp_max(_MOST_DIRECTIONS)
        mean = s.sum_phi / draws
        v = s.direction - per_row(mean, s.x) * s.sum_u
        v = torch.where(per_row(mean.abs() == 1, v), per_row(mean, v) * s.sum_u, v)  # all draws on one side
        v = v.sign() if self.norm == "linf" else v / per_row(v.flatten(1).norm(dim=1).clamp_min(1e-12), v)
        s.direction = torch.where(per_row(rows, v), v, s.direction)
        size = self.oracle.ball.size(s.x - self.oracle.x0)
        s.step = torch.where(rows, size / s.round.sqrt(), s.step)
        s.phase, s.left = s.phase.masked_fill(rows, _STEP), s.left.masked_fill(rows, _MOST_HALVINGS)
