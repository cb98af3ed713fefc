"""Fast adaptive boundary attack: walk along the decision boundary, drawn towards the clean point."""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from surefooted.attacks.base import Attack
from surefooted.attacks.boundary import search_line, to_plane
from surefooted.attacks.oracle import Oracle
from surefooted.components.component import Count, Positive, Share, component
from surefooted.core.norms import Norm, ball, per_row
from surefooted.core.scores import targeted_margin

VERSION = 2  # keep="worst" returns the worst of all targets
_Radius = Annotated[float, Field(ge=0, description="number from 0, or inf for no limit")]

# A walk ends beyond the boundary by about (eta - 1) (1 - beta) = 0.5 % of the distance. See ``search_line``.
_LINEAR_SHARE, _MARGIN_SHARE = 0.01, 0.001


@component
def fab(
    *,
    norm: Norm = "linf",
    eps: _Radius = 8 / 255,
    steps: Count = 100,
    targets: Count = 9,
    restarts: Count = 1,
    alpha_max: Share = 0.1,
    eta: Positive = 1.05,
    beta: Share = 0.9,
    keep: Literal["found", "worst", "nearest"] = "found",
) -> Attack:
    """Targeted fast adaptive boundary attack (FAB-T): the nearest point of another class, by linear approximations.

    At x, the decision boundary to the target class t is approximated by the plane {z: m + w · (z − x) = 0}, where
    m = z_t − z_y and w = ∇m. With d and d₀ the smallest moves in the box from x and from the clean point x₀ to that
    plane,

        x ← (1 − α) (x + η d) + α (x₀ + η d₀),    α = min(‖d‖ / (‖d‖ + ‖d₀‖), alpha_max).

    A point beyond the boundary moves back to x₀ + β (x − x₀) first. Its plane is reused, which saves the second forward
    pass of the authors' code. Any wrong class counts as success. The first walk starts at the clean point.

    Args:
        norm: norm of the ball, linf or l2.
        eps: radius of the ball, for pixels in [0, 1]; inf with keep nearest for the smallest perturbation of any size.
        steps: steps per target.
        targets: wrong classes to try, the likeliest at the clean point first; at most all of them.
        restarts: all but the first start at a draw, up to half as far away as the edge of the ball or the nearest
            adversarial example so far.
        alpha_max: largest weight α of the clean point.
        eta: overshoot η beyond the plane.
        beta: factor β of a perturbation that moves back.
        keep: found drops an example at its first success in the ball; nearest continues, and ends with a line search
            between the clean point and the best; for worst see ``Keep`` in ``attacks.tracker``.

    Reference: Croce and Hein, *Minimally distorted adversarial examples with a fast adaptive boundary attack*, ICML
    2020; targeted as in their AutoAttack.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> nearest = sf.attacks.fab(norm="l2", eps=float("inf"), keep="nearest", steps=5, targets=3)
        >>> bool(nearest(net, points).found.all())
        True
    """

    def search(oracle: Oracle) -> None:
        oracle.tracker.leaves_ball = True
        for restart in range(restarts):
            for rank in range(1, min(targets, oracle.classes - 1) + 1):
                if oracle.active_count:
                    oracle.set_objective(targeted_margin(rank=rank))
                    walk(oracle, _distant_start(oracle, norm) if restart else oracle.x0)
        if keep == "nearest" and oracle.tracks_best:
            search_line(oracle, linear_share=_LINEAR_SHARE, margin_share=_MARGIN_SHARE)
        oracle.tracker.leaves_ball = False

    def walk(oracle: Oracle, start: Tensor) -> None:
        s = oracle.state(x=start)
        for _ in oracle.iterate(steps, s):
            m, w = oracle.value_and_grad(s.x)
            x0, x = oracle.x0, torch.where(per_row(m > 0, s.x), oracle.x0 + beta * (s.x - oracle.x0), s.x)
            d = to_plane(x, w, m + _dot(w, x - s.x), box=oracle.box, norm=norm)
            d0 = to_plane(x0, w, m + _dot(w, x0 - s.x), box=oracle.box, norm=norm)
            size, size0 = oracle.ball.size(d), oracle.ball.size(d0)
            alpha = per_row((size / (size + size0).clamp_min(1e-12)).clamp_max(alpha_max), x)
            s.x = torch.lerp(x + eta * d, x0 + eta * d0, alpha).clamp_(*oracle.box)
        oracle.finish(s.x)

    passes = restarts * targets * (steps + 1) + 3 * (keep == "nearest")
    return Attack(search, ball(norm, eps), targeted_margin(), passes, keep, tries_candidates=True)


def _distant_start(oracle: Oracle, norm: Norm) -> Tensor:
    """The start of a further walk: a draw up to half as far away as the edge of the ball or the nearest success."""
    reach = torch.full_like(oracle.y, oracle.ball.eps, dtype=oracle.x0.dtype)
    if oracle.tracks_best:
        reach = torch.minimum(reach, oracle.best_size)
    half = ball(norm, 0.5).draw(oracle.noise(), oracle.x0.shape[1:])
    return (oracle.x0 + per_row(torch.where(reach < inf, reach, 1.0), half) * half).clamp_(*oracle.box)


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, " b"]:
    return (a * b).flatten(1).sum(1)
