"""Calibration errors: how far confidence is from accuracy, bin by bin.

The literature uses the name ACE for three different quantities. They are available as: equal-mass top-label,
``ece(edges="equal_mass")``; classwise equal-width, ``classwise_ece()``; classwise equal-mass,
``classwise_ece(edges="equal_mass")``.

Binned errors depend on the bins. ``smooth_ece`` has none: it smooths the gaps by a kernel instead.

All but ``debiased_ece`` are biased upward by chance gaps. Each returns a ``GapFunctional``, from whose gaps
``calibration_interval`` finds the interval.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.binning import BinCount, Bins, ClosedSide, Edges, make_bins
from surefooted.evaluation.metrics.functional import Functional, GapFunctional, metric

VERSION = {"debiased_ece": 2}  # since its default is on the scale of ``ece``


@metric(better="low", perfect=0.0, interval="calibration", reads="confidence")
def ece(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> Functional:
    """Expected calibration error of the predicted class: Σ_b (n_b / n) · |confidence_b - accuracy_b|.

    Every row counts; confidence 0 is in the first bin and confidence 1 in the last. The error is between 0 and 1. Its
    estimate from a sample is biased upward: on n examples, a perfectly calibrated model still shows about
    sqrt(bins / n).

    Args:
        bins: number of bins. 15 is customary (Guo et al. 2017); the AR-AdaLS paper does not state its number.
        edges: ``equal_width`` divides [0, 1] evenly; ``equal_mass`` puts the same number of examples into every bin.
        closed: ``right`` uses intervals (lo, hi] as Guo et al. do; ``left`` uses [lo, hi) with the last bin closed, as
            uncertainty-baselines and netcal do. They differ only if a confidence lies on an edge.

    Reference: Naeini et al. 2015; Guo et al. 2017, equation 3; equal-mass edges: Nguyen & O'Connor 2015.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.ece(p), 3)
        0.35
    """
    confidence, correct = p.top()
    gap = confidence - correct
    score_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)

    def sums(weights: Float[Tensor, "d n"]) -> Float[Tensor, "bins d"]:
        return score_bins.sums(weights.T.contiguous(), gap)[0]

    # Functions of weights per example: ``@metric`` returns the value at equal weights, the bootstrap resamples.
    return GapFunctional(
        lambda weights: sums(weights).abs().sum(0) / weights.sum(1),
        lambda weights: sums(weights) / weights.sum(1),
        lambda gaps: gaps.abs().sum(0),
    )


@metric(better="low", perfect=0.0, interval="calibration")
def classwise_ece(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> Functional:
    """Classwise calibration error: the mean over the classes k of the ECE of the one-vs-rest forecast "class k".

    The options are those of ``ece``; with ``equal_mass``, each class has its own edges. The error decreases as the
    number of classes grows, because most probabilities are then near 0 and correct.

    Reference: Nixon et al. 2019 (static calibration error); Kull et al. 2019.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.classwise_ece(p), 3)
        0.35
    """
    onehot = torch.nn.functional.one_hot(p.y, p.log_p.shape[1])
    # A row without an answer is wrong about every class.
    probability = torch.where(p.answered[:, None], p.log_p.double().exp(), 1.0 - onehot)
    gaps = (probability - onehot).T.contiguous()
    bins_per_class = [make_bins(column, bins=bins, edges=edges, closed=closed) for column in probability.T.contiguous()]

    def evaluate(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        by_row = weights.T.contiguous()
        total = weights.new_zeros(len(weights))
        for class_bins, gap in zip(bins_per_class, gaps):
            total += class_bins.sums(by_row, gap)[0].abs().sum(0)
        return total / (len(bins_per_class) * weights.sum(1))

    def signed(weights: Float[Tensor, "d n"]) -> Float[Tensor, "g d"]:
        by_row = weights.T.contiguous()
        sums = [class_bins.sums(by_row, gap)[0] for class_bins, gap in zip(bins_per_class, gaps)]
        return torch.cat(sums) / (len(bins_per_class) * weights.sum(1))

    return GapFunctional(evaluate, signed, lambda parts: parts.abs().sum(0))


@metric(better="low", perfect=0.0, interval="calibration", reads="confidence")
def max_calibration_error(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> Functional:
    """Maximum calibration error (MCE): the largest |confidence - accuracy| over the bins that are not empty.

    The options are those of ``ece``. With ``equal_width``, a single example alone in its bin can determine the value:
    read it together with the counts of ``reliability_curve``.

    Reference: Naeini et al. 2015.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.max_calibration_error(p), 3)
        0.6
    """
    confidence, correct = p.top()
    gap = confidence - correct
    score_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)

    def signed(weights: Float[Tensor, "d n"]) -> Float[Tensor, "bins d"]:
        sums, mass = score_bins.sums(weights.T.contiguous(), gap, torch.ones_like(gap))
        return torch.where(mass > 0, sums / mass, 0)

    def largest(gaps: Float[Tensor, "bins d"]) -> Float[Tensor, " d"]:
        return gaps.abs().amax(0)

    return GapFunctional(lambda weights: largest(signed(weights)), signed, largest)


@metric(better="low", perfect=0.0, interval="calibration", reads="confidence")
def debiased_ece(
    p: Predictions,
    /,
    *,
    bins: BinCount = 15,
    edges: Edges = "equal_width",
    closed: ClosedSide = "right",
    norm: Literal["l1", "l2", "squared"] = "l1",
) -> Functional:
    """Calibration error of the predicted class, corrected for its upward bias by the variance of each bin's gap.

    It has the scale of ``ece`` and is never larger. As with every binned error, gaps that cancel within a bin stay
    hidden. Rows with equal ``p.rows`` are views of one example and may be correlated in any way. A bin with one example
    has no variance estimate and contributes 0. The other options are those of ``ece``.

    Args:
        norm: ``l1`` subtracts E|N(gap, variance)| - |gap| from each bin's |gap|, in closed form. At perfect calibration
            this removes 41 % of the bias, and nearly all of it once gaps exceed their standard errors. ``l2`` is
            another quantity, the root mean square of the gaps, which is at least as large as their mean: the estimated
            variance is subtracted from the square of each gap, so that the sum over the bins is unbiased for
            Σ_b (n_b / n) · E[gap in b]², and the root is taken, of 0 if the sum is negative, as is common near perfect
            calibration. ``squared`` is that sum itself and may be negative.

    Reference: Kumar, Liang & Ma 2019 (squared and l2; they use the variance of the accuracy in a bin, here it is that
    of the gap, which is exact if confidence varies within a bin); after Bröcker 2012 and Ferro & Fricker 2012.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]]).log().repeat(100, 1), (torch.arange(100) < 12).long())
        >>> round(sf.metrics.ece(p), 3), round(sf.metrics.debiased_ece(p), 3)
        (0.02, 0.009)
    """
    confidence, correct = p.top()
    gap = confidence - correct
    score_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)
    unit = torch.unique(p.rows, return_inverse=True)[1]

    def evaluate(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        mean, variance, mass = _mean_gaps(score_bins, gap, unit, weights.T.contiguous())
        share = mass / mass.sum(0)
        if norm == "l1":
            spread = variance.clamp(min=1e-300).sqrt()
            z = mean.abs() / spread
            folded = spread * (2 / torch.pi) ** 0.5 * (-z.square() / 2).exp() + mean.abs() * torch.erf(z / 2**0.5)
            debiased: Tensor = (share * (2 * mean.abs() - folded)).sum(0).clamp(min=0)
            return debiased
        squared = (share * (mean.square() - variance)).sum(0)
        return squared if norm == "squared" else squared.clamp(min=0).sqrt()

    def signed(weights: Float[Tensor, "d n"]) -> Float[Tensor, "bins d"]:
        sums, mass = score_bins.sums(weights.T.contiguous(), gap, torch.ones_like(gap))
        if norm == "l1":
            return sums / weights.sum(1)
        return torch.where(mass > 0, sums / (mass * weights.sum(1)).sqrt(), 0)

    def uncorrected(gaps: Float[Tensor, "bins d"]) -> Float[Tensor, " d"]:
        return gaps.abs().sum(0) if norm == "l1" else gaps.square().sum(0).sqrt()

    return GapFunctional(evaluate, signed, uncorrected)


def _mean_gaps(
    bins: Bins, gap: Float[Tensor, " n"], unit: Int[Tensor, " n"], weights: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "bins d"], Float[Tensor, "bins d"], Float[Tensor, "bins d"]]:
    """Mean gap, its estimated variance and the mass of each bin, per draw; bins with one example have 0 for both.

    An example drawn w times counts as w sightings of one example, hence w² in the variance. The gap of a resample
    scatters around the true gap with twice the variance of the sample's own, and that variance is subtracted.
    """
    count, sum_of_gaps = weights, weights * gap[:, None]
    if int(unit.max()) + 1 < len(unit):  # some examples have several rows: sum their values within a bin
        index = bins.index(weights)
        index = (unit[:, None] * (int(index.max()) + 1) + index).expand_as(weights)
        size = int(index.max()) + 1
        count, sum_of_gaps = (
            values.new_zeros(size, values.shape[1]).scatter_add_(0, index, values).gather(0, index)
            for values in (count, sum_of_gaps)
        )
    one = torch.ones_like(gap)
    mass, gaps, squares, products, counts = bins.sums(
        weights, one, gap, gap[:, None] * sum_of_gaps, gap[:, None] * count, count
    )
    mean = gaps / mass.clamp(min=1e-300)
    alone = 1 - counts / mass.square().clamp(min=1e-300)  # 1 - 1/n for n examples of equal weight
    known = (mass > 0) & (alone > 1e-9)
    variance = (squares - 2 * mean * products + mean.square() * counts) / (mass.square() * alone)
    return torch.where(known, mean, 0), torch.where(known, variance, 0).clamp(min=0), mass
