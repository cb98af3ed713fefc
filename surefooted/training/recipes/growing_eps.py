"""Adversarial training whose ε grows during training."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import pairwise

from surefooted.components.component import NonNegative, Share, component
from surefooted.errors import ArgumentError
from surefooted.training.recipes.base import Recipe
from surefooted.training.recipes.custom import recipe


@component
def growing_eps(*, of: Recipe = recipe(), shares: tuple[tuple[NonNegative, Share], ...] = ((0, 0), (5, 1))) -> Recipe:  # noqa: B008 - a value without state
    """Adversarial training with a radius ε that grows, on top of any recipe; the step size does not change.

    Methods without an attack train as with the recipe alone.

    Args:
        of: the recipe.
        shares: (epoch, share of ε) pairs, linear in between. The first share holds before its epoch, the last one after
            its epoch.

    Raises:
        ArgumentError: epochs do not increase, shares decrease, or ε is not reached before training ends.

    Example:
        >>> import surefooted as sf
        >>> schedule = sf.recipes.growing_eps(of={"recipe": {"epochs": 9}}, shares=((0, 0), (4, 1)))
        >>> [schedule.eps_share(epoch) for epoch in (0, 1, 4, 8)]
        [0.0, 0.25, 1.0, 1.0]
    """
    epochs, sizes = [epoch for epoch, _ in shares], [share for _, share in shares]
    for fault, values, wrong in (
        ("epochs do not increase", epochs, any(b <= a for a, b in pairwise(epochs))),
        ("the share of ε decreases", sizes, any(b < a for a, b in pairwise(sizes))),
    ):
        if wrong:
            raise ArgumentError(
                f"growing_eps: {fault} ({', '.join(f'{v:g}' for v in values)}). In a smaller ball the network would "
                "lose what it learned. Give increasing (epoch, share) pairs, such as [[0, 0.25], [10, 1]]."
            )
    if not sizes or sizes[-1] != 1 or epochs[-1] >= of.epochs:
        end = f"ends at {sizes[-1]:g} of ε in epoch {epochs[-1]:g}" if sizes else "is empty"
        raise ArgumentError(
            f"growing_eps: the schedule {end}. It must reach 1 before the last of {of.epochs} epochs; for a smaller "
            "radius, give the method a smaller eps."
        )

    def eps_share(epoch: float) -> float:
        at = bisect_right(epochs, epoch)
        if at in (0, len(epochs)):
            return sizes[max(at - 1, 0)]
        (a, b), (low, high) = epochs[at - 1 : at + 1], sizes[at - 1 : at + 1]
        return low + (high - low) * (epoch - a) / (b - a)

    return replace(of, eps_share=eps_share)
