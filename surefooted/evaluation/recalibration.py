"""Recalibration after training by an affine map of the log-probabilities, fitted on held-out predictions.

Three families, each within the next: one temperature, a scale and an offset per class (vector scaling), a full matrix
(Dirichlet calibration; matrix scaling where nothing is penalised). In log-probabilities the loss is convex in the map,
and the penalties draw towards the identity, which costs nothing: the minimum lies at or below the loss of doing
nothing, so the negative log-likelihood of what a map is fitted on never rises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from surefooted.components.component import NonNegative, component
from surefooted.core.predictions import Predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics.pointwise import nll
from surefooted.evaluation.temperature import fit_temperature, second_fold

_MIN_LOG_P = -100.0  # ln p below which a probability counts as e^-100: 0 times its logarithm would be nan
_MAX_ITERATIONS = 500
_PENALTIES = (1e4, 1e3, 1e2, 10.0, 1.0, 0.1, 0.01)


@dataclass(frozen=True, eq=False)
class CalibrationMap:
    """softmax(W · ln p + b): what a fit returns. ``recalibrated`` applies it."""

    weight: Float[Tensor, "k k"]
    bias: Float[Tensor, " k"]

    def __call__(self, p: Predictions) -> Predictions:
        if p.log_p.shape[1] != len(self.bias):
            raise InputError(
                f"this map was fitted on {len(self.bias)} classes; got predictions of {p.log_p.shape[1]}. "
                "Fit it on the same model's predictions."
            )
        if self.is_identity:
            return p
        z = p.log_p.double().clamp(min=_MIN_LOG_P) @ self.weight.to(p.log_p.device).T + self.bias.to(p.log_p.device)
        return p._replace(log_p=z.log_softmax(-1).to(p.log_p.dtype))

    @property
    def is_identity(self) -> bool:
        return bool((self.weight == torch.eye(len(self.bias), device=self.bias.device)).all() and not self.bias.any())


FitMethod = Callable[[Predictions], CalibrationMap]


@component
def temperature_scaling(p: Predictions, /) -> CalibrationMap:
    """One number divides the log-probabilities; the ranking of the classes stays. See ``fit_temperature``."""
    _check_classes(p, "temperature_scaling")
    k = p.log_p.shape[1]
    return CalibrationMap(torch.eye(k, dtype=torch.float64) / fit_temperature(p), torch.zeros(k, dtype=torch.float64))


@component
def vector_scaling(p: Predictions, /, *, penalty: NonNegative = 1e-4) -> CalibrationMap:
    """A scale and an offset for each class's log-probability. 2K numbers; predicted classes may change.

    Args:
        penalty: on the mean squared scale - 1 and the mean squared offset. It is there for classes that the split
            lacks, whose offset would fall without end, and small enough to be idle elsewhere.

    Reference: Guo et al. 2017 (on logits, without a penalty; here on log-probabilities, all that predictions hold).
    """
    k = p.log_p.shape[1]
    return _fit_map(
        p, torch.eye(k, dtype=torch.bool), _quadratic_penalty(penalty / k, 0.0, penalty / k), "vector_scaling"
    )


@component
def dirichlet_scaling(
    p: Predictions, /, *, off_diagonal: NonNegative | None = None, intercept: NonNegative | None = None
) -> CalibrationMap:
    """Dirichlet calibration: any affine map of the log-probabilities, its off-diagonal and intercept penalised (ODIR).

    K² + K numbers: with weak penalties it overfits where K² is not small beside the examples, and with both 0 it is
    matrix scaling. Where a penalty is left out it is chosen by two-fold cross-validation within ``p``, the same for
    both, from 10,000 down by tens for as long as the held-out likelihood gains.

    Args:
        off_diagonal: on the mean squared off-diagonal entry, λ in the paper.
        intercept: on the mean squared offset, μ in the paper.

    Reference: Kull et al. 2019.
    """
    _check_classes(p, "dirichlet_scaling")
    if off_diagonal is None or intercept is None:
        chosen = _choose_penalty(p)
        off_diagonal, intercept = (chosen if given is None else given for given in (off_diagonal, intercept))
    k = p.log_p.shape[1]
    penalty = _quadratic_penalty(0.0, off_diagonal / max(1, k * (k - 1)), intercept / k)
    return _fit_map(p, torch.ones(k, k, dtype=torch.bool), penalty, "dirichlet_scaling")


def cross_fit(p: Predictions, fit: FitMethod) -> tuple[Predictions, tuple[CalibrationMap, CalibrationMap]]:
    """Recalibrate each half of the examples by the map fitted on the other: no example judges itself.

    The halves take alternate examples in the order of their rows, as for the temperature.

    Args:
        fit: ``vector_scaling``, ``functools.partial(dirichlet_scaling, off_diagonal=0.1)``, ...

    Returns:
        The recalibrated predictions, in the given order, and the maps fitted on either half.
    """
    odd = second_fold(p)
    maps = fit(p.take(~odd)), fit(p.take(odd))
    return p._replace(log_p=torch.where(odd[:, None], maps[0](p).log_p, maps[1](p).log_p)), maps


def _choose_penalty(p: Predictions) -> float:
    """The penalty of ``dirichlet_scaling`` with the least held-out loss, from the strongest down to the first rise."""
    odd = p.rows.unique(return_inverse=True)[1] % 2 == 1
    if any(len(p.y[half].unique()) < 2 for half in (odd, ~odd)):
        return _PENALTIES[0]
    best, least = _PENALTIES[0], torch.inf
    for penalty in _PENALTIES:
        fit = functools.partial(dirichlet_scaling, off_diagonal=penalty, intercept=penalty)
        held_out = nll(cross_fit(p, fit)[0])
        if not held_out < least:
            break
        best, least = penalty, held_out
    return best


_Penalty = Callable[[Float[Tensor, "k k"], Float[Tensor, " k"]], tuple[float, Tensor, Tensor]]


def _quadratic_penalty(diagonal: float, off_diagonal: float, bias: float) -> _Penalty:
    """Sum of squares of W - 1 and b with these factors; value and both gradients."""

    def of(weight: Float[Tensor, "k k"], offset: Float[Tensor, " k"]) -> tuple[float, Tensor, Tensor]:
        away = weight - torch.eye(len(weight), dtype=weight.dtype)
        factor = torch.full_like(away, off_diagonal).fill_diagonal_(diagonal)
        value = (factor * away.square()).sum() + bias * offset.square().sum()
        return float(value), 2 * factor * away, 2 * bias * offset

    return of


def _fit_map(p: Predictions, free: Bool[Tensor, "k k"], penalty: _Penalty, who: str) -> CalibrationMap:
    """The map of least penalised loss, from the identity; entries that are not ``free`` stay those of the identity."""
    _check_classes(p, who)
    from scipy.optimize import minimize

    k = p.log_p.shape[1]
    objective = _objective(p, free, penalty)
    identity = torch.cat([torch.eye(k, dtype=torch.float64)[free], torch.zeros(k, dtype=torch.float64)])
    # Nothing to fit where every answer is right: any sharper map is better, without end.
    if bool((p.log_p.argmax(-1) == p.y).all()):
        found = identity
    else:
        limits: dict[str, Any] = {
            "maxiter": _MAX_ITERATIONS,
            "maxfun": 2 * _MAX_ITERATIONS,
            "ftol": 1e-13,
            "gtol": 1e-8,
            "maxcor": 20,
        }
        result = minimize(objective, identity.numpy(), jac=True, method="L-BFGS-B", options=limits)
        found = torch.from_numpy(result.x)
        if not result.fun < objective(identity.numpy())[0]:
            found = identity
    weight = torch.eye(k, dtype=torch.float64)
    weight[free] = found[:-k]
    return CalibrationMap(weight, found[-k:])


def _objective(p: Predictions, free: Bool[Tensor, "k k"], penalty: _Penalty) -> Callable[[Any], tuple[float, Any]]:
    """Penalised mean negative log-likelihood and its gradient in the free entries of W and in b, as numpy arrays."""
    z, y, k = p.log_p.double().clamp(min=_MIN_LOG_P).cpu(), p.y.cpu(), p.log_p.shape[1]
    onehot = torch.nn.functional.one_hot(y, k).double()

    def of(parameters: Any) -> tuple[float, Any]:
        given = torch.as_tensor(parameters, dtype=torch.float64)
        weight, bias = torch.eye(k, dtype=torch.float64), given[-k:]
        weight[free] = given[:-k]
        log_q = (z @ weight.T + bias).log_softmax(-1)
        error = (log_q.exp() - onehot) / len(y)
        cost, of_weight, of_bias = penalty(weight, bias)
        loss = -float(log_q.gather(1, y[:, None]).mean()) + cost
        slope = torch.cat([(error.T @ z + of_weight)[free], error.sum(0) + of_bias])
        return loss, slope.numpy()

    return of


def _check_classes(p: Predictions, who: str) -> None:
    if bool((p.y == p.y[0]).all()):
        raise InputError(
            f"{who} needs examples of at least two classes; all {len(p.y)} are of class {int(p.y[0])}, "
            "and the best map would always answer that. Hold out a mixed split."
        )
