"""Decompositions of the Brier score and the log-likelihood into calibration, resolution and label uncertainty.

Both are estimated over bins, and all terms are returned, so that they sum to the score exactly. Small bins move weight
from resolution to reliability: as with ``ece``, both are biased upward by about the noise of one bin per bin.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.interval import Interval
from surefooted.core.predictions import Predictions, check_answered
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.binning import BinCount, ClosedSide, Edges, make_bins
from surefooted.evaluation.metrics.information import kl_divergence, shannon_entropy
from surefooted.evaluation.metrics.intervals import central_quantiles, resamples
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
    return BrierDecomposition(*_at_equal_weights(_brier_terms(p, bins, edges, closed), p))


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
    return NllDecomposition(*_at_equal_weights(_nll_terms(p, bins, edges, closed), p))


def decomposition_intervals(
    p: Predictions,
    score: Literal["brier", "nll"] = "brier",
    *,
    bins: int = 15,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """The terms of a decomposition with confidence intervals over the examples.

    Intervals are those of the basic bootstrap, which takes off what resampling adds to terms that chance makes
    positive (see ``bootstrap``); they are cut at 0 for terms that cannot be negative, and extended to hold the value.

    Args:
        p: predictions. Entries with equal ``p.rows`` are resampled together.
        score: ``brier`` or ``nll``.
        bins: number of bins of equal width.
        draws: number of bootstrap resamples.
        level: confidence level.
        seed: seed of the resamples.

    Returns:
        An interval per term, by its name; bounds are nan for a single example.

    Raises:
        ArgumentError: if a row is no answer.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 15 + [1] * 5))
        >>> decomposition_intervals(p, draws=200)["reliability"]
        0.045 [0.000, 0.090]
    """
    check_answered(p, f"{score}_decomposition")
    make = {"brier": _brier_terms, "nll": _nll_terms}[score]
    names = BrierDecomposition._fields if score == "brier" else NllDecomposition._fields
    terms = make(p, bins, "equal_width", "right")
    values = dict(zip(names, _at_equal_weights(terms, p)))
    examples, unit = torch.unique(p.rows, return_inverse=True)
    n = len(examples)
    if n == 1:
        return {name: Interval(value, nan, nan, n) for name, value in values.items()}
    drawn = torch.cat([terms(w[:, unit]) for w in resamples(n, draws, seed, p.log_p.device)], 1)
    intervals = {}
    for (name, value), of_draws in zip(values.items(), drawn):
        low, high = central_quantiles(of_draws, level)
        if isfinite(value) and isfinite(high):
            low, high = 2 * value - high, 2 * value - low
        if name not in ("within_covariance", "within_group"):
            low = max(low, 0.0)
        intervals[name] = Interval(value, min(low, value), max(high, value), n)
    return intervals


_Terms = Callable[[Float[Tensor, "d n"]], Float[Tensor, "t d"]]


def _at_equal_weights(terms: _Terms, p: Predictions) -> list[float]:
    found: list[float] = terms(torch.ones(1, len(p.y), dtype=torch.float64, device=p.log_p.device))[:, 0].tolist()
    return found


def _brier_terms(p: Predictions, bins: int, edges: Edges, closed: ClosedSide) -> _Terms:
    """The terms of the Brier score as a function of weights per example."""
    probability = p.log_p.double().exp()
    label = torch.nn.functional.one_hot(p.y, probability.shape[1]).double()
    one, score = torch.ones_like(probability[:, 0]), brier.weighted(p)
    columns = [
        (make_bins(f, bins=bins, edges=edges, closed=closed), f, y)
        for f, y in zip(probability.T.contiguous(), label.T.contiguous())
    ]

    def evaluate(weights: Float[Tensor, "d n"]) -> Float[Tensor, "t d"]:
        by_row, n = weights.T.contiguous(), weights.sum(1)
        terms = weights.new_zeros(5, len(weights))
        for score_bins, f, y in columns:
            count, sum_f, sum_y, sum_ff, sum_fy = score_bins.sums(by_row, one, f, y, f * f, f * y)
            mean_f, mean_y = (total / count.clamp(min=1) for total in (sum_f, sum_y))
            base = weights @ y / n
            terms += torch.stack(
                [
                    (count * (mean_f - mean_y).square()).sum(0) / n,
                    (count * (mean_y - base).square()).sum(0) / n,
                    base * (1 - base),
                    (sum_ff - count * mean_f.square()).sum(0) / n,
                    2 * (sum_fy - count * mean_f * mean_y).sum(0) / n,
                ]
            )
        return torch.cat([score(weights)[None], terms])

    return evaluate


def _nll_terms(p: Predictions, bins: int, edges: Edges, closed: ClosedSide) -> _Terms:
    """The terms of the negative log-likelihood as a function of weights per example."""
    probability, score = p.log_p.double().exp(), nll.weighted(p)
    label = torch.nn.functional.one_hot(p.y, probability.shape[1]).double()
    confidence, predicted = probability.max(-1)
    score_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)

    def of_draw(weight: Float[Tensor, " n"]) -> Float[Tensor, " t"]:
        drawn = weight > 0
        index = score_bins.index(weight[:, None])[drawn, 0]
        group = torch.unique(predicted[drawn] * bins + index, return_inverse=True)[1]
        count = torch.bincount(group, weights=weight[drawn])
        rows_of = (values[drawn] * weight[drawn, None] for values in (label, probability))
        frequency, forecast = (
            count.new_zeros(len(count), rows.shape[1]).index_add_(0, group, rows) / count[:, None] for rows in rows_of
        )
        n = weight.sum()
        share, base = count / n, weight @ label / n
        refinement = share @ shannon_entropy(frequency)
        calibration = share @ kl_divergence(frequency, forecast)
        resolution = share @ kl_divergence(frequency, base.expand_as(frequency))
        value = score(weight[None])[0]
        within = torch.where(calibration < torch.inf, value - (calibration + refinement), 0)
        return torch.stack([value, calibration, refinement, within, resolution, shannon_entropy(base)])

    return lambda weights: torch.stack([of_draw(weight) for weight in weights], 1)
