"""The reliability curve: confidence and accuracy by bin, which ``ece`` sums up."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import component
from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.binning import ClosedSide, Edges, BinCount, bin_edges, make_bins


class ReliabilityCurve(NamedTuple):
    """One entry per bin; ``confidence`` and ``accuracy`` are nan where ``count`` is 0."""

    lo: Float[Tensor, " bins"]
    hi: Float[Tensor, " bins"]
    count: Int[Tensor, " bins"]  # type: ignore[assignment]  # hides tuple.count, which nobody misses here
    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]


@component
def reliability_curve(
    p: Predictions, /, *, bins: BinCount = 15, edges: Edges = "equal_width", closed: ClosedSide = "right"
) -> ReliabilityCurve:
    """Mean confidence and accuracy of the predicted class by bin of confidence; options as in ``ece``.

    Σ count · |confidence - accuracy| / n over the bins that are not empty is ``ece`` with the same options.
    """
    confidence, correct = p.top()
    one = torch.ones_like(confidence)
    of = make_bins(confidence, bins=bins, edges=edges, closed=closed)
    count, sure, right = (of_bin[:, 0] for of_bin in of.sums(one[:, None], one, confidence, correct))
    edge = bin_edges(confidence, bins=bins, edges=edges, closed=closed)
    return ReliabilityCurve(edge[:-1], edge[1:], count.long(), sure / count, right / count)
