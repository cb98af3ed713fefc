"""One uncertainty an example from its mean prediction, and the thresholds among them."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics.uncertainty import _UNCERTAINTY

Measure = Literal["max_probability", "entropy", "margin"]


def uncertainty_or_given(p: Predictions, uncertainty: Tensor | None, by: Measure, who: str) -> Float[Tensor, " n"]:
    """The uncertainty that the user gave, checked, or that of the predictions."""
    if uncertainty is None:
        return uncertainty_of(p, by)
    if uncertainty.shape != p.y.shape or not uncertainty.is_floating_point() or uncertainty.isnan().any():
        raise InputError(
            f"{who} needs one uncertainty per example, floats of shape {tuple(p.y.shape)} without NaN; "
            f"got {uncertainty.dtype} of shape {tuple(uncertainty.shape)}, {int(uncertainty.isnan().sum())} NaN."
        )
    return uncertainty.double()


def uncertainty_of(p: Predictions, by: Measure) -> Float[Tensor, " n"]:
    """Uncertainty of the mean predictions; what each name means is said in ``error_auroc``."""
    return _UNCERTAINTY[by](p.log_p[None])


def thresholds(score: Float[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " t"]]:
    """The rows by rising score, and the place of the last row of each distinct score among them."""
    ordered, order = score.sort(stable=True)
    changes = ordered[1:] != ordered[:-1]
    return order, torch.cat([changes, changes.new_ones(1)]).nonzero()[:, 0]
