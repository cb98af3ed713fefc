"""The Brier score and the log-likelihood taken apart: miscalibration, what the forecasts tell apart, what no one knows.

Both are estimates over bins, with all terms reported, so that they add up to the score exactly. Small bins shift weight
from resolution's deficit to reliability: as with ``ece``, both are biased upward by about one bin's noise per bin.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.binning import ClosedSide, Edges, BinCount, make_bins
from surefooted.evaluation.metrics.pointwise import brier, nll


class BrierDecomposition(NamedTuple):
    """brier = reliability - resolution + uncertainty + within_variance - within_covariance.

    Attributes:
        reliability: Σ_k Σ_b n_kb/n · (mean p - frequency of k)²: 0 for calibrated forecasts.
        resolution: Σ_k Σ_b n_kb/n · (frequency of k in the bin - frequency of k)²: higher is better.
        uncertainty: Σ_k f_k (1 - f_k), of the labels alone.
        within_variance: of the forecasts within their bins.
        within_covariance: twice the covariance of forecast and label within bins.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float


class NllDecomposition(NamedTuple):
    """nll = calibration + refinement + within_group; refinement = uncertainty - resolution. In nats.

    Attributes:
        calibration: Σ_g n_g/n · KL(class frequencies ‖ mean forecast): 0 for calibrated forecasts.
        refinement: Σ_g n_g/n · H(class frequencies): what is left when every group knows its frequencies.
        within_group: what the forecasts lose (above 0) or gain (below 0) by differing within groups.
        resolution: Σ_g n_g/n · KL(class frequencies in the group ‖ class frequencies): higher is better.
        uncertainty: H(class frequencies), of the labels alone.
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
    """Murphy's decomposition of the multi-class Brier score: the classes' own, each over bins of its p_k, summed.

    With forecasts that vary within bins, Murphy's three terms miss the score by two within-bin terms (Stephenson et
    al.); they are 0 when every bin holds one forecast value. Options as in ``classwise_ece``.

    References: Murphy 1973; Stephenson, Coelho & Jolliffe 2008.
    """
    n, k = p.log_p.shape
    probability = p.log_p.double().exp()
    label = torch.nn.functional.one_hot(p.y, k).double()
    one = probability.new_ones(n, 1)
    terms = probability.new_zeros(5)
    for f, y in zip(probability.T.contiguous(), label.T.contiguous()):
        of = make_bins(f, bins=bins, edges=edges, closed=closed)
        count, sum_f, sum_y, sum_ff, sum_fy = (s[:, 0] for s in of.sums(one, one[:, 0], f, y, f * f, f * y))
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

    A grouped estimate, not the true terms, which would need every distinct forecast's own class frequencies. Of K
    classes and n_g examples, chance adds about (K - 1) / 2 n_g to a group's calibration and takes it from its
    refinement: with few examples choose few bins. A true class of probability 0 makes ``nll`` infinite, and with it
    ``calibration`` where the whole group gives it 0, else ``within_group``.

    References: Bröcker 2009; Kull & Flach 2015.
    """
    n, k = p.log_p.shape
    probability = p.log_p.double().exp()
    confidence, predicted = probability.max(-1)
    index = make_bins(confidence, bins=bins, edges=edges, closed=closed).index(probability.new_ones(n, 1))[:, 0]
    group = (predicted * bins + index).unique(return_inverse=True)[1]
    count = torch.bincount(group).double()
    label = torch.nn.functional.one_hot(p.y, k).double()
    frequency, forecast = (
        probability.new_zeros(len(count), k).index_add_(0, group, rows) / count[:, None]
        for rows in (label, probability)
    )
    share, base = count / n, label.mean(0)
    refinement = share @ _entropy(frequency)
    calibration = share @ _divergence(frequency, forecast)
    resolution = share @ _divergence(frequency, base.expand_as(frequency))
    value = nll(p)
    within = value - float(calibration + refinement) if calibration < torch.inf else 0.0
    return NllDecomposition(
        value, float(calibration), float(refinement), within, float(resolution), float(_entropy(base))
    )


def _entropy(q: Float[Tensor, "*g k"]) -> Float[Tensor, "*g"]:
    return torch.special.entr(q).sum(-1)


def _divergence(q: Float[Tensor, "g k"], p: Float[Tensor, "g k"]) -> Float[Tensor, " g"]:
    """KL(q ‖ p); infinite where p misses what q holds."""
    return (torch.special.xlogy(q, q) - torch.special.xlogy(q, p)).sum(-1)
