"""Recalibration: an affine map of the log-probabilities, fitted on held-out predictions after training.

There are three families, each contained in the next: one temperature; a scale and an offset per class (vector scaling);
a full matrix (Dirichlet calibration, or matrix scaling without penalties). As a function of the map the loss is convex,
and the penalties are 0 at the identity. The minimum is therefore at most the loss of the identity: the negative
log-likelihood of the predictions that a map is fitted on never increases.
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
from surefooted.errors import ArgumentError, DataError
from surefooted.evaluation.display import printable
from surefooted.evaluation.metrics.pointwise import nll
from surefooted.evaluation.temperature import fit_temperature, second_fold

_MIN_LOG_P = -100.0  # smaller log-probabilities are clamped, because 0 · -inf would be nan
_MAX_ITERATIONS = 500
_PENALTIES = (1e4, 1e3, 1e2, 10.0, 1.0, 0.1, 0.01)


@printable
@dataclass(frozen=True, eq=False)
class CalibrationMap:
    """A fitted recalibration, softmax(W · ln p + b). Call it on predictions to recalibrate them.

    Attributes:
        weight: W.
        bias: b.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> halve = CalibrationMap(torch.eye(2, dtype=torch.float64) / 2, torch.zeros(2, dtype=torch.float64))
        >>> halve
        CalibrationMap(weight=float64[2, 2], bias=float64[2])
        >>> halve(predictions(torch.tensor([[0.9, 0.1]]).log(), torch.tensor([0]))).log_p.exp()
        tensor([[0.7500, 0.2500]])
    """

    weight: Float[Tensor, "k k"]
    bias: Float[Tensor, " k"]

    def __call__(self, p: Predictions) -> Predictions:
        """The recalibrated predictions.

        Raises:
            ArgumentError: if the predictions have another number of classes than those that the map was fitted on.
        """
        if p.log_p.shape[1] != len(self.bias):
            raise ArgumentError(
                f"This map was fitted on {len(self.bias)} classes; got predictions of {p.log_p.shape[1]}. "
                "Fit it on predictions of the same model."
            )
        if self.is_identity:
            return p
        z = p.log_p.double().clamp(min=_MIN_LOG_P) @ self.weight.to(p.log_p.device).T + self.bias.to(p.log_p.device)
        return p._replace(log_p=z.log_softmax(-1).to(p.log_p.dtype))

    @property
    def is_identity(self) -> bool:
        """Whether the map changes nothing."""
        return bool((self.weight == torch.eye(len(self.bias), device=self.bias.device)).all() and not self.bias.any())


FitMethod = Callable[[Predictions], CalibrationMap]


@component
def temperature_scaling(p: Predictions, /) -> CalibrationMap:
    """One temperature divides the log-probabilities; predicted classes do not change. See ``fit_temperature``.

    Raises:
        DataError: if all examples are of one class.

    Reference: Guo et al. 2017, section 4.2.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 4).log(), torch.tensor([0, 0, 0, 1]))
        >>> temperature_scaling(p)(p).log_p[0].exp()
        tensor([0.7500, 0.2500])
    """
    _check_classes(p, "temperature_scaling")
    k = p.log_p.shape[1]
    return CalibrationMap(torch.eye(k, dtype=torch.float64) / fit_temperature(p), torch.zeros(k, dtype=torch.float64))


@component
def vector_scaling(p: Predictions, /, *, penalty: NonNegative = 1e-4) -> CalibrationMap:
    """A scale and an offset for each class's log-probability: 2K parameters; predicted classes may change.

    Args:
        penalty: weight of the mean squared (scale - 1) and of the mean squared offset. It is needed for classes that
            the split lacks, whose offset would otherwise decrease without bound; elsewhere its effect is negligible.

    Raises:
        DataError: if all examples are of one class.

    Reference: Guo et al. 2017, section 4.2 (on logits, without a penalty; here on log-probabilities, because
    predictions contain no logits).

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 4).log(), torch.tensor([0, 0, 0, 1]))
        >>> vector_scaling(p)(p).log_p[0].exp().round(decimals=2)
        tensor([0.7500, 0.2500])
    """
    k = p.log_p.shape[1]
    objective_penalty = _quadratic_penalty(penalty / k, 0.0, penalty / k)
    return _fit_map(p, torch.eye(k, dtype=torch.bool), objective_penalty, "vector_scaling")


@component
def dirichlet_scaling(
    p: Predictions, /, *, off_diagonal: NonNegative | None = None, intercept: NonNegative | None = None
) -> CalibrationMap:
    """Dirichlet calibration: any affine map of the log-probabilities, with off-diagonal and intercept penalties (ODIR).

    It has K² + K parameters. With weak penalties it overfits unless K² is small compared with the number of examples;
    with both penalties 0 it is matrix scaling. A penalty that is not given is chosen by two-fold cross-validation
    within `p`, the same for both: from 10,000 down in powers of ten, as long as the held-out likelihood improves.

    Args:
        off_diagonal: weight of the mean squared off-diagonal entry, λ in the paper.
        intercept: weight of the mean squared offset, μ in the paper.

    Raises:
        DataError: if all examples are of one class.

    Reference: Kull et al. 2019, *Beyond temperature scaling*, NeurIPS.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 4).log(), torch.tensor([0, 0, 0, 1]))
        >>> dirichlet_scaling(p, off_diagonal=0.01, intercept=0.01)(p).log_p[0].exp().round(decimals=2)
        tensor([0.7500, 0.2500])
    """
    _check_classes(p, "dirichlet_scaling")
    if off_diagonal is None or intercept is None:
        chosen = _choose_penalty(p)
        off_diagonal, intercept = (chosen if given is None else given for given in (off_diagonal, intercept))
    k = p.log_p.shape[1]
    penalty = _quadratic_penalty(0.0, off_diagonal / max(1, k * (k - 1)), intercept / k)
    return _fit_map(p, torch.ones(k, k, dtype=torch.bool), penalty, "dirichlet_scaling")


def cross_fit(p: Predictions, fit: FitMethod) -> tuple[Predictions, tuple[CalibrationMap, CalibrationMap]]:
    """Recalibrate each half of the examples by the map fitted on the other half: no example is in its own fit.

    The halves contain alternate examples in the order of their rows, as in ``cross_fit_temperature``.

    Args:
        p: predictions of at least two examples.
        fit: ``vector_scaling``, ``functools.partial(dirichlet_scaling, off_diagonal=0.1)``, ...

    Returns:
        The recalibrated predictions, in the given order, and the maps fitted on the first and the second half.

    Raises:
        DataError: for fewer than two examples, or if all examples of a half are of one class.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 8).log(), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]))
        >>> recalibrated, maps = cross_fit(p, temperature_scaling)
        >>> recalibrated.log_p[0].exp()
        tensor([0.7500, 0.2500])
    """
    second = second_fold(p)
    maps = fit(p.take(~second)), fit(p.take(second))
    return p._replace(log_p=torch.where(second[:, None], maps[0](p).log_p, maps[1](p).log_p)), maps


def _choose_penalty(p: Predictions) -> float:
    """The penalty of ``dirichlet_scaling`` with the lowest held-out loss, from the strongest to the first increase."""
    p = p.take(p.answered)
    second = torch.unique(p.rows, return_inverse=True)[1] % 2 == 1
    if any(len(torch.unique(p.y[half])) < 2 for half in (second, ~second)):
        return _PENALTIES[0]
    best, lowest = _PENALTIES[0], torch.inf
    for penalty in _PENALTIES:
        fit = functools.partial(dirichlet_scaling, off_diagonal=penalty, intercept=penalty)
        held_out = nll(cross_fit(p, fit)[0])
        if not held_out < lowest:
            break
        best, lowest = penalty, held_out
    return best


_Penalty = Callable[[Float[Tensor, "k k"], Float[Tensor, " k"]], tuple[float, Tensor, Tensor]]


def _quadratic_penalty(diagonal: float, off_diagonal: float, bias: float) -> _Penalty:
    """Weighted sum of squares of W - 1 and b: its value and both gradients."""

    def evaluate(weight: Float[Tensor, "k k"], offset: Float[Tensor, " k"]) -> tuple[float, Tensor, Tensor]:
        deviation = weight - torch.eye(len(weight), dtype=weight.dtype)
        factor = torch.full_like(deviation, off_diagonal).fill_diagonal_(diagonal)
        value = (factor * deviation.square()).sum() + bias * offset.square().sum()
        return float(value), 2 * factor * deviation, 2 * bias * offset

    return evaluate


def _fit_map(p: Predictions, free: Bool[Tensor, "k k"], penalty: _Penalty, caller: str) -> CalibrationMap:
    """Minimise the penalised loss, starting at the identity; entries that are not ``free`` keep its values."""
    _check_classes(p, caller)
    from scipy.optimize import minimize

    k = p.log_p.shape[1]
    objective = _objective(p, free, penalty)
    identity = torch.cat([torch.eye(k, dtype=torch.float64)[free], torch.zeros(k, dtype=torch.float64)])
    # If every prediction is correct there is no minimum: a sharper map is always better.
    if bool(p.top()[1][p.answered].all()):
        fitted = identity
    else:
        limits: dict[str, Any] = {
            "maxiter": _MAX_ITERATIONS,
            "maxfun": 2 * _MAX_ITERATIONS,
            "ftol": 1e-13,
            "gtol": 1e-8,
            "maxcor": 20,
        }
        result = minimize(objective, identity.numpy(), jac=True, method="L-BFGS-B", options=limits)
        fitted = torch.from_numpy(result.x)
        if not result.fun < objective(identity.numpy())[0]:
            fitted = identity
    weight = torch.eye(k, dtype=torch.float64)
    weight[free] = fitted[:-k]
    return CalibrationMap(weight, fitted[-k:])


def _objective(p: Predictions, free: Bool[Tensor, "k k"], penalty: _Penalty) -> Callable[[Any], tuple[float, Any]]:
    """Penalised mean negative log-likelihood and its gradient in the free entries of W and in b, as NumPy arrays."""
    p = p.take(p.answered)  # the loss of the others is infinite under every map
    z, y, k = p.log_p.double().clamp(min=_MIN_LOG_P).cpu(), p.y.cpu(), p.log_p.shape[1]
    onehot = torch.nn.functional.one_hot(y, k).double()

    def evaluate(parameters: Any) -> tuple[float, Any]:
        given = torch.as_tensor(parameters, dtype=torch.float64)
        weight, bias = torch.eye(k, dtype=torch.float64), given[-k:]
        weight[free] = given[:-k]
        log_q = (z @ weight.T + bias).log_softmax(-1)
        error = (log_q.exp() - onehot) / len(y)
        cost, weight_gradient, bias_gradient = penalty(weight, bias)
        loss = -float(log_q.gather(1, y[:, None]).mean()) + cost
        gradient = torch.cat([(error.T @ z + weight_gradient)[free], error.sum(0) + bias_gradient])
        return loss, gradient.numpy()

    return evaluate


def _check_classes(p: Predictions, caller: str) -> None:
    y = p.y[p.answered]
    if len(y) == 0:
        raise DataError(
            f"{caller}: the model gave no answer (NaN) for any of {len(p.y)} examples; nothing can be fitted."
        )
    if bool((y == y[0]).all()):
        raise DataError(
            f"{caller} needs examples of at least two classes; all {len(y)} are of class {int(y[0])}, so the best "
            "map would always predict that class. Hold out a split with several classes."
        )
