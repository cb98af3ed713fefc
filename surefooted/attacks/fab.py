"""Fast adaptive boundary attack: walk along the boundary to a wrong class, drawn towards the clean point."""

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

VERSION = 2  # what keep="worst" hands back is the worst of all targets
Radius = Annotated[float, Field(ge=0, description="number from 0, or inf for a ball without an edge")]

# A walk steps over the boundary by some (eta - 1) (1 - beta) of its distance, half a percent: the last search looks in
# this part of the way back, and stops so short of the crossing.
STRETCH, SPARE = 0.01, 0.001


@component
def fab(
    *,
    norm: Norm = "linf",
    eps: Radius = 8 / 255,
    steps: Count = 100,
    targets: Count = 9,
    restarts: Count = 1,
    alpha_max: Share = 0.1,
    eta: Positive = 1.05,
    beta: Share = 0.9,
    keep: Literal["found", "worst", "nearest"] = "found",
) -> Attack:
    """Targeted fast adaptive boundary attack (FAB-T): the nearest point of another class, by linear approximations.

    At x the boundary to the target t is taken for the plane {z: m + w · (z − x) = 0}, where m = z_t − z_y and w = ∇m.
    With d and d₀ the least moves in the box from x and from the clean point x₀ to that plane,

        x ← (1 − α) (x + η d) + α (x₀ + η d₀),    α = min(‖d‖ / (‖d‖ + ‖d₀‖), alpha_max).

    A point beyond the boundary goes back to x₀ + β (x − x₀) first; its plane stays, which saves the second forward pass
    of the authors' code. Any wrong class counts. The first start is the clean point, and nothing is drawn.

    Args:
        norm: of the ball, linf or l2.
        eps: its radius, in pixels' [0, 1]; inf with keep nearest for the least perturbation, however large.
        steps: for each target.
        targets: wrong classes tried, the likeliest at the clean point first; no more than there are.
        restarts: further ones start at a draw, up to half as far away as the ball or the nearest point so far reaches.
        alpha_max: most weight of the clean point.
        eta: overshoot beyond the plane.
        beta: what is left of a perturbation that goes back.
        keep: found retires a row at its first point in the ball; nearest goes on, and ends with a search on the line
            from the clean point to the best; for worst see ``surefooted.attacks.oracle.Oracle``.

    Source: Croce and Hein, *Minimally distorted adversarial examples with a fast adaptive boundary attack*, ICML 2020;
    targeted as in their AutoAttack.
    """

    def search(oracle: Oracle) -> None:
        oracle.records.roaming = True
        for restart in range(restarts):
            for rank in range(1, min(targets, oracle.classes - 1) + 1):
                if oracle.active:
                    oracle.pursue(targeted_margin(rank=rank))
                    walk(oracle, _away(oracle, norm) if restart else oracle.x0)
        if keep == "nearest" and oracle.judging:
            search_line(oracle, stretch=STRETCH, spare=SPARE)
        oracle.records.roaming = False

    def walk(oracle: Oracle, start: Tensor) -> None:
        s = oracle.state(x=start)
        for _ in oracle.rounds(steps, s):
            m, w = oracle.value_and_grad(s.x)
            x0, x = oracle.x0, torch.where(per_row(m > 0, s.x), oracle.x0 + beta * (s.x - oracle.x0), s.x)
            d = to_plane(x, w, m + _dot(w, x - s.x), box=oracle.box, norm=norm)
            d0 = to_plane(x0, w, m + _dot(w, x0 - s.x), box=oracle.box, norm=norm)
            near, far = oracle.ball.size(d), oracle.ball.size(d0)
            alpha = per_row((near / (near + far).clamp_min(1e-12)).clamp_max(alpha_max), x)
            s.x = torch.lerp(x + eta * d, x0 + eta * d0, alpha).clamp_(*oracle.box)
        oracle.finish(s.x)

    passes = restarts * targets * (steps + 1) + 3 * (keep == "nearest")
    return Attack(search, ball(norm, eps), targeted_margin(), passes, keep, proposes=True)


def _away(oracle: Oracle, norm: Norm) -> Tensor:
    """A start for another walk: up to half as far away as the edge of the ball, or as the nearest point so far."""
    reach = torch.full_like(oracle.y, oracle.ball.eps, dtype=oracle.x0.dtype)
    if oracle.judging:
        reach = torch.minimum(reach, oracle.now.size)
    half = ball(norm, 0.5).draw(oracle.noise(), oracle.x0.shape[1:])
    return (oracle.x0 + per_row(torch.where(reach < inf, reach, 1.0), half) * half).clamp_(*oracle.box)


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, " b"]:
    return (a * b).flatten(1).sum(1)
