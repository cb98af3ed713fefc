"""Does uncertainty find what it should: foreign inputs, and the model's own errors?

Scores are uncertainties: higher means more likely foreign, or wrong. Equal scores fall to the same side of every
threshold; AUROC counts them half.
"""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import Count, Share, component
from surefooted.core.predictions import Predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics.intervals import Interval, ConfidenceLevel
from surefooted.evaluation.metrics.per_example import Measure, uncertainty_or_given

PositiveSide = Literal["outside", "inside"]


class Detection(NamedTuple):
    """How well a score tells ``outside`` (foreign, or wrong) from ``inside``; chance is AUROC 0.5.

    Attributes:
        fpr: share of the others above the threshold that catches 95 % of what is to be detected.
        aupr: average precision; chance is the share of what is to be detected.
        low, high: 95 % interval of ``auroc``, as ``auroc_interval`` has it.
    """

    auroc: float
    fpr: float
    aupr: float
    n_inside: int
    n_outside: int
    low: float
    high: float


@component
def detection(
    inside: Float[Tensor, " n"], outside: Float[Tensor, " m"], *, tpr: Share = 0.95, positive: PositiveSide = "outside"
) -> Detection:
    """AUROC, false positive rate at a true positive rate, and average precision of telling two sets of scores apart.

    Args:
        inside: (N,) uncertainty of examples that belong.
        outside: (M,) uncertainty of those that do not: out of distribution, or wrongly answered.
        tpr: the rate at which ``fpr`` is read, at the strictest threshold that reaches it.
        positive: what ``fpr`` and ``aupr`` count as detected. ODIN's "FPR at 95 % TPR" (``inside``) keeps 95 % of what
            is inside and counts what is outside and passes; others (``outside``) catch 95 % of what is outside. AUROC
            is the same.

    References: Hendrycks & Gimpel 2017; Liang, Li & Srikant 2018.
    """
    for name, score in (("inside", inside), ("outside", outside)):
        if score.numel() == 0 or score.isnan().any():
            seen = "is empty" if score.numel() == 0 else f"holds {int(score.isnan().sum())} NaN of {len(score)}"
            raise InputError(f"detection needs a score for at least one example on either side; {name} {seen}.")
    inside, outside = inside.double(), outside.double()
    ordered = inside.sort().values
    beaten = torch.searchsorted(ordered, outside) + torch.searchsorted(ordered, outside, right=True)
    auroc = float(beaten.double().mean()) / (2 * len(inside))
    yes, no = (outside, inside) if positive == "outside" else (-inside, -outside)
    # 0.95 · 20 is 19.000000000000004 in some orders: without the allowance it would ask for one more.
    caught = max(1, ceil(tpr * len(yes) - 1e-9))
    fpr = float((no >= yes.sort(descending=True).values[caught - 1]).double().mean())
    of = auroc_interval(auroc, len(inside), len(outside))
    return Detection(auroc, fpr, _average_precision(yes, no), len(inside), len(outside), of.low, of.high)


@component
def auroc_interval(auroc: Share, n: Count, m: Count, *, level: ConfidenceLevel = 0.95) -> Interval:
    """Score interval of an AUROC from n and m examples: every value that the one seen is not too far from.

    Its spread is that of scores whose two distributions are exponential, at each value in question. So it stays in
    [0, 1] and keeps its width where all are told apart, where intervals from the ranks alone have none.

    Reference: Newcombe 2006, method 5.
    """
    z, pairs = NormalDist().inv_cdf((1 + level) / 2), (n + m) / 2 - 1

    def far(value: float, seen: float) -> bool:
        spread = 1 + pairs * ((1 - value) / (2 - value) + value / (1 + value))
        return seen - value > z * sqrt(value * (1 - value) * spread / (n * m))

    def lowest(seen: float) -> float:
        a, b = 0.0, seen
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if far(middle, seen) else (a, middle)
        return a

    return Interval(auroc, lowest(auroc), 1 - lowest(1 - auroc), n + m)


@component
def error_detection(
    p: Predictions,
    uncertainty: Tensor | None = None,
    *,
    by: Measure = "max_probability",
    tpr: Share = 0.95,
    positive: PositiveSide = "outside",
) -> Detection:
    """``detection`` of the model's errors: inside is what it answers right, outside what it answers wrong.

    Args:
        uncertainty: (N,) any number per example, such as ``mutual_information`` of its samples; ``by`` where left out.
    """
    score = uncertainty_or_given(p, uncertainty, by, "error_detection")
    right = p.top()[1].bool()
    if right.all() or not right.any():
        raise InputError(
            f"error_detection needs both right and wrong answers; all {len(right)} are "
            f"{'right' if right.all() else 'wrong'}. Take more examples, or fewer levels."
        )
    return detection(score[right], score[~right], tpr=tpr, positive=positive)


def _average_precision(yes: Float[Tensor, " n"], no: Float[Tensor, " m"]) -> float:
    """Σ over falling thresholds of precision · rise in recall."""
    thresholds, hits = yes.unique(return_counts=True)
    caught = hits.flip(0).cumsum(0).flip(0)
    false = len(no) - torch.searchsorted(no.sort().values, thresholds)
    return float((hits * caught.double() / (caught + false)).sum() / len(yes))
