"""Loss surfaces: a score around an image, along the gradient's sign and a random direction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from surefooted.attacks.oracle import input_gradient
from surefooted.core.rng import Noise
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Forward, Points, Score, log_mean_softmax
from surefooted.data.images import Images
from surefooted.errors import ArgumentError
from surefooted.evaluation.analysis.margins import logit_margin
from surefooted.evaluation.display import printable
from surefooted.models.prediction import count_classes, in_batches
from surefooted.models.victims import Victim, as_victim, channels_last, untouched

# Separates these random directions from the draws of attacks with the same seed.
_NOISE_STREAM = 64


@printable
class LossSurface(NamedTuple):
    """Values on the grid x + e1·d1 + e2·d2 around every image.

    Attributes:
        offsets: the values of both e1 and e2, for pixels in [0, 1]; the middle one is 0.
        score: value of the score, indexed by image, e1, e2.
        margin: decision margin f_y − max_{i≠y} f_i, indexed likewise.
    """

    offsets: Float[Tensor, " g"]
    score: Float[Tensor, "n g g"]
    margin: Float[Tensor, "n g g"]


def loss_surface(
    model: nn.Module | Victim,
    images: Images | Points,
    *,
    score: Score | None = None,
    reach: float = 0.04,
    grid: int = 21,
    batch: int = 512,
    seed: int = 0,
) -> LossSurface:
    """A score and the decision margin around every image, at x + e1·d1 + e2·d2 with e1, e2 in [−reach, reach].

    d1 is the sign of the gradient of the cross-entropy at x. d2 is a random direction with ‖d2‖∞ = 1; our choice is a
    random sign per coordinate, so that both axes have the same length in every norm. Points are not clipped to [0, 1].

    Args:
        model: the classifier; it is evaluated in evaluation mode and left unchanged.
        images: (N, ...) images with labels.
        score: score of the prediction at a point against the label; the cross-entropy by default.
        reach: largest offset along each axis, for pixels in [0, 1].
        grid: number of points along each axis; odd, so that x is one of them.
        batch: points per forward pass.
        seed: seed of d2, together with the row of each image.

    Raises:
        ArgumentError: if `grid` is even or below 3, or `reach` is not positive.

    Reference: EntM, appendix C.2 (figures 5 and 6).

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> sf.analysis.loss_surface(net, points, grid=5)
        LossSurface(offsets=float32[5], score=float32[8, 5, 5], margin=float32[8, 5, 5])
    """
    if grid < 3 or grid % 2 == 0:
        raise ArgumentError(
            f"`grid` is {grid}; expected an odd number from 3, so that the image itself is in the middle."
        )
    if not 0 < reach < torch.inf:
        raise ArgumentError(f"`reach` is {reach}; expected a finite number above 0, for pixels in [0, 1].")
    victim, score = as_victim(model), score or cross_entropy()
    half = grid // 2
    scores, margins = [], []
    with channels_last(victim):
        count_classes(victim, images)  # refuses labels outside the victim's classes
        for points in in_batches(victim, images, min(batch, max(1, batch // grid**2))):
            offsets = reach * torch.arange(-half, half + 1, device=points.x.device) / half
            values = _evaluate_grid(victim, points, score, offsets, batch, seed)
            scores.append(values[0])
            margins.append(values[1])
    return LossSurface(offsets, torch.cat(scores), torch.cat(margins))


def gradient_sign(victim: Victim, z: Float[Tensor, "b *z"], y: Tensor) -> Float[Tensor, "b *z"]:
    """Sign of the gradient of the cross-entropy.

    It is computed from u = log (1 − p_y) − log p_y, whose softplus is the cross-entropy. The sign is the same, and it
    survives predictions so confident that 1 − p_y is 0 in single precision.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_p = log_mean_softmax(victim(z))
        true = one_hot(y, log_p.shape[-1]).bool()
        u = log_p.masked_fill(true, -torch.inf).logsumexp(-1) - log_p.gather(-1, y[:, None])[:, 0]
        return input_gradient(u.sum(), z).sign()


def _evaluate_grid(
    victim: Victim, points: Points, score: Score, offsets: Tensor, batch: int, seed: int
) -> tuple[Float[Tensor, "b g g"], Float[Tensor, "b g g"]]:
    z, (_, y, rows) = victim.lift(points.x), points
    grid = len(offsets)
    with untouched(victim, seed=seed):
        d1 = gradient_sign(victim, z, y)
    d2 = Noise(seed, rows, stream=_NOISE_STREAM).sign(*z.shape[1:]).to(z)
    with untouched(victim, seed=seed), torch.no_grad():
        clean = victim(z) if score.uses_clean else None
    scores, margins = [], []
    per_row = (-1, *[1] * (z.ndim - 1))
    for at in torch.split(torch.arange(len(y) * grid**2, device=z.device), batch):
        row, e1, e2 = at // grid**2, offsets[at // grid % grid], offsets[at % grid]
        point = z[row] + e1.view(per_row) * d1[row] + e2.view(per_row) * d2[row]
        with untouched(victim, seed=seed), torch.no_grad():
            logits = victim(point)
        f = Forward(logits, y[row], None if clean is None else clean[:, row])
        scores.append(score(f))
        margins.append(logit_margin(logits[0] if len(logits) == 1 else f.log_p, y[row]))
    return torch.cat(scores).view(-1, grid, grid), torch.cat(margins).view(-1, grid, grid)
