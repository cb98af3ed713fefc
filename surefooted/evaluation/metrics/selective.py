"""Selective prediction: error detection by uncertainty, and the risk when only the certain examples are answered.

Equal uncertainties are on the same side of every threshold; AUROC counts a tie as one half.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.arrays import AnyArray
from surefooted.core.predictions import Predictions
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.functional import Functional, metric
from surefooted.evaluation.metrics.uncertainty import (
    UncertaintyName,
    given_or_predictive_uncertainty,
    predictive_uncertainty,
)


@printable
class RiskCoverage(NamedTuple):
    """The risk-coverage curve, with one entry per distinct uncertainty, in increasing order.

    Attributes:
        threshold: uncertainty up to which the model answers.
        coverage: share of the examples that it answers.
        risk: error rate among them.
    """

    threshold: Float[Tensor, " t"]
    coverage: Float[Tensor, " t"]
    risk: Float[Tensor, " t"]

    @property
    def area(self) -> float:
        """Area under the curve (AURC): the mean over the examples of the risk at the example's own threshold."""
        return float((self.coverage.diff(prepend=self.coverage.new_zeros(1)) * self.risk).sum())


@metric(better="high", perfect=torch.nan, interval="auroc", reads="confidence")
def error_auroc(p: Predictions, /, *, by: UncertaintyName = "max_probability") -> Functional:
    """AUROC of error detection: probability that a wrong prediction is more uncertain than a correct one, ties half.

    It is nan if all predictions are correct or all are wrong. It does not reward accuracy: a model with more errors can
    have a higher value.

    Args:
        by: uncertainty of the mean prediction: 1 minus its greatest probability (``max_probability``), its entropy
            (``entropy``), or 1 minus the gap between its two greatest probabilities (``margin``).

    Reference: Hendrycks & Gimpel 2017.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> sf.metrics.error_auroc(p)
        1.0
    """
    wrong = 1 - p.top()[1]
    order, last = _sort_into_ties(predictive_uncertainty(p, by))

    def evaluate(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        weights = weights[:, order]
        errors = (weights * wrong[order]).cumsum(1)[:, last]
        correct = weights.cumsum(1)[:, last] - errors
        errors_at = errors.diff(dim=1, prepend=torch.zeros_like(errors[:, :1]))
        correct_at = correct.diff(dim=1, prepend=torch.zeros_like(correct[:, :1]))
        return (errors_at * (correct - correct_at / 2)).sum(1) / (errors[:, -1] * correct[:, -1])

    return evaluate


@metric(better="low", perfect=0.0, reads="confidence")
def aurc(p: Predictions, /, *, by: UncertaintyName = "max_probability") -> Functional:
    """Area under the risk-coverage curve: mean error rate among the predictions that are at most as uncertain.

    The mean is over the examples. It is 0 if there are no errors, and equals the error rate if uncertainty carries no
    information. The options are those of ``error_auroc``.

    Reference: Geifman & El-Yaniv 2017.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> sf.metrics.aurc(p)
        0.25
    """
    wrong = 1 - p.top()[1]
    order, last = _sort_into_ties(predictive_uncertainty(p, by))

    def evaluate(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        weights = weights[:, order]
        mass = weights.cumsum(1)[:, last]
        errors = (weights * wrong[order]).cumsum(1)[:, last]
        risk = torch.where(mass > 0, errors / mass, 0)
        return (mass.diff(dim=1, prepend=torch.zeros_like(mass[:, :1])) * risk).sum(1) / mass[:, -1]

    return evaluate


@metric(better="low", perfect=0.0, reads="confidence")
def excess_aurc(p: Predictions, /, *, by: UncertaintyName = "max_probability") -> Functional:
    """``aurc`` minus the AURC of the best ranking with the same error rate r, r + (1 - r) ln(1 - r); 0 is ideal.

    The difference allows a comparison of models with different accuracy. The options are those of ``error_auroc``.

    Reference: Geifman, Uziel & El-Yaniv 2019.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.excess_aurc(p), 3)
        0.097
    """
    wrong, area = 1 - p.top()[1], aurc.weighted(p, by=by)

    def evaluate(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        rate = weights @ wrong / weights.sum(1)
        excess: Tensor = area(weights) - rate - torch.special.xlog1py(1 - rate, -rate)
        return excess

    return evaluate


@component
def risk_coverage(
    p: Predictions, uncertainty: AnyArray | None = None, *, by: UncertaintyName = "max_probability"
) -> RiskCoverage:
    """The risk-coverage curve: error rate when only the least uncertain share of the examples is answered.

    Args:
        uncertainty: (N,) any score per example. If it is not given, the score is the uncertainty ``by`` of the mean
            prediction.
        by: as for ``error_auroc``.

    Reference: El-Yaniv & Wiener 2010.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> curve = risk_coverage(p)
        >>> curve.coverage.tolist(), curve.risk.tolist()
        ([0.5, 1.0], [0.0, 0.5])
    """
    score = given_or_predictive_uncertainty(p, uncertainty, by, "risk_coverage")
    order, last = _sort_into_ties(score)
    errors = (1 - p.top()[1])[order].cumsum(0)[last]
    return RiskCoverage(score[order][last], (last + 1).double() / len(score), errors / (last + 1))


def _sort_into_ties(score: Float[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " t"]]:
    """The rows by increasing score, and the position of the last row of each distinct score in that order."""
    ordered, order = score.sort(stable=True)
    changes = ordered[1:] != ordered[:-1]
    return order, torch.cat([changes, changes.new_ones(1)]).nonzero()[:, 0]
