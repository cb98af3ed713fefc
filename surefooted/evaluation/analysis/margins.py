"""What a victim answers, as one vector a row, and how far its true class leads there."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from surefooted.core.types import Points, log_mean_softmax
from surefooted.data.images import Images
from surefooted.models.prediction import in_batches
from surefooted.models.victims import Victim, as_victim, channels_last, untouched


def decision_margin(
    model: nn.Module | Victim, images: Images | Points, *, batch: int = 512, seed: int = 0
) -> Float[Tensor, " n"]:
    """Decision margin M = f_y − max_{i≠y} f_i of every image: above 0 just when it is classified right.

    In logits for a single network. Samples of a model (S > 1) have no common logits: f is then the logarithm of their
    mean prediction, whose differences are differences of logits where S = 1.

    Args:
        seed: of the draws of a model that makes any, such as MC dropout.

    Source: EntM, section 6; Tsuzuku et al., *Lipschitz-margin training*, NeurIPS 2018.
    """
    victim = as_victim(model)
    parts = []
    with channels_last(victim), torch.no_grad():
        for points in in_batches(victim, images, batch):
            with untouched(victim, seed=seed):
                parts.append(logit_margin(mean_logits(victim, victim.lift(points.x)), points.y))
    return torch.cat(parts)


def logit_margin(f: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """f_y − max_{i≠y} f_i, row by row."""
    true = f.gather(-1, y[:, None])[:, 0]
    return true - f.masked_fill(one_hot(y, f.shape[-1]).bool(), -torch.inf).amax(-1)


def mean_logits(victim: Victim, z: Float[Tensor, "b *z"]) -> Float[Tensor, "b k"]:
    """The f that is analysed: logits where S = 1, else the logarithm of the mean prediction."""
    logits = victim(z)
    return logits[0] if len(logits) == 1 else log_mean_softmax(logits)
