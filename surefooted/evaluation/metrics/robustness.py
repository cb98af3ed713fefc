"""Robust accuracy, and robust accuracy at every radius from minimal-norm attacks.

A misclassified clean example counts as a successful attack, of size 0 if the attack keeps the nearest point, so all
shares below are shares of all examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.intervals import ConfidenceLevel, Interval, binomial_interval


def misclassified_under_attack(found: ArrayLike, clean: Predictions) -> Bool[Tensor, " n"]:
    """Images that count against the robust accuracy: those that an attack broke, and those without an answer.

    A model that returns NaN for an image gives an attack nothing to break, but does not classify the image correctly.

    Args:
        found: (N,) booleans, whether the attack succeeded, as in ``AttackResult.found``.
        clean: predictions on the images before the attack; its first N rows are those that were attacked.

    Raises:
        ArgumentError: if `found` is not a vector of booleans, or is empty.

    Example:
        >>> clean = Predictions(torch.tensor([[0.0, -9.0], [torch.nan] * 2]), torch.tensor([0, 1]), torch.arange(2))
        >>> misclassified_under_attack([False, False], clean).tolist()
        [False, True]
    """
    success = _check_success(found, "misclassified_under_attack")
    return success | ~clean.answered[: len(success)].to(success.device)


def robust_accuracy(found: ArrayLike, *, level: ConfidenceLevel = 0.95) -> Interval:
    """Share of examples on which the attack failed, with its Wilson interval.

    This is an upper bound of the true robust accuracy: the interval covers the sampling of the test set, not the
    weakness of the attack.

    Args:
        found: (N,) booleans, whether the attack succeeded, as in ``AttackResult.found``.
        level: confidence level.

    Raises:
        ArgumentError: if `found` is not a vector of booleans, or is empty.

    Example:
        >>> robust_accuracy(torch.tensor([True] * 30 + [False] * 70)).percent()
        '70.00 % [60.42, 78.11]'
    """
    success = _check_success(found, "robust_accuracy")
    return binomial_interval(int((~success).sum()), len(success), level=level)


def accuracy_curve(
    size: ArrayLike, found: ArrayLike, eps: Sequence[float] | Float[Tensor, " e"]
) -> Float[Tensor, " e"]:
    """Robust accuracy at each radius, from the sizes of minimal perturbations.

    Args:
        size: (N,) ‖δ‖ of the smallest adversarial perturbation; ignored for examples on which the attack failed.
        found: (N,) booleans, whether the attack succeeded.
        eps: (E,) radii, in the norm and scale of `size`.

    Returns:
        (E,) shares of the examples without a successful perturbation of at most that size.

    Raises:
        ArgumentError: if there is not one size and one boolean per example.

    Example:
        >>> size, found = torch.tensor([0.0, 0.1, 0.3, 0.0]), torch.tensor([True, True, True, False])
        >>> accuracy_curve(size, found, [0.0, 0.1, 0.5]).tolist()
        [0.75, 0.5, 0.25]
    """
    sizes = _finite_or_inf(size, found, "accuracy_curve")
    # In the precision of the sizes: 8/255 in float32 must not exceed a radius of 8/255 in float64.
    radius = torch.as_tensor(eps, dtype=sizes.dtype, device=sizes.device)
    return (sizes > radius[:, None]).double().mean(1)


def size_quantiles(size: ArrayLike, found: ArrayLike, q: Sequence[float] = (0.25, 0.5, 0.75)) -> Float[Tensor, " q"]:
    """Smallest sizes at which the attack succeeds on the shares `q` of all examples; inf if it never does.

    This is the inverse of ``accuracy_curve``, without interpolation.

    Args:
        size, found: as for ``accuracy_curve``.
        q: shares from 0 to 1; the quartiles by default.

    Raises:
        ArgumentError: if a share is not in [0, 1], or if there is not one size and one boolean per example.

    Example:
        >>> size, found = torch.tensor([4.0, 1.0, 3.0, 2.0]), torch.tensor([False, True, True, True])
        >>> size_quantiles(size, found, [0.5, 0.75, 1.0]).tolist()
        [2.0, 3.0, inf]
    """
    if not all(0 <= share <= 1 for share in q):
        raise ArgumentError(f"size_quantiles needs shares from 0 to 1 in `q`; got {list(q)}.")
    ordered = _finite_or_inf(size, found, "size_quantiles").sort().values
    # 0.07 · 100 is 7.000000000000001; without the tolerance it would require an eighth example.
    rows = [max(0, ceil(share * len(ordered) - 1e-9) - 1) for share in q]
    return ordered[rows]


def _finite_or_inf(size: ArrayLike, found: ArrayLike, caller: str) -> Float[Tensor, " n"]:
    success, sizes = _check_success(found, caller), as_tensor(size, "size")
    if sizes.shape != success.shape or not sizes.is_floating_point():
        raise ArgumentError(
            f"{caller} needs one size per example, floats of shape {tuple(success.shape)}; "
            f"got {sizes.dtype} of shape {tuple(sizes.shape)}."
        )
    sizes = sizes.masked_fill(~success.to(sizes.device), torch.inf)
    if sizes.isnan().any():
        raise ArgumentError(
            f"{caller} needs a size for every successful attack; {int(sizes.isnan().sum())} of {len(sizes)} are NaN."
        )
    return sizes


def _check_success(found: ArrayLike, caller: str) -> Bool[Tensor, " n"]:
    success = as_tensor(found, "found")
    if success.dtype != torch.bool or success.ndim != 1 or len(success) == 0:
        raise ArgumentError(
            f"{caller} needs `found` as booleans of shape (n,) with at least one example; "
            f"got {success.dtype} of shape {tuple(success.shape)}."
        )
    return success
