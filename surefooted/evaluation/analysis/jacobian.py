"""How fast an answer can change: the spectral norm of its Jacobian, and what Theorem 1 of EntM makes of it."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.evaluation.analysis.margins import mean_logits, logit_margin
from surefooted.models.prediction import count_classes, in_batches
from surefooted.models.victims import Victim, as_victim, channels_last, untouched

# Of the Jacobians that are held at once; one image's must fit whatever it takes.
JACOBIAN_BYTES = 2**28


class Sensitivity(NamedTuple):
    """Per example, of one and the same pass.

    Attributes:
        margin: f_y − max_{i≠y} f_i.
        norm: ‖J‖₂, change of f (L2) for each unit of the pixels' [0, 1] (L2).
        correct: whether the likeliest class is the true one.
    """

    margin: Float[Tensor, " n"]
    norm: Float[Tensor, " n"]
    correct: Bool[Tensor, " n"]


def sensitivity(model: nn.Module | Victim, images: Images | Points, *, batch: int = 64, seed: int = 0) -> Sensitivity:
    """Decision margin and spectral norm of the Jacobian of every image, from one forward and K backward passes.

    In evaluation mode; f is logits where S = 1, else the logarithm of the mean prediction (``decision_margin``), J its
    (K, D) matrix of derivatives by the coordinates that are attacked. The norm is exact: the root of the largest
    eigenvalue of the K×K matrix J Jᵀ.

    The K backward passes go through one graph, each for the whole batch. From some 16 images a pass that is as fast as
    cotangents batched by ``vmap``, and asks for no batching rule of the layers: see ``bench/jacobian.py``.

    Args:
        batch: images at a time, fewer where their Jacobians would take more than ``JACOBIAN_BYTES``. It does not
            change a result beyond rounding, but for models that draw at random.
        seed: of the draws of a model that makes any, such as MC dropout.

    Raises:
        InputError: where labels do not fit the classes, or the answer has no gradient.

    Source: EntM, section 6 (eq. 12, table 4).
    """
    victim = as_victim(model)
    parts = []
    with channels_last(victim):
        each = 4 * count_classes(victim, images) * images.x[:1].numel()
        for points in in_batches(victim, images, min(batch, max(1, JACOBIAN_BYTES // each))):
            with untouched(victim, seed=seed):
                f, j = jacobian(victim, victim.lift(points.x))
            parts.append((logit_margin(f, points.y), spectral_norm(j), f.argmax(-1) == points.y))
    return Sensitivity(*(torch.cat(column) for column in zip(*parts)))


def jacobian_norm(
    model: nn.Module | Victim, images: Images | Points, *, batch: int = 64, seed: int = 0
) -> Float[Tensor, " n"]:
    """‖J‖₂ of every image: the norm of ``sensitivity``."""
    return sensitivity(model, images, batch=batch, seed=seed).norm


def normalised_margin(margin: Float[Tensor, " n"], norm: Float[Tensor, " n"] | float) -> Float[Tensor, " n"]:
    """M / ‖J‖₂, in pixels' [0, 1]: to first order a distance. Infinite where f does not move, nan if M is 0 there too.

    Source: EntM, section 6 (table 4, figure 4).
    """
    return margin / norm


def certified_radius(margin: Float[Tensor, " n"], lipschitz: Float[Tensor, " n"] | float) -> Float[Tensor, " n"]:
    """Radius M / (√2 l_f) of Theorem 1: no perturbation of a smaller L2 norm changes the class. 0 where M is below 0.

    A certificate only where ``lipschitz`` bounds f on the whole ball, such as the product of the layers' spectral
    norms. The Jacobian's norm at one point is that for linear networks; for others it is the local, first-order
    surrogate that EntM uses, and the radius is an estimate that a curved network may break.

    Args:
        margin: f_y − max_{i≠y} f_i.
        lipschitz: l_f with ‖f(x') − f(x)‖₂ ≤ l_f ‖x' − x‖₂.

    Source: EntM, theorem 1 (eq. 9); Tsuzuku et al., *Lipschitz-margin training*, NeurIPS 2018.
    """
    return normalised_margin(margin.clamp_min(0), lipschitz) / sqrt(2)


def jacobian(victim: Victim, z: Float[Tensor, "b *z"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k d"]]:
    """The answer and its derivatives by the flattened coordinates; the victim is frozen already (``untouched``).

    Rows must not mix (no batch norm in training mode): the sum over the rows is derived, class by class.
    """
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        f = mean_logits(victim, z)
        if not f.requires_grad:
            raise InputError("the model's logits have no gradient at the images; a Jacobian needs one.")
        of_class = f.sum(0)
    classes = len(of_class)
    j = z.new_empty(len(z), classes, z[0].numel())
    for k in range(classes):
        (g,) = torch.autograd.grad(of_class[k], z, retain_graph=k < classes - 1)
        j[:, k] = g.flatten(1)
    return f.detach(), j


def spectral_norm(j: Float[Tensor, "b k d"]) -> Float[Tensor, " b"]:
    """Largest singular value of each matrix, by the smaller of its two Gram matrices."""
    # The square of a derivative of 1e-25 is no float: scale to 1 first.
    scale = torch.linalg.vector_norm(j, torch.inf, (1, 2)).clamp_min(torch.finfo(j.dtype).tiny)
    unit = j / scale[:, None, None]
    gram = unit @ unit.mT if unit.shape[1] <= unit.shape[2] else unit.mT @ unit
    # Where a derivative is not finite neither is the scale: the norm is nan there.
    largest = torch.linalg.eigvalsh(gram.nan_to_num(0.0).cpu().double())[:, -1]
    return scale * largest.clamp_min(0).sqrt().to(scale)
