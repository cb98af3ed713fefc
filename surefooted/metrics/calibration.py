"""Calibration errors: how far confidence is from accuracy, bin by bin.

The literature writes ACE for three different things. Here they are: equal-mass top-label, ``ece(edges="equal_mass")``;
classwise equal-width, ``classwise_ece()``; classwise equal-mass, ``classwise_ece(edges="equal_mass")``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.checked import Count
from surefooted.metrics.binning import Closed, Edges, binned
from surefooted.metrics.functional import Functional, metric
from surefooted.metrics.predictions import Predictions


@metric
def ece(p: Predictions, *, bins: Count = 15, edges: Edges = "equal_width", closed: Closed = "right") -> Functional:
    """Expected calibration error of the predicted class: Σ_b (n_b / n) · |confidence_b - accuracy_b|.

    Every row counts; confidence 0 lies in the first bin and confidence 1 in the last. It is 0 to 1, and estimated from
    a sample it is biased upward: a calibrated model of n examples still shows about sqrt(bins / n).

    Args:
        bins: how many; AR-AdaLS does not print its own, 15 is the custom (Guo et al. 2017).
        edges: ``equal_width`` cuts [0, 1] evenly, ``equal_mass`` puts as many examples into every bin.
        closed: ``right`` is (lo, hi] as in Guo et al.; ``left`` is [lo, hi) with the last bin closed, as in
            uncertainty-baselines and netcal. On confidences that avoid the edges the two agree.

    References: Naeini et al. 2015; Guo et al. 2017; equal-mass edges: Nguyen & O'Connor 2015.
    """
    confidence, correct = p.top()
    gap = confidence - correct
    of_bins = binned(confidence, bins=bins, edges=edges, closed=closed)
    return lambda weights: of_bins.sums(weights.T.contiguous(), gap)[0].abs().sum(0) / weights.sum(1)


@metric
def classwise_ece(
    p: Predictions, *, bins: Count = 15, edges: Edges = "equal_width", closed: Closed = "right"
) -> Functional:
    """Classwise calibration error: the mean over the classes of the ECE of "is it class k", whatever is predicted.

    Options as in ``ece``; ``equal_mass`` edges are each class's own. It shrinks with the number of classes, as most
    probabilities are near 0 and right.

    References: static calibration error of Nixon et al. 2019; Kull et al. 2019.
    """
    probability = p.log_p.double().exp()
    gaps = (probability - torch.nn.functional.one_hot(p.y, probability.shape[1])).T.contiguous()
    of_bins = [binned(column, bins=bins, edges=edges, closed=closed) for column in probability.T.contiguous()]

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        by_row = weights.T.contiguous()
        total = weights.new_zeros(len(weights))
        for of_class, gap in zip(of_bins, gaps):
            total += of_class.sums(by_row, gap)[0].abs().sum(0)
        return total / (len(of_bins) * weights.sum(1))

    return of


@metric
def max_calibration_error(
    p: Predictions, *, bins: Count = 15, edges: Edges = "equal_width", closed: Closed = "right"
) -> Functional:
    """Largest |confidence - accuracy| of a bin of the predicted class's confidence; empty bins do not count.

    Options as in ``ece``. With ``equal_width`` one example alone in its bin may set it: read it beside the reliability
    curve's counts.

    Reference: Naeini et al. 2015.
    """
    confidence, correct = p.top()
    gap = confidence - correct
    of_bins = binned(confidence, bins=bins, edges=edges, closed=closed)

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        gaps, mass = of_bins.sums(weights.T.contiguous(), gap, torch.ones_like(gap))
        return torch.where(mass > 0, gaps.abs() / mass, 0).amax(0)

    return of
