"""Robustness levels of AR-AdaLS: equally sized subsets, ordered by the size of the smallest successful attack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import Count, component
from surefooted.core.arrays import AnyArray, ArrayLike, as_tensor
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.functional import Metric


@component
def levels_of(sizes: AnyArray, *, levels: Count = 10) -> Int[Tensor, " n"]:
    """Robustness level of each example, from 0 (the paper's level 1), the least robust.

    The sizes of the levels differ by at most one example. Equal sizes are ordered by row; infinite sizes (the attack
    failed) are the most robust. Any other score per example can be used instead of the size.

    Args:
        sizes: (N,) ‖δ‖ of the smallest perturbation that changes the model's own prediction, inf if none was found; see
            ``AttackResult.distance``.
        levels: number of levels; R = 10 in the paper.

    Raises:
        ArgumentError: if a size is NaN, or if there are fewer examples than levels.

    Reference: Qin et al. 2021 (AR-AdaLS).

    Example:
        >>> import surefooted as sf
        >>> sf.levels_of(torch.tensor([0.3, torch.inf, 0.1, 0.3, 0.2]), levels=3).tolist()
        [1, 2, 0, 1, 0]
    """
    if sizes.ndim != 1:
        raise ArgumentError(f"levels_of needs one size per example, shape (n,); got shape {tuple(sizes.shape)}.")
    n = len(sizes)
    if sizes.isnan().any():
        raise ArgumentError(
            f"levels_of needs a size for every example; {int(sizes.isnan().sum())} of {n} are NaN. "
            "Use inf for examples on which the attack failed."
        )
    if levels > n:
        raise ArgumentError(f"levels_of needs at least one example per level; got {n} examples for {levels} levels.")
    rank = torch.empty(n, dtype=torch.int64, device=sizes.device)
    rank[sizes.argsort(stable=True)] = torch.arange(n, device=sizes.device)
    return rank * levels // n


def by_level(
    metric: Metric | Sequence[Metric], p: Predictions, level: ArrayLike
) -> Float[Tensor, " r"] | Float[Tensor, "m r"]:
    """A metric within each robustness level; nan for a level without examples.

    Args:
        metric: one metric, or several.
        p: predictions.
        level: (N,) level of each example as whole numbers from 0, as from ``levels_of``.

    Returns:
        (R,) values, or (M, R) with a row per metric for a sequence of M metrics.

    Raises:
        ArgumentError: if `level` is not one whole number per example.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> sf.by_level(sf.metrics.accuracy, p, torch.tensor([1, 0])).tolist()
        [0.0, 1.0]
    """
    level = check_level(level, len(p.y), "by_level").to(p.y.device)
    if isinstance(metric, str):
        raise ArgumentError(f"by_level: `metric` is {metric!r}; pass the function itself, such as metrics.ece.")
    if callable(metric):
        parts = [p.take(level == r) for r in range(int(level.max()) + 1)]
        return torch.tensor([metric(part) if len(part.y) else torch.nan for part in parts], dtype=torch.float64)
    return torch.stack([by_level(one, p, level) for one in metric])


def check_level(level: ArrayLike, n: int, caller: str) -> Int[Tensor, " n"]:
    """The levels as a tensor.

    Raises:
        ArgumentError: unless `level` is one whole number per example; the message names the `caller`.

    Example:
        >>> check_level([1, 0], 2, "by_level")
        tensor([1, 0])
    """
    read = as_tensor(level, "level")
    if read.shape != (n,):
        raise ArgumentError(f"{caller} needs one level per example, shape ({n},); got shape {tuple(read.shape)}.")
    if n == 0:
        raise ArgumentError(f"{caller} needs at least one example; the split is empty.")
    if read.is_floating_point() or read.min() < 0:
        raise ArgumentError(
            f"{caller} needs levels as whole numbers from 0; got {read.dtype} from {read.min().item()}."
        )
    return read.long()
