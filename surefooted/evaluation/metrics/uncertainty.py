"""Uncertainty per example, from one prediction or several samples (ensemble members, dropout masks, posterior draws).

Functions of samples take one (S, N, K) tensor or S tensors (N, K) of logits or log-probabilities; both give the same
result, because log-softmax leaves log-probabilities unchanged. S = 1 is a single network. Entropies are in nats. All
but ``margin`` grow with uncertainty, and each of them can be the score of ``detection``.
"""

from __future__ import annotations

import warnings
from math import log
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.arrays import ArrayLike, as_tensor
from surefooted.core.predictions import Predictions
from surefooted.errors import ArgumentError, NonFiniteOutput
from surefooted.evaluation.metrics.information import shannon_entropy

Samples: TypeAlias = ArrayLike  # one array (S, N, K), or S arrays (N, K)
UncertaintyName = Literal["max_probability", "entropy", "margin"]


def total_entropy(samples: Samples) -> Float[Tensor, " n"]:
    """Entropy of the mean prediction, 0 to ln K: total uncertainty, aleatoric and epistemic.

    Example:
        >>> total_entropy(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()).tolist()
        [0.693...]
    """
    return shannon_entropy(_log_mean(_log_p(samples, "total_entropy")).exp())


def expected_entropy(samples: Samples) -> Float[Tensor, " n"]:
    """Mean entropy of the samples' predictions: aleatoric uncertainty, which all samples share.

    Example:
        >>> expected_entropy(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()).tolist()
        [0.0]
    """
    return shannon_entropy(_log_p(samples, "expected_entropy").exp()).mean(0)


def mutual_information(samples: Samples) -> Float[Tensor, " n"]:
    """Total minus expected entropy: epistemic uncertainty, the disagreement of the samples; 0 for one sample.

    It is computed as the mean KL(sample ‖ mean), which avoids cancellation if the two entropies are nearly equal.

    Reference: Houlsby et al. 2011; Depeweg et al. 2018.

    Example:
        >>> mutual_information(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()).tolist()
        [0.693...]
    """
    log_p = _log_p(samples, "mutual_information")
    p, log_mean = log_p.exp(), _log_mean(log_p)
    return torch.where(p > 0, p * (log_p - log_mean), 0).sum(-1).mean(0).clamp(min=0)


def sample_variance(samples: Samples) -> Float[Tensor, " n"]:
    """Unbiased variance of the probabilities over S ≥ 2 samples, summed over the classes: AR-AdaLS's σ² per example.

    Its mean over the examples is ``stability.variance``.

    Example:
        >>> sample_variance(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()).tolist()
        [1.0]
    """
    return _class_variance(samples, "sample_variance").sum(-1)


def max_sample_variance(samples: Samples) -> Float[Tensor, " n"]:
    """Unbiased variance over S ≥ 2 samples of the class probability that varies most.

    Example:
        >>> max_sample_variance(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()).tolist()
        [0.5]
    """
    return _class_variance(samples, "max_sample_variance").amax(-1)


def margin(samples: Samples) -> Float[Tensor, " n"]:
    """Gap between the two greatest mean probabilities, 0 to 1; small if uncertain, and 1 if there is only one class.

    Example:
        >>> [round(gap, 3) for gap in margin(torch.tensor([[[0.7, 0.1, 0.2]]]).log()).tolist()]
        [0.5]
    """
    top = _log_mean(_log_p(samples, "margin")).exp().sort(-1, descending=True).values
    return top[:, 0] - top[:, 1] if top.shape[1] > 1 else top[:, 0]


SAMPLE_MEASURES = {
    measure.__name__: measure
    for measure in (total_entropy, expected_entropy, mutual_information, sample_variance, max_sample_variance, margin)
}


def mean_uncertainty(samples: Samples) -> dict[str, float]:
    """Mean over the examples of every measure; for one sample, the variances are undefined and left out.

    Example:
        >>> list(mean_uncertainty(torch.zeros(1, 5, 3)))
        ['total_entropy', 'expected_entropy', 'mutual_information', 'margin']
    """
    log_p = _log_p(samples, "mean_uncertainty")
    defined = [name for name in SAMPLE_MEASURES if len(log_p) > 1 or not name.endswith("variance")]
    return {name: float(SAMPLE_MEASURES[name](log_p).mean()) for name in defined}


# All grow with uncertainty and are defined for one sample: the greatest probability and the margin are taken from 1.
_UNCERTAINTY = {
    "max_probability": lambda samples: -torch.expm1(_log_mean(_log_p(samples, "max_probability")).amax(-1)),
    "margin": lambda samples: 1 - margin(samples),
    "entropy": total_entropy,
}


def uncertainties(samples: Samples) -> dict[str, Float[Tensor, " n"]]:
    """Every measure per example, oriented so that it grows with uncertainty, as ``detection`` expects.

    ``max_probability`` and ``margin`` are subtracted from 1. Measures that compare samples need two and are left out
    for one sample. An example for which a sample has no answer (NaN or +inf among its logits) has the uncertainty NaN,
    and a warning says so.

    Example:
        >>> sorted(uncertainties(torch.zeros(1, 5, 3)))
        ['margin', 'max_probability', 'total_entropy']
    """
    log_p = _log_p(samples, "uncertainties", refuse=False)
    missing = log_p.isnan().any(-1).any(0)
    if missing.any():
        warnings.warn(
            f"{int(missing.sum()):,} of {len(missing):,} examples have NaN or +inf among their logits; the first is "
            f"example {int(missing.nonzero()[0])}. They have no uncertainty (NaN), which a detector gets wrong.",
            NonFiniteOutput,
            stacklevel=2,
        )
        measured = uncertainties(log_p.masked_fill(missing[None, :, None], 0))
        return {name: score.masked_fill(missing, torch.nan) for name, score in measured.items()}
    single = {name: _UNCERTAINTY[name](log_p) for name in ("max_probability", "margin")}
    compared = () if len(log_p) == 1 else ("expected_entropy", "mutual_information", "sample_variance")
    return single | {name: SAMPLE_MEASURES[name](log_p) for name in ("total_entropy", *compared)}


def predictive_uncertainty(p: Predictions, by: UncertaintyName = "max_probability") -> Float[Tensor, " n"]:
    """Uncertainty of the mean prediction of every example.

    Args:
        by: 1 minus the greatest probability, the entropy, or 1 minus the gap between the two greatest probabilities.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.75, 0.25]]).log(), torch.tensor([0]))
        >>> [round(value, 3) for value in predictive_uncertainty(p).tolist()]
        [0.25]
    """
    answered = p.answered
    score = _UNCERTAINTY[by](p.log_p.masked_fill(~answered[:, None], 0)[None])
    return score.masked_fill(~answered, 0)  # certain, and wrong


def given_or_predictive_uncertainty(
    p: Predictions, uncertainty: Tensor | None, by: UncertaintyName, caller: str
) -> Float[Tensor, " n"]:
    """The uncertainty that the user gave, checked, or that of the mean prediction.

    Raises:
        ArgumentError: if the given uncertainty is not one number per example.
    """
    if uncertainty is None:
        return predictive_uncertainty(p, by)
    if uncertainty.shape != p.y.shape or uncertainty.is_complex():
        raise ArgumentError(
            f"{caller} needs one uncertainty per example, numbers of shape {tuple(p.y.shape)}; "
            f"got {uncertainty.dtype} of shape {tuple(uncertainty.shape)}."
        )
    undefined = uncertainty.isnan() & p.answered
    if undefined.any():
        raise ArgumentError(
            f"{caller}: {int(undefined.sum())} of {len(undefined)} uncertainties are NaN although the prediction is an "
            f"answer; the first is at {int(undefined.nonzero()[0])}."
        )
    return uncertainty.double().masked_fill(~p.answered, -torch.inf)  # certain, and wrong


def _class_variance(samples: Samples, caller: str) -> Float[Tensor, "n k"]:
    log_p = _log_p(samples, caller)
    if len(log_p) < 2:
        raise ArgumentError(
            f"{caller} needs at least two samples; got 1. Train more ensemble members, or draw more dropout masks."
        )
    return log_p.exp().var(0)


def _log_mean(log_p: Float[Tensor, "s n k"]) -> Float[Tensor, "n k"]:
    return log_p.logsumexp(0) - log(len(log_p))


def _log_p(samples: Samples, caller: str, *, refuse: bool = True) -> Float[Tensor, "s n k"]:
    if isinstance(samples, list | tuple):
        tensors = [as_tensor(sample, "samples") for sample in samples]
        shapes = {tuple(sample.shape) for sample in tensors}
        if len(shapes) != 1:
            got = f"the shapes {sorted(shapes)}" if shapes else "no samples"
            raise ArgumentError(f"{caller} needs the same examples and classes in every sample; got {got}.")
        samples = torch.stack([sample.to(tensors[0].device) for sample in tensors])
    logits = as_tensor(samples, "samples")
    if logits.ndim != 3 or not logits.is_floating_point() or logits.numel() == 0:
        raise ArgumentError(
            f"{caller} needs logits or log-probabilities as floats of shape (samples, examples, classes), none of them "
            f"0; got {logits.dtype} of shape {tuple(logits.shape)}."
        )
    log_p: Tensor = logits.double().log_softmax(-1)
    if refuse and log_p.isnan().any():
        bad = int(log_p.isnan().any(-1).any(0).sum())
        raise ArgumentError(
            f"{caller}: {bad} of {logits.shape[1]} examples contain NaN or infinite logits. Check which model diverged."
        )
    return log_p
