"""Random search: uniform draws from the ball."""

from __future__ import annotations

from typing import Literal

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Oracle
from surefooted.components.component import Count, NonNegative, component
from surefooted.core.norms import Norm, ball
from surefooted.core.scores import cw_margin


@component
def random_search(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    draws: Count = 10_000,
    keep: Literal["found", "worst", "nearest"] = "found",
) -> Attack:
    """Random search: independent uniform draws from the ball, cut to the box. Gradient-free.

    A weak attack that exposes gradient masking: where it breaks examples that withstood PGD, gradients are masked
    (EntM, table 10).

    Args:
        norm: norm of the ball, linf or l2.
        eps: radius of the ball, for pixels in [0, 1]: 8/255, not 8.
        draws: forward passes per example.
        keep: found, worst or nearest; see ``Keep`` in ``attacks.tracker``.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> result = sf.attacks.random_search(eps=0.1, draws=30)(net, points)
        >>> int(result.queries.max()) <= 31
        True
    """

    def search(oracle: Oracle) -> None:
        for _ in oracle.iterate(draws - 1, oracle.state()):
            oracle.value(oracle.draw("uniform"))
        oracle.finish(oracle.draw("uniform"))

    return Attack(
        search,
        ball(norm, eps),
        cw_margin(),
        draws,
        keep,
        gradient_free=draws,
        tries_candidates=True,
        expected_share=(0.9, 0.9),
    )
