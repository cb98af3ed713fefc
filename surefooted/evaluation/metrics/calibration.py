"""Calibration errors: how far confidence is from accuracy, bin by bin.

The literature writes ACE for three different things. Here they are: equal-mass top-label, ``ece(edges="equal_mass")``;
classwise equal-width, ``classwise_ece()``; classwise equal-mass, ``classwise_ece(edges="equal_mass")``.

All but ``debiased_ece`` are biased upward by chance gaps within bins.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.binning import Bins, ClosedSide, Edges, BinCount, make_bins
from surefooted.evaluation.metrics.functional import Functional, metric


@metric
def ece(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> Functional:
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
    of_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)
    return lambda weights: of_bins.sums(weights.T.contiguous(), gap)[0].abs().sum(0) / weights.sum(1)


@metric
def classwise_ece(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> Functional:
    """Classwise calibration error: the mean over the classes of the ECE of "is it class k", whatever is predicted.

    Options as in ``ece``; ``equal_mass`` edges are each class's own. It shrinks with the number of classes, as most
    probabilities are near 0 and right.

    References: static calibration error of Nixon et al. 2019; Kull et al. 2019.
    """
    probability = p.log_p.double().exp()
    gaps = (probability - torch.nn.functional.one_hot(p.y, probability.shape[1])).T.contiguous()
    of_bins = [make_bins(column, bins=bins, edges=edges, closed=closed) for column in probability.T.contiguous()]

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        by_row = weights.T.contiguous()
        total = weights.new_zeros(len(weights))
        for of_class, gap in zip(of_bins, gaps):
            total += of_class.sums(by_row, gap)[0].abs().sum(0)
        return total / (len(of_bins) * weights.sum(1))

    return of


@metric
def max_calibration_error(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> Functional:
    """Largest |confidence - accuracy| of a bin of the predicted class's confidence; empty bins do not count.

    Options as in ``ece``. With ``equal_width`` one example alone in its bin may set it: read it beside the reliability
    curve's counts.

    Reference: Naeini et al. 2015.
    """
    confidence, correct = p.top()
    gap = confidence - correct
    of_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        gaps, mass = of_bins.sums(weights.T.contiguous(), gap, torch.ones_like(gap))
        return torch.where(mass > 0, gaps.abs() / mass, 0).amax(0)

    return of


@metric
def debiased_ece(
    p: Predictions,
    /,
    *,
    bins: BinCount = 15,
    edges: Edges = "equal_width",
    closed: ClosedSide = "right",
    norm: Literal["l2", "squared", "l1"] = "l2",
) -> Functional:
    """Calibration error of the predicted class without what chance adds: the variance of each bin's gap is taken off.

    From the square of a bin's gap the estimated variance of the gap is subtracted, so that the sum over the bins
    is unbiased for Σ_b (n_b / n) · E[gap in b]². It sees what bins see: faults that cancel within a bin stay hidden.
    Rows with equal ``p.rows`` are one example, however correlated. A bin with one example says nothing and counts 0.

    Args:
        norm: ``l2`` is the root of the sum, 0 where the sum is below 0 (near calibration it often is);
            ``squared`` the sum itself, which may be negative; ``l1`` is on the scale of ``ece``: each bin's
            |gap| less E|N(gap, variance)| - |gap|, in closed form. At perfect calibration that takes off 41 % of the
            bias, and nearly all once gaps exceed their standard errors.

    Other options as in ``ece``. References: Kumar, Liang & Ma 2019 (squared and l2; they take accuracy's variance in
    the bin, here it is the gap's, which is exact where confidence varies within a bin); after Bröcker 2012 and Ferro &
    Fricker 2012.
    """
    confidence, correct = p.top()
    gap = confidence - correct
    of_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)
    unit = p.rows.unique(return_inverse=True)[1]

    def of(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        mean, variance, mass = _mean_gaps(of_bins, gap, unit, weights.T.contiguous())
        share = mass / mass.sum(0)
        if norm == "l1":
            spread = variance.clamp(min=1e-300).sqrt()
            z = mean.abs() / spread
            folded = spread * (2 / torch.pi) ** 0.5 * (-z.square() / 2).exp() + mean.abs() * torch.erf(z / 2**0.5)
            return (share * (2 * mean.abs() - folded)).sum(0).clamp(min=0)
        squared = (share * (mean.square() - variance)).sum(0)
        return squared if norm == "squared" else squared.clamp(min=0).sqrt()

    return of


def _mean_gaps(
    of_bins: Bins, gap: Float[Tensor, " n"], unit: Int[Tensor, " n"], weights: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "bins d"], Float[Tensor, "bins d"], Float[Tensor, "bins d"]]:
    """Mean gap, its estimated variance and the mass of each bin, by draw; mean and variance 0 where one example is.

    An example drawn w times counts as one that was seen w times, w² in the variance: a resample's gap lies around the
    true one with twice the variance of the sample's, and that much is taken off.
    """
    count, sum_of_gaps = weights, weights * gap[:, None]
    if int(unit.max()) + 1 < len(unit):  # some examples fill several rows: add up what they have in a bin
        index = of_bins.index(weights)
        index = (unit[:, None] * (int(index.max()) + 1) + index).expand_as(weights)
        size = int(index.max()) + 1
        count, sum_of_gaps = (
            values.new_zeros(size, values.shape[1]).scatter_add_(0, index, values).gather(0, index)
            for values in (count, sum_of_gaps)
        )
    one = torch.ones_like(gap)
    mass, gaps, squares, products, counts = of_bins.sums(
        weights, one, gap, gap[:, None] * sum_of_gaps, gap[:, None] * count, count
    )
    mean = gaps / mass.clamp(min=1e-300)
    alone = 1 - counts / mass.square().clamp(min=1e-300)  # 1 - 1/n for n examples of equal weight
    known = (mass > 0) & (alone > 1e-9)
    variance = (squares - 2 * mean * products + mean.square() * counts) / (mass.square() * alone)
    return torch.where(known, mean, 0), torch.where(known, variance, 0).clamp(min=0), mass
