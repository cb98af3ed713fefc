"""Stability: the variance of predictions between independently seeded models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.predictions import check_log_p
from surefooted.errors import ArgumentError
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.levels import check_level


def variance(log_ps: Sequence[ArrayLike]) -> float:
    """Variance of the predictions of M independently seeded models, σ² of AR-AdaLS (whose tables print 100 σ²).

    σ² = 1/(M - 1) · 1/N · Σ_m Σ_i ‖p_m(x_i) - p̄(x_i)‖², with squared differences summed over the classes.

    Args:
        log_ps: (N, K) log-probabilities from each of M ≥ 2 models, with rows in the same order.

    Raises:
        ArgumentError: for fewer than two models, or models with different examples or classes.

    Reference: Qin et al. 2021 (AR-AdaLS).

    Example:
        >>> one, two = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.5, 0.5]])
        >>> round(variance([one.log(), two.log()]), 3)
        0.04
    """
    return float(variance_of_each(log_ps, "variance").mean())


def variance_of_each(log_ps: Sequence[ArrayLike], caller: str = "variance_of_each") -> Float[Tensor, " n"]:
    """``variance`` of each example; its mean over the examples is ``variance``.

    Args:
        log_ps: as for ``variance``.
        caller: the function that error messages name.

    Example:
        >>> one, two = torch.tensor([[0.7, 0.3], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
        >>> [round(value, 3) for value in variance_of_each([one.log(), two.log()]).tolist()]
        [0.04, 0.0]
    """
    if len(log_ps) < 2:
        raise ArgumentError(f"{caller} needs at least two models; got {len(log_ps)}. Train more seeds.")
    log_ps = [as_tensor(log_p, "log_ps") for log_p in log_ps]
    shapes = {tuple(log_p.shape) for log_p in log_ps}
    if len(shapes) > 1:
        raise ArgumentError(
            f"{caller} needs the same examples and classes from every model; got the shapes {sorted(shapes)}."
        )
    for log_p in log_ps:
        check_log_p(log_p, caller)
    p = torch.stack([log_p.double().to(log_ps[0].device) for log_p in log_ps]).exp()
    return p.var(0).sum(-1)


def variance_by_level(log_ps: Sequence[ArrayLike], level: ArrayLike) -> Float[Tensor, " r"]:
    """``variance`` within each robustness level; nan for a level without examples.

    Args:
        log_ps: as for ``variance``.
        level: (N,) level of each example, as from ``levels_of``.

    Example:
        >>> one, two = torch.tensor([[0.7, 0.3], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
        >>> [round(v, 3) for v in variance_by_level([one.log(), two.log()], torch.tensor([1, 0])).tolist()]
        [0.0, 0.04]
    """
    each = variance_of_each(log_ps, "variance_by_level")
    level = check_level(level, len(each), "variance_by_level").to(each.device)
    count = torch.bincount(level)
    return torch.bincount(level, weights=each) / count


def level_variance_gap(log_ps: Sequence[Tensor], level: Tensor, half: int) -> float:
    """``variance`` in the first robustness level minus that in the levels from ``half``.

    Args:
        log_ps: as for ``variance``.
        level: (N,) level of each example.
        half: first of the levels that the first one is compared with.

    Example:
        >>> one, two = torch.tensor([[0.7, 0.3], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
        >>> round(level_variance_gap([one.log(), two.log()], torch.tensor([0, 1]), 1), 3)
        0.04
    """
    variances = variance_of_each(log_ps, "level_variance_gap")
    return float(variances[level == 0].mean() - variances[level >= half].mean())


@printable
class VarianceShares(NamedTuple):
    """Contribution of each level to ``variance``.

    Attributes:
        part: the contribution, 0 for a level without examples; the parts sum to ``variance``.
        share: part / variance; the shares sum to 1, or are all nan if the models agree completely.
    """

    part: Float[Tensor, " r"]
    share: Float[Tensor, " r"]


def variance_shares(log_ps: Sequence[ArrayLike], level: ArrayLike) -> VarianceShares:
    """Contribution of each robustness level to ``variance``: its share of the examples times its own variance.

    Args:
        log_ps: as for ``variance``.
        level: (N,) level of each example, as from ``levels_of``.

    Example:
        >>> one, two = torch.tensor([[0.7, 0.3], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
        >>> variance_shares([one.log(), two.log()], torch.tensor([1, 0])).share.tolist()
        [0.0, 1.0]
    """
    each = variance_of_each(log_ps, "variance_shares")
    level = check_level(level, len(each), "variance_shares").to(each.device)
    part = torch.bincount(level, weights=each) / len(each)
    return VarianceShares(part, part / part.sum())
