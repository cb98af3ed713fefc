"""SmoothECE: the calibration error without bins."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.functional import Functional, GapFunctional, metric

_CELLS = 1024  # of the grid on [0, 1]; a smaller bandwidth than one cell changes nothing
_HALVINGS = 20  # of the interval of the bandwidth


@metric(better="low", perfect=0.0, interval="calibration", reads="confidence")
def smooth_ece(p: Predictions, /) -> Functional:
    """SmoothECE: the mean absolute gap between confidence and accuracy after smoothing; it needs no bins.

    The gaps, confidence minus correctness, are smoothed over confidence by a Gaussian kernel that is reflected at 0 and
    at 1, and the absolute value of the smoothed gaps is integrated. The bandwidth is not an option: it is the one that
    equals the error itself, σ = smECE(σ), which exists and is unique because smECE(σ) falls as σ grows. Within a
    constant factor the value is the distance to the nearest perfectly calibrated predictor, which no binned error is.
    It is between ``abs(overconfidence)`` and 1, and biased upward like ``ece``, but less.

    Reference: Błasiok & Nakkiran 2023, *Smooth ECE: principled reliability diagrams via kernel smoothing*, definitions
    1 and 2. Confidences are put on a grid of 1,024 cells, each between its two nearest nodes.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 4).log(), torch.tensor([0, 0, 0, 1]))
        >>> round(sf.metrics.smooth_ece(p), 3)
        0.15
    """
    confidence, correct = p.top()
    gap = confidence - correct
    place = confidence.clamp(0, 1) * _CELLS
    lower = place.floor().clamp(max=_CELLS - 1).long()
    share = place - lower

    def masses(weights: Float[Tensor, "d n"]) -> Float[Tensor, "d nodes"]:
        """Σ weight · gap at each node of the grid, divided by the sum of the weights."""
        weighted = weights * gap
        nodes = weights.new_zeros(len(weights), _CELLS + 1)
        nodes.index_add_(1, lower, weighted * (1 - share)).index_add_(1, lower + 1, weighted * share)
        return nodes / weights.sum(1, keepdim=True)

    def value(weights: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
        return _fixed_point(_spectrum(masses(weights)))

    # The noise of the gaps is smoothed by the bandwidth of the sample.
    bandwidth = value(gap.new_ones(1, len(gap)))
    return GapFunctional(
        value, lambda weights: _smooth(_spectrum(masses(weights)), bandwidth).T, lambda g: _integral(g.T)
    )


def _spectrum(masses: Float[Tensor, "d nodes"]) -> Float[Tensor, "d nodes"]:
    """The Fourier coefficients of the masses with their mirror images at 0 and 1: a real and even sequence."""
    ends = torch.cat([2 * masses[:, :1], masses[:, 1:-1], 2 * masses[:, -1:], masses[:, 1:-1].flip(1)], 1)
    spectrum: Tensor = torch.fft.rfft(ends)
    return spectrum.real


def _smooth(spectrum: Float[Tensor, "d nodes"], bandwidth: Float[Tensor, " _"]) -> Float[Tensor, "d nodes"]:
    """Convolution with a Gaussian; its transform is a Gaussian too."""
    frequency = torch.pi * torch.arange(spectrum.shape[1], dtype=spectrum.dtype, device=spectrum.device)
    decay = torch.exp(-(frequency * bandwidth[:, None]).square() / 2)
    smoothed: Tensor = torch.fft.irfft(spectrum * decay, n=2 * _CELLS)
    return smoothed[:, : _CELLS + 1]


def _integral(smoothed: Float[Tensor, "d nodes"]) -> Float[Tensor, " d"]:
    """The integral of the absolute value, by the trapezoidal rule; a node holds the density times the cell."""
    size = smoothed.abs()
    integral: Tensor = size.sum(1) - (size[:, 0] + size[:, -1]) / 2
    return integral


def _fixed_point(spectrum: Float[Tensor, "d nodes"]) -> Float[Tensor, " d"]:
    """The error whose bandwidth is the error itself, by bisection."""
    low, high = spectrum.new_zeros(len(spectrum)), spectrum.new_ones(len(spectrum))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _integral(_smooth(spectrum, middle)) > middle
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return _integral(_smooth(spectrum, high))
