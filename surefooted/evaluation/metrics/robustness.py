"""Robust accuracy, and what minimal-norm attacks say about every radius at once.

An example that the model gets wrong counts as found, so that all shares below are of all examples; at size 0, where
the attack keeps the nearest point.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.errors import InputError
from surefooted.evaluation.metrics.intervals import Interval, ConfidenceLevel, binomial_interval


def robust_accuracy(found: Tensor, *, level: ConfidenceLevel = 0.95) -> Interval:
    """Share of examples for which the attack found nothing, with its Wilson interval.

    An upper bound of the true robust accuracy: the interval covers the choice of examples, not a weak attack.

    Args:
        found: (N,) booleans, whether the attack met its goal.
    """
    _check_success(found, "robust_accuracy")
    return binomial_interval(int((~found).sum()), len(found), level=level)


def accuracy_curve(size: Tensor, found: Tensor, eps: Sequence[float] | Float[Tensor, " e"]) -> Float[Tensor, " e"]:
    """Robust accuracy at each radius from the sizes of minimal perturbations: found at ``size <= eps`` is broken.

    Args:
        size: (N,) ‖δ‖ of the smallest perturbation found; read only where ``found``.
        found: (N,) whether the attack met its goal.
        eps: radii, in the norm and scale of ``size``.
    """
    size = _finite_or_inf(size, found, "accuracy_curve")
    # In the precision of the sizes: 8/255 as float32 must not lie above 8/255 as float64.
    radius = torch.as_tensor(eps, dtype=size.dtype, device=size.device)
    return (size > radius[:, None]).double().mean(1)


def size_quantiles(size: Tensor, found: Tensor, q: Sequence[float] = (0.25, 0.5, 0.75)) -> Float[Tensor, " q"]:
    """Smallest sizes at which the attack has broken the shares ``q`` of all examples; inf where it never does.

    The inverse of ``accuracy_curve``, without interpolation. Examples without a find count as infinite.
    """
    if not all(0 <= share <= 1 for share in q):
        raise InputError(f"size_quantiles needs shares from 0 to 1; got {list(q)}.")
    ordered = _finite_or_inf(size, found, "size_quantiles").sort().values
    # 0.07 · 100 is 7.000000000000001: without the allowance it would ask for an eighth example.
    rows = [max(0, ceil(share * len(ordered) - 1e-9) - 1) for share in q]
    return ordered[rows]


def _finite_or_inf(size: Tensor, found: Tensor, who: str) -> Float[Tensor, " n"]:
    _check_success(found, who)
    if size.shape != found.shape or not size.is_floating_point():
        raise InputError(
            f"{who} needs one size per example, floats of shape {tuple(found.shape)}; "
            f"got {size.dtype} of {tuple(size.shape)}."
        )
    size = size.masked_fill(~found, torch.inf)
    if size.isnan().any():
        raise InputError(f"{who} needs a size wherever found; {int(size.isnan().sum())} of {len(size)} are NaN.")
    return size


def _check_success(found: Tensor, who: str) -> None:
    if found.dtype != torch.bool or found.ndim != 1 or len(found) == 0:
        raise InputError(f"{who} needs found as booleans of shape (n,); got {found.dtype} of {tuple(found.shape)}.")
