"""Sensitivity of a classifier: the spectral norm of its Jacobian, and the certified radius of EntM's theorem 1."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.errors import ModelError
from surefooted.evaluation.analysis.margins import logit_margin, mean_logits
from surefooted.evaluation.display import printable
from surefooted.models.prediction import count_classes, in_batches
from surefooted.models.victims import Victim, as_victim, channels_last, untouched

# Memory for the Jacobians of a batch; that of a single image is always allowed.
JACOBIAN_BYTES = 2**28


@printable
class Sensitivity(NamedTuple):
    """Margin and sensitivity per example, from the same forward pass.

    Attributes:
        margin: decision margin f_y − max_{i≠y} f_i.
        norm: ‖J‖₂, the largest L2 change of f per unit of L2 change of the pixels, which are in [0, 1].
        correct: whether the predicted class is the true one.
    """

    margin: Float[Tensor, " n"]
    norm: Float[Tensor, " n"]
    correct: Bool[Tensor, " n"]


def sensitivity(model: nn.Module | Victim, images: Images | Points, *, batch: int = 64, seed: int = 0) -> Sensitivity:
    """Decision margin and spectral norm of the Jacobian of every image, from one forward and K backward passes.

    f is the output of ``decision_margin``, and J its (K, D) matrix of derivatives with respect to the coordinates that
    an attack perturbs. The norm is exact: the root of the largest eigenvalue of the K×K matrix J Jᵀ.

    The K backward passes share one graph, and each covers the whole batch. From about 16 images per batch this is as
    fast as cotangents batched by ``vmap``, and it does not need batching rules for the layers; see
    ``bench/jacobian.py``.

    Args:
        model: the classifier; it is evaluated in evaluation mode and left unchanged.
        images: (N, ...) images with labels.
        batch: images per pass; fewer if their Jacobians would need more than ``JACOBIAN_BYTES``. Results depend on it
            only through rounding, except for stochastic models.
        seed: seed of a stochastic model, such as MC dropout.

    Raises:
        ModelError: if the outputs have no gradient.
        InputError: if the labels do not fit the classes.

    Reference: EntM, section 6 (equation 12, table 4).

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> sf.analysis.sensitivity(net, points)
        Sensitivity(margin=float32[8], norm=float32[8], correct=bool[8])
    """
    victim = as_victim(model)
    parts = []
    with channels_last(victim):
        each = 4 * count_classes(victim, images) * images.x[:1].numel()
        for points in in_batches(victim, images, min(batch, max(1, JACOBIAN_BYTES // each))):
            with untouched(victim, seed=seed):
                f, j = _jacobian(victim, victim.lift(points.x))
            parts.append((logit_margin(f, points.y), spectral_norm(j), f.argmax(-1) == points.y))
    return Sensitivity(*(torch.cat(column) for column in zip(*parts)))


def jacobian_norm(
    model: nn.Module | Victim, images: Images | Points, *, batch: int = 64, seed: int = 0
) -> Float[Tensor, " n"]:
    """Spectral norm ‖J‖₂ of the Jacobian of every image; arguments as for ``sensitivity``.

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> bool((sf.analysis.jacobian_norm(net, points) > 0).all())
        True
    """
    return sensitivity(model, images, batch=batch, seed=seed).norm


def normalised_margin(margin: Float[Tensor, " n"], norm: Float[Tensor, " n"] | float) -> Float[Tensor, " n"]:
    """M / ‖J‖₂: to first order a distance to the decision boundary, for pixels in [0, 1].

    It is infinite if f is constant, and nan if the margin is 0 as well.

    Reference: EntM, section 6 (table 4, figure 4).

    Example:
        >>> import surefooted as sf
        >>> sf.analysis.normalised_margin(torch.tensor([3.0, -1.0]), torch.tensor([2.0, 2.0])).tolist()
        [1.5, -0.5]
    """
    return margin / norm


def certified_radius(margin: Float[Tensor, " n"], lipschitz: Float[Tensor, " n"] | float) -> Float[Tensor, " n"]:
    """Radius M / (√2 l_f) of theorem 1: no perturbation with a smaller L2 norm changes the class; 0 if M is negative.

    It is a certificate only if `lipschitz` bounds f on the whole ball, as does the product of the layers' spectral
    norms. For linear networks the Jacobian's norm at one point is such a bound. For other networks it is the local,
    first-order estimate that EntM uses, and a perturbation within the radius may change the class.

    Args:
        margin: (N,) decision margins f_y − max_{i≠y} f_i.
        lipschitz: constant l_f with ‖f(x') − f(x)‖₂ ≤ l_f ‖x' − x‖₂, one number or (N,).

    Reference: EntM, theorem 1 (equation 9); Tsuzuku et al., *Lipschitz-margin training*, NeurIPS 2018.

    Example:
        >>> import surefooted as sf
        >>> [round(r, 3) for r in sf.analysis.certified_radius(torch.tensor([2.0, -1.0]), 1.0).tolist()]
        [1.414, 0.0]
    """
    return normalised_margin(margin.clamp_min(0), lipschitz) / sqrt(2)


def _jacobian(victim: Victim, z: Float[Tensor, "b *z"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k d"]]:
    """The output f and its derivatives with respect to the flattened coordinates.

    The caller freezes the victim (``untouched``). Rows must be independent (no batch norm in training mode), because
    the sum over the rows is differentiated, class by class.
    """
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        f = mean_logits(victim, z)
        if not f.requires_grad:
            raise ModelError(
                "The model's logits have no gradient with respect to the images, which a Jacobian needs. "
                "Look for detached tensors or torch.no_grad() in the model."
            )
        class_sums = f.sum(0)
    classes = len(class_sums)
    j = z.new_empty(len(z), classes, z[0].numel())
    for k in range(classes):
        (g,) = torch.autograd.grad(class_sums[k], z, retain_graph=k < classes - 1)
        j[:, k] = g.flatten(1)
    return f.detach(), j


def spectral_norm(j: Float[Tensor, "b k d"]) -> Float[Tensor, " b"]:
    """Largest singular value of each matrix, from the smaller of its two Gram matrices.

    Example:
        >>> spectral_norm(torch.diag_embed(torch.tensor([[3.0, 4.0]])))
        tensor([4.])
    """
    # The square of a derivative of 1e-25 underflows: scale to 1 first.
    scale = torch.linalg.vector_norm(j, torch.inf, (1, 2)).clamp_min(torch.finfo(j.dtype).tiny)
    unit = j / scale[:, None, None]
    gram = unit @ unit.mT if unit.shape[1] <= unit.shape[2] else unit.mT @ unit
    # If a derivative is not finite, neither is the scale, and the norm is nan.
    largest = torch.linalg.eigvalsh(gram.nan_to_num(0.0).cpu().double())[:, -1]
    norm: Tensor = scale * largest.clamp_min(0).sqrt().to(scale)
    return norm
