"""Temperature scaling: one number that divides the logits, fitted so that confidence fits accuracy."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.errors import InputError

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 1 / 20, 1e3


def fit_temperature(p: Predictions) -> float:
    """The temperature T with the least negative log-likelihood of softmax(log p / T) on these predictions.

    In the inverse b = 1 / T the loss is convex, with slope E[Σ_k p_k z_k − z_y]: its root is bracketed and bisected to
    double precision, so the minimum is the global one and the loss never rises above that of T = 1. The answer stays
    within 1/20 and 1000. Where every prediction is right the loss falls down to T = 0: there is nothing to fit, T = 1.

    Source: Guo et al., *On calibration of modern neural networks*, ICML 2017.
    """
    z, y = p.log_p.double(), p.y
    # Where the true class has probability 0 the loss is infinite at any temperature: such rows say nothing.
    able = z.gather(1, y[:, None])[:, 0] > -torch.inf
    if not able.any():
        raise InputError("fit_temperature: every true class has probability 0; no temperature mends that.")
    z, y = z[able], y[able]
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
    """The predictions at a temperature: softmax(log p / T), which is softmax(logits / T)."""
    if not 0 < temperature < torch.inf:
        raise InputError(f"temperature is {temperature}; expected a finite number above 0.")
    log_p = (p.log_p.double() / temperature).log_softmax(-1)
    return p._replace(log_p=log_p.to(p.log_p.dtype))


def cross_fit_temperature(p: Predictions) -> tuple[Predictions, tuple[float, float]]:
    """Scale each half of the examples by the temperature fitted on the other: no example judges itself.

    Returns:
        The scaled predictions, in the given order, and the temperatures fitted on either half.
    """
    odd = second_fold(p)
    fitted = fit_temperature(p.take(~odd)), fit_temperature(p.take(odd))
    halves = temperature_scale(p, fitted[1]).log_p, temperature_scale(p, fitted[0]).log_p
    return p._replace(log_p=torch.where(odd[:, None], halves[1], halves[0])), fitted


def second_fold(p: Predictions) -> Bool[Tensor, " n"]:
    """Which predictions are of the second half: alternate examples in the order of their rows, whatever that of p.

    Raises:
        InputError: for fewer than two examples.
    """
    examples, of = p.rows.unique(return_inverse=True)
    if len(examples) < 2:
        raise InputError(f"two examples are needed at least; got {len(examples)}, and one cannot be held out.")
    return of % 2 == 1


def _slope(z: Float[Tensor, "n k"], y: Int[Tensor, " n"], inverse: float) -> float:
    """Derivative of the mean negative log-likelihood in 1 / T."""
    p = (inverse * z).softmax(-1)
    return float((torch.where(p > 0, p * z, 0).sum(-1) - z.gather(1, y[:, None])[:, 0]).mean())


def _loss(z: Float[Tensor, "n k"], y: Int[Tensor, " n"], inverse: float) -> float:
    return float(-(inverse * z).log_softmax(-1).gather(1, y[:, None]).mean())


def _unless_worse(z: Float[Tensor, "n k"], y: Int[Tensor, " n"], inverse: float) -> float:
    """The temperature, unless rounding made it worse than none."""
    return 1 / inverse if _loss(z, y, inverse) < _loss(z, y, 1.0) else 1.0
