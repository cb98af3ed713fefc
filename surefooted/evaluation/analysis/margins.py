"""The decision margin of a classifier, and the output vector that it is read from."""

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
    """Decision margin M = f_y − max_{i≠y} f_i of every image: positive if and only if it is classified correctly.

    For a single network, f are the logits. Several samples (S > 1) have no common logits; f is then the logarithm of
    their mean prediction, whose differences equal differences of logits if S = 1.

    Args:
        model: the classifier; it is evaluated in evaluation mode and left unchanged.
        images: (N, ...) images with labels.
        batch: images per forward pass.
        seed: seed of a stochastic model, such as MC dropout.

    Returns:
        (N,) margins.

    Reference: EntM, section 6; Tsuzuku et al., *Lipschitz-margin training*, NeurIPS 2018.

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> sf.analysis.decision_margin(net, points).shape
        torch.Size([8])
    """
    victim = as_victim(model)
    parts = []
    with channels_last(victim), torch.no_grad():
        for points in in_batches(victim, images, batch):
            with untouched(victim, seed=seed), torch.no_grad():
                parts.append(logit_margin(mean_logits(victim, victim.lift(points.x)), points.y))
    return torch.cat(parts)


def logit_margin(f: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """f_y − max_{i≠y} f_i for every row.

    Example:
        >>> logit_margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
        tensor([1.])
    """
    true = f.gather(-1, y[:, None])[:, 0]
    return true - f.masked_fill(one_hot(y, f.shape[-1]).bool(), -torch.inf).amax(-1)


def mean_logits(victim: Victim, z: Float[Tensor, "b *z"]) -> Float[Tensor, "b k"]:
    """The output f that is analysed: the logits if S = 1, otherwise the logarithm of the mean prediction."""
    logits = victim(z)
    return logits[0] if len(logits) == 1 else log_mean_softmax(logits)
