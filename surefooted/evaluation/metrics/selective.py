"""Are the uncertain answers the wrong ones? Error detection, and the risk of answering the least uncertain only.

Equal uncertainties fall to the same side of every threshold; AUROC counts them half.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.functional import Functional, metric
from surefooted.evaluation.metrics.per_example import Measure, thresholds, uncertainty_of, uncertainty_or_given


class RiskCoverage(NamedTuple):
    """Error rate of the examples at most as uncertain as each threshold, which rises; one entry per distinct score."""

    threshold: Float[Tensor, " t"]
    coverage: Float[Tensor, " t"]
    risk: Float[Tensor, " t"]

    @property
    def area(self) -> float:
        """AURC: the risk at its own threshold, averaged over the examples."""
        return float((self.coverage.diff(prepend=self.coverage.new_zeros(1)) * self.risk).sum())


@metric
def error_auroc(p: Predictions, /, *, by: Measure = "max_probability") -> Functional:
    """Probability that a wrong answer is more uncertain than a right one (AUROC of error detection), ties half.

    nan where all answers are right, or all wrong: there is nothing to tell apart. A model that errs more may do better.

    Args:
        by: uncertainty of the mean prediction: 1 - its greatest probability, its entropy, or 1 - the gap between its
            two greatest probabilities.

    Reference: Hendrycks & Gimpel 2017.
    """
    wrong = 1 - p.top()[1]
    order, last = thresholds(uncertainty_of(p, by))

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        weights = weights[:, order]
        errors = (weights * wrong[order]).cumsum(1)[:, last]
        right = weights.cumsum(1)[:, last] - errors
        errors_at = errors.diff(dim=1, prepend=torch.zeros_like(errors[:, :1]))
        right_at = right.diff(dim=1, prepend=torch.zeros_like(right[:, :1]))
        return (errors_at * (right - right_at / 2)).sum(1) / (errors[:, -1] * right[:, -1])

    return of


@metric
def aurc(p: Predictions, /, *, by: Measure = "max_probability") -> Functional:
    """Area under the risk-coverage curve: over the examples, the mean error rate of all that are at most as uncertain.

    0 where nothing is wrong; the error rate itself where uncertainty says nothing. Options as in ``error_auroc``.

    Reference: Geifman & El-Yaniv 2017.
    """
    wrong = 1 - p.top()[1]
    order, last = thresholds(uncertainty_of(p, by))

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        weights = weights[:, order]
        mass = weights.cumsum(1)[:, last]
        errors = (weights * wrong[order]).cumsum(1)[:, last]
        risk = torch.where(mass > 0, errors / mass, 0)
        return (mass.diff(dim=1, prepend=torch.zeros_like(mass[:, :1])) * risk).sum(1) / mass[:, -1]

    return of


@metric
def excess_aurc(p: Predictions, /, *, by: Measure = "max_probability") -> Functional:
    """``aurc`` minus that of the best ranking of as many errors, r + (1 - r) ln(1 - r) at error rate r: 0 is ideal.

    What is left compares models of unlike accuracy. Options as in ``error_auroc``.

    Reference: Geifman, Uziel & El-Yaniv 2019.
    """
    wrong, area = 1 - p.top()[1], aurc.weighted(p, by=by)  # type: ignore[attr-defined]

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        rate = weights @ wrong / weights.sum(1)
        return area(weights) - rate - torch.special.xlog1py(1 - rate, -rate)

    return of


@component
def risk_coverage(
    p: Predictions, uncertainty: Tensor | None = None, *, by: Measure = "max_probability"
) -> RiskCoverage:
    """The risk-coverage curve: answer the least uncertain share, err at this rate. Arguments as in ``error_detection``.

    Reference: El-Yaniv & Wiener 2010.
    """
    score = uncertainty_or_given(p, uncertainty, by, "risk_coverage")
    order, last = thresholds(score)
    errors = (1 - p.top()[1])[order].cumsum(0)[last]
    return RiskCoverage(score[order][last], (last + 1).double() / len(score), errors / (last + 1))
