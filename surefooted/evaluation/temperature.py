"""Temperature scaling: one number that divides the logits, fitted so that confidence matches accuracy."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError, DataError

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 1 / 20, 1e3


def fit_temperature(p: Predictions) -> float:
    """Fit the temperature T that minimises the negative log-likelihood of softmax(log p / T) on these predictions.

    As a function of b = 1 / T the loss is convex, with slope E[Σ_k p_k z_k − z_y]. The root of the slope is bracketed
    and bisected to double precision, so the minimum is global and the loss never exceeds that of T = 1. If every
    prediction is correct, the loss decreases down to T = 0 and T = 1 is returned.

    Args:
        p: held-out predictions. Rows whose true class has probability 0 and rows without an answer are ignored: their
            loss is infinite at every temperature.

    Returns:
        T, between 1/20 and 1000.

    Raises:
        DataError: if every true class has probability 0, or no row is an answer.

    Reference: Guo et al., *On calibration of modern neural networks*, ICML 2017, section 4.2.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 4).log(), torch.tensor([0, 0, 0, 1]))
        >>> T = fit_temperature(p)
        >>> round(T, 3), round(sf.metrics.confidence(temperature_scale(p, T)), 3)
        (2.0, 0.75)
    """
    z, y = p.log_p.double(), p.y
    possible = z.gather(1, y[:, None])[:, 0] > -torch.inf
    if not possible.any():
        raise DataError(
            "fit_temperature: every true class has probability 0, or the model gave no answer (NaN); the loss is "
            "infinite at any temperature."
        )
    z, y = z[possible], y[possible]
    if bool((z.argmax(-1) == y).all()):
        return 1.0
    cold, hot = 1 / _MIN_TEMPERATURE, 1 / _MAX_TEMPERATURE
    if _slope(z, y, hot) >= 0:
        return _unless_worse(z, y, hot)
    if _slope(z, y, cold) <= 0:
        return _unless_worse(z, y, cold)
    for _ in range(200):
        middle = (cold * hot) ** 0.5
        if _slope(z, y, middle) > 0:
            cold = middle
        else:
            hot = middle
        if cold - hot <= 1e-12 * cold:
            break
    return _unless_worse(z, y, (cold * hot) ** 0.5)


def temperature_scale(p: Predictions, temperature: float) -> Predictions:
    """The predictions at a temperature T: softmax(log p / T), which equals softmax(logits / T).

    Args:
        p: predictions.
        temperature: T; above 1 lowers the confidence, below 1 raises it.

    Raises:
        ArgumentError: if `temperature` is not a finite number above 0.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]]).log(), torch.tensor([0]))
        >>> temperature_scale(p, 2.0).log_p.exp()
        tensor([[0.7500, 0.2500]])
    """
    if not 0 < temperature < torch.inf:
        raise ArgumentError(f"`temperature` is {temperature}; expected a finite number above 0.")
    log_p = (p.log_p.double() / temperature).log_softmax(-1)
    return p._replace(log_p=log_p.to(p.log_p.dtype))


def cross_fit_temperature(p: Predictions) -> tuple[Predictions, tuple[float, float]]:
    """Scale each half of the examples by the temperature fitted on the other half: no example is in its own fit.

    The halves contain alternate examples in the order of their rows.

    Args:
        p: predictions of at least two examples.

    Returns:
        The scaled predictions, in the given order, and the temperatures fitted on the first and the second half.

    Raises:
        DataError: for fewer than two examples.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 8).log(), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]))
        >>> scaled, temperatures = cross_fit_temperature(p)
        >>> [round(T, 3) for T in temperatures]
        [2.0, 2.0]
    """
    second = second_fold(p)
    fitted = fit_temperature(p.take(~second)), fit_temperature(p.take(second))
    scaled = temperature_scale(p, fitted[0]).log_p, temperature_scale(p, fitted[1]).log_p
    return p._replace(log_p=torch.where(second[:, None], scaled[0], scaled[1])), fitted


def second_fold(p: Predictions) -> Bool[Tensor, " n"]:
    """Mask of the second half: alternate examples in the order of their rows in the data set, not of `p`.

    Raises:
        DataError: for fewer than two examples.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64), torch.tensor([7, 5, 5, 9]))
        >>> second_fold(p).tolist()
        [True, False, False, False]
    """
    examples, index = torch.unique(p.rows, return_inverse=True)
    if len(examples) < 2:
        raise DataError(f"Cross-fitting needs at least two examples, to hold one out; got {len(examples)}.")
    second: Tensor = index % 2 == 1
    return second


def _slope(z: Float[Tensor, "n k"], y: Int[Tensor, " n"], inverse: float) -> float:
    """Derivative of the mean negative log-likelihood with respect to 1 / T."""
    p = (inverse * z).softmax(-1)
    return float((torch.where(p > 0, p * z, 0).sum(-1) - z.gather(1, y[:, None])[:, 0]).mean())


def _loss(z: Float[Tensor, "n k"], y: Int[Tensor, " n"], inverse: float) -> float:
    return float(-(inverse * z).log_softmax(-1).gather(1, y[:, None]).mean())


def _unless_worse(z: Float[Tensor, "n k"], y: Int[Tensor, " n"], inverse: float) -> float:
    """The temperature, or 1 if rounding makes it worse than no scaling."""
    return 1 / inverse if _loss(z, y, inverse) < _loss(z, y, 1.0) else 1.0
