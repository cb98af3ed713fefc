"""The reliability curve: confidence and accuracy per bin; ``ece`` is its weighted mean gap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.predictions import Predictions
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.binning import BinCount, ClosedSide, Edges, bin_edges, make_bins


@printable
class ReliabilityCurve(NamedTuple):
    """One entry per bin; ``confidence`` and ``accuracy`` are nan in empty bins.

    Attributes:
        lo, hi: edges of the bins.
        count: number of examples.
        confidence: mean confidence of the predicted class.
        accuracy: share of correct predictions.
    """

    lo: Float[Tensor, " bins"]
    hi: Float[Tensor, " bins"]
    count: Int[Tensor, " bins"]  # type: ignore[assignment]  # hides tuple.count
    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]


@component
def reliability_curve(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> ReliabilityCurve:
    """Mean confidence and accuracy of the predicted class per bin of its confidence.

    The options are those of ``ece``. With the same options, ``ece`` is Σ count · |confidence - accuracy| / n over the
    bins that are not empty.

    Reference: Guo et al. 2017, section 2 (reliability diagram).

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> reliability_curve(p, bins=2).count.tolist()
        [0, 2]
    """
    confidence, correct = p.top()
    one = torch.ones_like(confidence)
    score_bins = make_bins(confidence, bins=bins, edges=edges, closed=closed)
    count, total_confidence, total_correct = (
        sums[:, 0] for sums in score_bins.sums(one[:, None], one, confidence, correct)
    )
    edge = bin_edges(confidence, bins=bins, edges=edges, closed=closed)
    return ReliabilityCurve(edge[:-1], edge[1:], count.long(), total_confidence / count, total_correct / count)
