"""Detection by uncertainty: of out-of-distribution inputs, and of the model's own errors.

Scores are uncertainties: a higher score means more likely out of distribution, or wrong. Equal scores are on the same
side of every threshold; AUROC counts a tie as one half.
"""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import Count, Share, component
from surefooted.core.arrays import AnyArray
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.intervals import ConfidenceLevel, Interval
from surefooted.evaluation.metrics.uncertainty import UncertaintyName, given_or_predictive_uncertainty

PositiveSide = Literal["outside", "inside"]


@printable
class Detection(NamedTuple):
    """How well a score separates ``outside`` (out of distribution, or wrong) from ``inside``.

    Attributes:
        auroc: probability that an outside example has a higher score than an inside one; 0.5 is chance.
        fpr: false positive rate at the threshold with a true positive rate of 95 %, or ``tpr``.
        aupr: average precision; chance is the share of positive examples.
        n_inside, n_outside: numbers of examples.
        low, high: 95 % interval of ``auroc``, see ``auroc_interval``.
        no_answer: number of examples without a score (NaN), each of which counts as an error of the detector.
    """

    auroc: float
    fpr: float
    aupr: float
    n_inside: int
    n_outside: int
    low: float
    high: float
    no_answer: int = 0


@component
def detection(
    inside: AnyArray, outside: AnyArray, *, tpr: Share = 0.95, positive: PositiveSide = "outside"
) -> Detection:
    """AUROC, false positive rate at a true positive rate, and average precision of separating two sets of scores.

    A score that is NaN, because the model gave no answer, is wrong on either side: below all others if outside, above
    all others if inside.

    Args:
        inside: (N,) uncertainty of in-distribution, or correctly classified, examples.
        outside: (M,) uncertainty of out-of-distribution, or misclassified, examples.
        tpr: true positive rate at which ``fpr`` is read, at the strictest threshold that reaches it.
        positive: the positive class of ``fpr`` and ``aupr``. ODIN's "FPR at 95 % TPR" (``inside``) accepts 95 % of the
            inside examples and counts the outside examples that are accepted too; others (``outside``) detect 95 % of
            the outside examples. AUROC does not depend on it.

    Raises:
        ArgumentError: if a side is empty or not a vector.

    Reference: Hendrycks & Gimpel 2017; Liang, Li & Srikant 2018.

    Example:
        >>> detection(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2.0, 5.0]))
        Detection(auroc=0.75, fpr=0.667, aupr=0.75, n_inside=3, n_outside=2, low=0.26, high=0.96, no_answer=0)
    """
    for name, score in (("inside", inside), ("outside", outside)):
        if score.ndim != 1 or score.numel() == 0:
            raise ArgumentError(
                f"detection needs at least one score on each side, shape (n,); `{name}` has shape {tuple(score.shape)}."
            )
    missing = int(inside.isnan().sum() + outside.isnan().sum().to(inside.device))
    inside, outside = inside.double().cpu(), outside.double().cpu()
    inside, outside = (
        inside.nan_to_num(torch.inf, torch.inf, -torch.inf),
        outside.nan_to_num(-torch.inf, torch.inf, -torch.inf),
    )
    ordered = inside.sort().values
    lower = torch.searchsorted(ordered, outside) + torch.searchsorted(ordered, outside, right=True)
    auroc = float(lower.double().mean()) / (2 * len(inside))
    positives, negatives = (outside, inside) if positive == "outside" else (-inside, -outside)
    # 0.95 · 20 may round to 19.000000000000004; without the tolerance it would require one example more.
    detected = max(1, ceil(tpr * len(positives) - 1e-9))
    fpr = float((negatives >= positives.sort(descending=True).values[detected - 1]).double().mean())
    interval = auroc_interval(auroc, len(inside), len(outside))
    return Detection(
        auroc,
        fpr,
        _average_precision(positives, negatives),
        len(inside),
        len(outside),
        interval.low,
        interval.high,
        missing,
    )


@component
def auroc_interval(auroc: Share, n: Count, m: Count, *, level: ConfidenceLevel = 0.95) -> Interval:
    """Score interval of an AUROC from n and m examples: all true values that a score test does not reject.

    The standard error at each candidate value is that of two exponential score distributions. The interval stays in
    [0, 1] and has a positive width even at perfect separation, where intervals from the ranks alone have width 0.

    Args:
        auroc: observed AUROC.
        n, m: numbers of examples on the two sides.
        level: confidence level.

    Reference: Newcombe 2006, method 5.

    Example:
        >>> interval = auroc_interval(1.0, 20, 20)
        >>> round(interval.low, 3), interval.high
        (0.899, 1.0)
    """
    z, pairs = NormalDist().inv_cdf((1 + level) / 2), (n + m) / 2 - 1

    def rejected(value: float, observed: float) -> bool:
        spread = 1 + pairs * ((1 - value) / (2 - value) + value / (1 + value))
        return observed - value > z * sqrt(value * (1 - value) * spread / (n * m))

    def lower_bound(observed: float) -> float:
        a, b = 0.0, observed
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if rejected(middle, observed) else (a, middle)
        return a

    return Interval(auroc, lower_bound(auroc), 1 - lower_bound(1 - auroc), n + m)


@component
def error_detection(
    p: Predictions,
    uncertainty: AnyArray | None = None,
    *,
    by: UncertaintyName = "max_probability",
    tpr: Share = 0.95,
    positive: PositiveSide = "outside",
) -> Detection:
    """``detection`` of the model's errors: inside are the correctly classified examples, outside the others.

    Args:
        uncertainty: (N,) any score per example, such as the ``mutual_information`` of an ensemble. If it is not given,
            the score is the uncertainty ``by`` of the mean prediction.
        by: as for ``error_auroc``.
        tpr, positive: as for ``detection``.

    Raises:
        ArgumentError: if all predictions are correct, or all wrong.

    Reference: Hendrycks & Gimpel 2017.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> error_detection(p).auroc
        1.0
    """
    score = given_or_predictive_uncertainty(p, uncertainty, by, "error_detection")
    correct = p.top()[1].bool()
    if correct.all() or not correct.any():
        raise ArgumentError(
            f"error_detection needs both correct and wrong predictions; all {len(correct)} are "
            f"{'correct' if correct.all() else 'wrong'}. Use more examples, or fewer robustness levels."
        )
    return detection(score[correct], score[~correct], tpr=tpr, positive=positive)


def _average_precision(positives: Float[Tensor, " n"], negatives: Float[Tensor, " m"]) -> float:
    """Σ of precision · increase in recall, over decreasing thresholds."""
    thresholds, hits = torch.unique(positives, return_counts=True)
    detected = hits.flip(0).cumsum(0).flip(0)
    false = len(negatives) - torch.searchsorted(negatives.sort().values, thresholds)
    return float((hits * detected.double() / (detected + false)).sum() / len(positives))
