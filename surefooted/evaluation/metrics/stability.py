"""How much independently seeded models disagree about the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.predictions import check_log_p
from surefooted.errors import InputError
from surefooted.evaluation.metrics.levels import check_level


def variance(log_ps: Sequence[Tensor]) -> float:
    """Variance of the predictions of M independently seeded models, AR-AdaLS's σ² (its tables print ×100).

    1/(M - 1) · 1/N · Σ_m Σ_i ‖p_m(x_i) - p̄(x_i)‖², the squared difference summed over the classes.

    Args:
        log_ps: from each of M ≥ 2 models the (N, K) log-probabilities, rows in the same order.
    """
    return float(variance_of_each(log_ps, "variance").mean())


def variance_of_each(log_ps: Sequence[Tensor], who: str = "variance_of_each") -> Float[Tensor, " n"]:
    """``variance`` of every example alone: its mean over examples is that of all."""
    if len(log_ps) < 2:
        raise InputError(f"{who} needs at least two models; got {len(log_ps)}. Train more seeds.")
    shapes = {tuple(log_p.shape) for log_p in log_ps}
    if len(shapes) > 1:
        raise InputError(f"{who} needs the same examples and classes of every model; got the shapes {sorted(shapes)}.")
    for log_p in log_ps:
        check_log_p(log_p, who)
    p = torch.stack([log_p.double() for log_p in log_ps]).exp()
    return p.var(0).sum(-1)


def variance_by_level(log_ps: Sequence[Tensor], level: Tensor) -> Float[Tensor, " r"]:
    """``variance`` within each level (as from ``levels_of``); nan for a level without examples."""
    each = variance_of_each(log_ps, "variance_by_level")
    check_level(level, len(each), "variance_by_level")
    count = torch.bincount(level)
    return torch.bincount(level, weights=each) / count


class VarianceShares(NamedTuple):
    """One entry per level: ``part`` sums to ``variance``, ``share`` (part / variance) to 1.

    A level without examples has part 0. Where the models agree in full no share is known: all are nan.
    """

    part: Float[Tensor, " r"]
    share: Float[Tensor, " r"]


def variance_shares(log_ps: Sequence[Tensor], level: Tensor) -> VarianceShares:
    """How much of ``variance`` each level brings in: its share of the examples times its own variance."""
    each = variance_of_each(log_ps, "variance_shares")
    check_level(level, len(each), "variance_shares")
    part = torch.bincount(level, weights=each) / len(each)
    return VarianceShares(part, part / part.sum())
