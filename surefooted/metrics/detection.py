"""Does uncertainty find what it should: foreign inputs, and the model's own errors?

Scores are uncertainties: higher means more likely foreign, or wrong. Equal scores fall to the same side of every
threshold; AUROC counts them half.
"""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.checked import Count, Share, checked
from surefooted.errors import InputError
from surefooted.metrics.functional import Functional, metric
from surefooted.metrics.intervals import Interval, Level
from surefooted.metrics.predictions import Predictions

Measure = Literal["max_probability", "entropy", "margin"]
Positive = Literal["outside", "inside"]


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
    order, last = _thresholds(_measured(p, by))

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
    order, last = _thresholds(_measured(p, by))

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


@checked
def detection(
    inside: Float[Tensor, " n"], outside: Float[Tensor, " m"], *, tpr: Share = 0.95, positive: Positive = "outside"
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


@checked
def auroc_interval(auroc: Share, n: Count, m: Count, *, level: Level = 0.95) -> Interval:
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


@checked
def error_detection(
    p: Predictions,
    uncertainty: Tensor | None = None,
    *,
    by: Measure = "max_probability",
    tpr: Share = 0.95,
    positive: Positive = "outside",
) -> Detection:
    """``detection`` of the model's errors: inside is what it answers right, outside what it answers wrong.

    Args:
        uncertainty: (N,) any number per example, such as ``mutual_information`` of its samples; ``by`` where left out.
    """
    score = _given(p, uncertainty, by, "error_detection")
    right = p.top()[1].bool()
    if right.all() or not right.any():
        raise InputError(
            f"error_detection needs both right and wrong answers; all {len(right)} are "
            f"{'right' if right.all() else 'wrong'}. Take more examples, or fewer levels."
        )
    return detection(score[right], score[~right], tpr=tpr, positive=positive)


@checked
def risk_coverage(
    p: Predictions, uncertainty: Tensor | None = None, *, by: Measure = "max_probability"
) -> RiskCoverage:
    """The risk-coverage curve: answer the least uncertain share, err at this rate. Arguments as in ``error_detection``.

    Reference: El-Yaniv & Wiener 2010.
    """
    score = _given(p, uncertainty, by, "risk_coverage")
    order, last = _thresholds(score)
    errors = (1 - p.top()[1])[order].cumsum(0)[last]
    return RiskCoverage(score[order][last], (last + 1).double() / len(score), errors / (last + 1))


def _given(p: Predictions, uncertainty: Tensor | None, by: Measure, who: str) -> Float[Tensor, " n"]:
    if uncertainty is None:
        return _measured(p, by)
    if uncertainty.shape != p.y.shape or not uncertainty.is_floating_point() or uncertainty.isnan().any():
        raise InputError(
            f"{who} needs one uncertainty per example, floats of shape {tuple(p.y.shape)} without NaN; "
            f"got {uncertainty.dtype} of shape {tuple(uncertainty.shape)}, {int(uncertainty.isnan().sum())} NaN."
        )
    return uncertainty.double()


def _measured(p: Predictions, by: Measure) -> Float[Tensor, " n"]:
    log_p = p.log_p.double()
    if by == "max_probability":
        return -torch.expm1(log_p.amax(-1))
    if by == "entropy":
        return torch.special.entr(log_p.exp()).sum(-1)
    top = log_p.exp().topk(min(2, log_p.shape[1])).values
    return 1 - top[:, 0] + (top[:, 1] if top.shape[1] > 1 else 0)


def _thresholds(score: Float[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " t"]]:
    """The rows by rising score, and the place of the last row of each distinct score among them."""
    ordered, order = score.sort(stable=True)
    changes = ordered[1:] != ordered[:-1]
    return order, torch.cat([changes, changes.new_ones(1)]).nonzero()[:, 0]


def _average_precision(yes: Float[Tensor, " n"], no: Float[Tensor, " m"]) -> float:
    """Σ over falling thresholds of precision · rise in recall."""
    thresholds, hits = yes.unique(return_counts=True)
    caught = hits.flip(0).cumsum(0).flip(0)
    false = len(no) - torch.searchsorted(no.sort().values, thresholds)
    return float((hits * caught.double() / (caught + false)).sum() / len(yes))
