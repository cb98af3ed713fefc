"""Random search: as many uniform draws as it takes."""

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
    """Random search: draws from the ball, uniform and independent, cut to the box. Asks for no gradient.

    A weak attack that betrays strong-looking defences: where it breaks rows that withstood PGD, gradients are masked
    (EntM, table 10).

    Args:
        norm: of the ball, linf or l2.
        eps: its radius, in pixels' [0, 1]: 8/255, not 8.
        draws: forward passes a row.
        keep: found, worst or nearest; see ``surefooted.attacks.oracle.Oracle``.
    """

    def search(oracle: Oracle) -> None:
        for _ in oracle.rounds(draws - 1, oracle.state()):
            oracle.value(oracle.draw("uniform"))
        oracle.finish(oracle.draw("uniform"))

    return Attack(search, ball(norm, eps), cw_margin(), draws, keep, gradient_free=draws, proposes=True)
