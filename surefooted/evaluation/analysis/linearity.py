"""Linearity: how far a classifier deviates from its own linear approximation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jvp

from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.errors import ArgumentError, ModelError
from surefooted.evaluation.analysis.margins import mean_logits
from surefooted.evaluation.display import printable
from surefooted.models.prediction import in_batches
from surefooted.models.victims import Victim, as_victim, channels_last, untouched


@printable
class Nonlinearity(NamedTuple):
    """Non-linearity per example.

    Attributes:
        q: Q_f, nan if undefined.
        undefined: number of examples for which it is undefined.
    """

    q: Float[Tensor, " n"]
    undefined: int


def nonlinearity(
    model: nn.Module | Victim,
    images: Images | Points,
    perturbed: Float[Tensor, "n *d"],
    *,
    batch: int = 512,
    seed: int = 0,
) -> Nonlinearity:
    """Non-linearity Q_f(x', x) = ‖f(x') − f(x) − J (x' − x)‖₂ / ‖J (x' − x)‖₂ of every image; 0 for a linear network.

    f is the output of ``decision_margin``. J (x' − x) is an exact directional derivative per row, from one
    forward-mode pass, or from two backward passes if a layer has no forward-mode rule. Q is nan if x' = x, or if
    neither f nor its approximation changes. It is infinite if f changes and the approximation does not.

    Everything is computed in the precision of the classifier; in single precision, a Q of 1e-4 may be rounding.

    Args:
        model: the classifier; it is evaluated in evaluation mode and left unchanged.
        images: (N, ...) images x.
        perturbed: (N, ...) perturbed images x', a row per image.
        batch: images per pass.
        seed: seed of a stochastic model, such as MC dropout; it is the same at both points.

    Raises:
        ArgumentError: if `perturbed` does not have the shape of the images.

    Reference: EntM, section 6 (equation 13, table 4).

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> bool((sf.analysis.nonlinearity(linear, points, 0.9 * points.x).q < 1e-3).all())
        True
    """
    victim = as_victim(model)
    if len(perturbed) != len(images.y) or perturbed.shape[1:] != images.x.shape[1:]:
        expected = (len(images.y), *images.x.shape[1:])
        raise ArgumentError(
            f"The perturbed images have shape {tuple(perturbed.shape)}; expected {expected}, a row for each image."
        )
    parts, start = [], 0
    with channels_last(victim), torch.no_grad():
        for points in in_batches(victim, images, batch):
            x, end = victim.lift(points.x), victim.lift(perturbed[start : start + len(points.y)].to(points.x))
            start += len(points.y)
            f, along = directional_derivative(victim, x, end - x, seed)
            with untouched(victim, seed=seed), torch.no_grad():
                change = mean_logits(victim, end) - f
            q = (change - along).norm(dim=1) / along.norm(dim=1)
            # Two passes of a stochastic victim may differ even at the same point; that is not non-linearity.
            parts.append(q.masked_fill((end == x).flatten(1).all(1), torch.nan))
    q = torch.cat(parts)
    return Nonlinearity(q, int(q.isnan().sum()))


def directional_derivative(
    victim: Victim, x: Float[Tensor, "b *z"], d: Float[Tensor, "b *z"], seed: int = 0
) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
    """f(x) and J d, each row along its own direction; rows are independent, so that one tangent serves all of them."""
    f = partial(mean_logits, victim)
    try:
        with untouched(victim, seed=seed), torch.no_grad(), warnings.catch_warnings():
            # At the first use of forward mode, torch compiles its own rules in a way that it has deprecated.
            warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)
            out, along = jvp(f, (x,), (d,))[:2]
            return out, along
    except (NotImplementedError, RuntimeError, ModelError):  # a layer without a forward-mode rule
        with untouched(victim, seed=seed):
            return _double_backward(f, x, d)


def _double_backward(f: Callable[[Tensor], Tensor], x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """J d as the derivative of vᵀJ with respect to v, in which it is linear."""
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        out = f(z)
        v = torch.zeros_like(out, requires_grad=True)
        (back,) = torch.autograd.grad(out, z, v, create_graph=True)
        (along,) = torch.autograd.grad(back, v, d)
    return out.detach(), along.detach()
