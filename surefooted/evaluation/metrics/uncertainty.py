"""How unsure a model with several samples is, per example: members of an ensemble, dropout masks, or draws.

Every function takes the samples as one (S, N, K) tensor or as S tensors (N, K): logits or log-probabilities alike, as
the log-softmax of a log-probability is itself. S = 1 is one network. Entropies are in nats. All but ``margin`` grow
with uncertainty, and any of them serves ``detection`` as the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.errors import InputError

Samples = Tensor | Sequence[Tensor]


def total_entropy(samples: Samples) -> Float[Tensor, " n"]:
    """Entropy of the mean prediction, 0 to ln K: all uncertainty, whatever its source."""
    return torch.special.entr(_mean(_log_p(samples, "total_entropy")).exp()).sum(-1)


def expected_entropy(samples: Samples) -> Float[Tensor, " n"]:
    """Mean entropy of the samples' predictions: what they all are unsure of (aleatoric uncertainty)."""
    return torch.special.entr(_log_p(samples, "expected_entropy").exp()).sum(-1).mean(0)


def mutual_information(samples: Samples) -> Float[Tensor, " n"]:
    """Total minus expected entropy: how far the samples disagree (epistemic uncertainty); 0 for one sample.

    Summed as the mean KL(sample ‖ mean), which does not cancel where the two entropies are nearly equal.

    Reference: Houlsby et al. 2011; Depeweg et al. 2018.
    """
    log_p = _log_p(samples, "mutual_information")
    p, log_mean = log_p.exp(), _mean(log_p)
    return torch.where(p > 0, p * (log_p - log_mean), 0).sum(-1).mean(0).clamp(min=0)


def sample_variance(samples: Samples) -> Float[Tensor, " n"]:
    """Variance of the probabilities over S ≥ 2 samples, 1/(S - 1), summed over the classes: AR-AdaLS's σ² by example.

    Its mean over the examples is ``stability.variance``.
    """
    return _variance(samples, "sample_variance").sum(-1)


def max_sample_variance(samples: Samples) -> Float[Tensor, " n"]:
    """Variance over S ≥ 2 samples of the class on which they differ most."""
    return _variance(samples, "max_sample_variance").amax(-1)


def margin(samples: Samples) -> Float[Tensor, " n"]:
    """Gap between the two greatest mean probabilities, 0 to 1; small where unsure. 1 where there is one class only."""
    top = _mean(_log_p(samples, "margin")).exp().sort(-1, descending=True).values
    return top[:, 0] - top[:, 1] if top.shape[1] > 1 else top[:, 0]


SAMPLE_MEASURES = {
    measure.__name__: measure
    for measure in (total_entropy, expected_entropy, mutual_information, sample_variance, max_sample_variance, margin)
}


def mean_uncertainty(samples: Samples) -> dict[str, float]:
    """Means over the examples of all that these samples can tell; one sample has no variance, and it is left out."""
    log_p = _log_p(samples, "mean_uncertainty")
    known = [name for name in SAMPLE_MEASURES if len(log_p) > 1 or not name.endswith("variance")]
    return {name: float(SAMPLE_MEASURES[name](log_p).mean()) for name in known}


# The higher the less sure, of one sample too: by the name of what is taken from 1, or of the measure.
_UNCERTAINTY = {
    "max_probability": lambda samples: -torch.expm1(_mean(_log_p(samples, "unsure")).amax(-1)),
    "margin": lambda samples: 1 - margin(samples),
    "entropy": total_entropy,
}


def uncertainties(samples: Samples) -> dict[str, Float[Tensor, " n"]]:
    """Per example all that these samples can tell, each the higher the less sure: what ``detection`` asks for.

    ``max_probability`` and ``margin`` are taken from 1; what compares samples needs two of them and is left out of one.
    """
    log_p = _log_p(samples, "unsure")
    found = {name: _UNCERTAINTY[name](log_p) for name in ("max_probability", "margin")}
    several = () if len(log_p) == 1 else ("expected_entropy", "mutual_information", "sample_variance")
    return found | {name: SAMPLE_MEASURES[name](log_p) for name in ("total_entropy", *several)}


def _variance(samples: Samples, who: str) -> Float[Tensor, "n k"]:
    log_p = _log_p(samples, who)
    if len(log_p) < 2:
        raise InputError(f"{who} needs at least two samples; got 1. Train more members, or draw more masks.")
    return log_p.exp().var(0)


def _mean(log_p: Float[Tensor, "s n k"]) -> Float[Tensor, "n k"]:
    return log_p.logsumexp(0) - log(len(log_p))


def _log_p(samples: Samples, who: str) -> Float[Tensor, "s n k"]:
    if not isinstance(samples, Tensor):
        shapes = {tuple(sample.shape) for sample in samples}
        if len(shapes) != 1:
            seen = f"the shapes {sorted(shapes)}" if shapes else "no samples"
            raise InputError(f"{who} needs the same examples and classes of every sample; got {seen}.")
        samples = torch.stack(list(samples))
    if samples.ndim != 3 or not samples.is_floating_point() or samples.numel() == 0:
        raise InputError(
            f"{who} needs logits or log-probabilities as floats of shape (samples, examples, classes), none of them 0; "
            f"got {samples.dtype} of shape {tuple(samples.shape)}."
        )
    log_p = samples.double().log_softmax(-1)
    if log_p.isnan().any():
        bad = int(log_p.isnan().any(-1).any(0).sum())
        raise InputError(
            f"{who}: {bad} of {samples.shape[1]} examples hold NaN or infinite logits; find out where a model diverged."
        )
    return log_p
