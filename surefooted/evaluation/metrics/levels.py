"""Robustness levels of AR-AdaLS: equally sized subsets by the size of the smallest successful attack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import Count, component
from surefooted.core.predictions import Predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics.functional import Metric


@component
def levels_of(sizes: Float[Tensor, " n"], *, levels: Count = 10) -> Int[Tensor, " n"]:
    """Robustness level of each example, from 0 (the paper's level 1): the least robust.

    Subsets differ by at most one example. Equal sizes are ranked by row; infinite ones (the attack failed) are the most
    robust. Any other number per example may take the place of the size.

    Args:
        sizes: (N,) ‖δ‖ of the smallest perturbation that changes the model's own prediction, inf where none does, as
            ``AttackResult.distance`` has it.
        levels: how many; the paper's R = 10.
    """
    n = len(sizes)
    if sizes.isnan().any():
        raise InputError(
            f"levels_of needs a size for every example; {int(sizes.isnan().sum())} of {n} are NaN. "
            "Give inf where the attack found nothing."
        )
    if levels > n:
        raise InputError(f"levels_of needs at least one example per level; got {n} for {levels} levels.")
    rank = torch.empty(n, dtype=torch.int64, device=sizes.device)
    rank[sizes.argsort(stable=True)] = torch.arange(n, device=sizes.device)
    return rank * levels // n


def by_level(
    metric: Metric | Sequence[Metric], p: Predictions, level: Tensor
) -> Float[Tensor, " r"] | Float[Tensor, "m r"]:
    """A metric within each level, or of several metrics a row each; nan for a level without examples.

    Args:
        level: (N,) whole numbers from 0, as from ``levels_of``.
    """
    check_level(level, len(p.y), "by_level")
    if callable(metric):
        parts = [p.take(level == r) for r in range(int(level.max()) + 1)]
        return torch.tensor([metric(part) if len(part.y) else torch.nan for part in parts], dtype=torch.float64)
    return torch.stack([by_level(one, p, level) for one in metric])


def check_level(level: Tensor, n: int, who: str) -> None:
    """Refuse what is not a level per example; ``who`` is the name that the message begins with."""
    if level.shape != (n,):
        raise InputError(f"{who} needs one level per example, shape ({n},); got shape {tuple(level.shape)}.")
    if n == 0:
        raise InputError(f"{who} needs at least one example; the split is empty.")
    if level.is_floating_point() or level.min() < 0:
        raise InputError(f"{who} needs levels as whole numbers from 0; got {level.dtype} from {level.min().item()}.")
