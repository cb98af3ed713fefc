"""Decompositions of the Brier score and the log-likelihood into calibration, resolution and label uncertainty.

Both are estimated over bins, and all terms are returned, so that they sum to the score exactly. Small bins move weight
from resolution to reliability: as with ``ece``, both are biased upward by about the noise of one bin per bin.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from surefooted.components.component import component
from surefooted.core.predictions import Predictions, check_answered
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.binning import BinCount, ClosedSide, Edges, make_bins
from surefooted.evaluation.metrics.information import kl_divergence, shannon_entropy
from surefooted.evaluation.metrics.pointwise import brier, nll


@printable
class BrierDecomposition(NamedTuple):
    """brier = reliability - resolution + uncertainty + within_variance - within_covariance.

    Attributes:
        reliability: Σ_k Σ_b n_kb/n · (mean p - frequency of k)²; 0 for calibrated forecasts.
        resolution: Σ_k Σ_b n_kb/n · (frequency of k in the bin - frequency of k)²; higher is better.
        uncertainty: Σ_k f_k (1 - f_k); depends on the labels only.
        within_variance: variance of the forecasts within their bins.
        within_covariance: twice the covariance of forecast and label within bins.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float


@printable
class NllDecomposition(NamedTuple):
    """nll = calibration + refinement + within_group; refinement = uncertainty - resolution. In nats.

    Attributes:
        calibration: Σ_g n_g/n · KL(class frequencies ‖ mean forecast); 0 for calibrated forecasts.
        refinement: Σ_g n_g/n · H(class frequencies); the loss of a forecast that equals each group's frequencies.
        within_group: loss (positive) or gain (negative) because forecasts differ within groups.
        resolution: Σ_g n_g/n · KL(class frequencies in the group ‖ class frequencies); higher is better.
        uncertainty: H(class frequencies); depends on the labels only.
    """

    nll: float
    calibration: float
    refinement: float
    within_group: float
    resolution: float
    uncertainty: float


@component
def brier_decomposition(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> BrierDecomposition:
    """Murphy's decomposition of the multi-class Brier score, summed over the classes; class k uses bins of its p_k.

    If forecasts vary within bins, Murphy's three terms differ from the score by two within-bin terms (Stephenson et
    al.), which are 0 when every bin holds a single forecast value. The options are those of ``classwise_ece``.

    Reference: Murphy 1973; Stephenson, Coelho & Jolliffe 2008.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> brier_decomposition(p)
        BrierDecomposition(brier=0.37, reliability=0.37, resolution=0.5, uncertainty=0.5, ...)
    """
    check_answered(p, "brier_decomposition")
    n, k = p.log_p.shape
    probability = p.log_p.double().exp()
    label = torch.nn.functional.one_hot(p.y, k).double()
    one = probability.new_ones(n, 1)
    terms = probability.new_zeros(5)
    for f, y in zip(probability.T.contiguous(), label.T.contiguous()):
        score_bins = make_bins(f, bins=bins, edges=edges, closed=closed)
        count, sum_f, sum_y, sum_ff, sum_fy = (s[:, 0] for s in score_bins.sums(one, one[:, 0], f, y, f * f, f * y))
        mean_f, mean_y = (total / count.clamp(min=1) for total in (sum_f, sum_y))
        base = y.mean()
        terms += torch.stack(
            [
                (count * (mean_f - mean_y).square()).sum() / n,
                (count * (mean_y - base).square()).sum() / n,
                base * (1 - base),
                (sum_ff - count * mean_f.square()).sum() / n,
                2 * (sum_fy - count * mean_f * mean_y).sum() / n,
            ]
        )
    return BrierDecomposition(brier(p), *terms.tolist())


@component
def nll_decomposition(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> NllDecomposition:
    """Calibration and refinement of the negative log-likelihood, over groups: predicted class × bin of its confidence.

    This is a grouped estimate: the exact terms would need the class frequencies of every distinct forecast. With K
    classes and n_g examples, chance adds about (K - 1) / 2 n_g to a group's calibration and removes it from its
    refinement, so choose few bins for few examples. If a true class has probability 0, ``nll`` is infinite; so is
    ``calibration`` if the whole group gives the class probability 0, otherwise ``within_group``.

    Reference: Bröcker 2009; Kull & Flach 2015.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> nll_decomposition(p)
        NllDecomposition(nll=0.511, calibration=0.511, refinement=0, ...)
    """
    check_answered(p, "nll_decomposition")
    n, k = p.log_p.shape
    probability = p.log_p.double().exp()
    confidence, predicted = probability.max(-1)
    index = make_bins(confidence, bins=bins, edges=edges, closed=closed).index(probability.new_ones(n, 1))[:, 0]
    group = torch.unique(predicted * bins + index, return_inverse=True)[1]
    count = torch.bincount(group).double()
    label = torch.nn.functional.one_hot(p.y, k).double()
    frequency, forecast = (
        probability.new_zeros(len(count), k).index_add_(0, group, rows) / count[:, None]
        for rows in (label, probability)
    )
    share, base = count / n, label.mean(0)
    refinement = share @ shannon_entropy(frequency)
    calibration = share @ kl_divergence(frequency, forecast)
    resolution = share @ kl_divergence(frequency, base.expand_as(frequency))
    value = nll(p)
    within = value - float(calibration + refinement) if calibration < torch.inf else 0.0
    return NllDecomposition(
        value, float(calibration), float(refinement), within, float(resolution), float(shannon_entropy(base))
    )
