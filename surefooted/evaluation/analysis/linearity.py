"""How far a victim is from its own linear approximation."""

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
from surefooted.errors import InputError
from surefooted.evaluation.analysis.margins import mean_logits
from surefooted.models.prediction import in_batches
from surefooted.models.victims import Victim, as_victim, channels_last, untouched


class Nonlinearity(NamedTuple):
    """Non-linearity per example, nan where there is none; ``undefined`` counts these."""

    q: Float[Tensor, " n"]
    undefined: int


def nonlinearity(
    model: nn.Module | Victim, images: Images | Points, moved: Float[Tensor, "n *d"], *, batch: int = 512, seed: int = 0
) -> Nonlinearity:
    """Non-linearity Q_f(x', x) = ‖f(x') − f(x) − J (x' − x)‖₂ / ‖J (x' − x)‖₂ of every image; 0 for a linear network.

    J (x' − x) is a derivative along one direction a row, exact, by one pass in forward mode (or two backward, where a
    layer has no rule for it). Not defined where x' = x, or where neither f nor its approximation moves: nan, counted.
    Infinite where f moves and the approximation does not. f is as in ``decision_margin``.

    All is in the victim's precision: at single precision a Q of 1e-4 may be rounding.

    Args:
        moved: x', a row for each image, in pixels.
        seed: of the draws of a model that makes any, such as MC dropout: the same at both points.

    Source: EntM, eq. 13 and table 4.
    """
    victim = as_victim(model)
    if len(moved) != len(images.y) or moved.shape[1:] != images.x.shape[1:]:
        seen, expected = tuple(moved.shape), (len(images.y), *images.x.shape[1:])
        raise InputError(f"the moved points have shape {seen}; expected {expected}, a row for each image.")
    parts, at = [], 0
    with channels_last(victim), torch.no_grad():
        for points in in_batches(victim, images, batch):
            x, there = victim.lift(points.x), victim.lift(moved[at : at + len(points.y)].to(points.x))
            at += len(points.y)
            f, along = directional_derivative(victim, x, there - x, seed)
            with untouched(victim, seed=seed):
                change = mean_logits(victim, there) - f
            q = (change - along).norm(dim=1) / along.norm(dim=1)
            # Two passes of a random victim may differ at one and the same point: that is no non-linearity.
            parts.append(q.masked_fill((there == x).flatten(1).all(1), torch.nan))
    q = torch.cat(parts)
    return Nonlinearity(q, int(q.isnan().sum()))


def directional_derivative(
    victim: Victim, x: Float[Tensor, "b *z"], d: Float[Tensor, "b *z"], seed: int = 0
) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
    """f(x) and J d, each row along its own direction: rows do not mix, so that one tangent serves for all."""
    f = partial(mean_logits, victim)
    try:
        with untouched(victim, seed=seed), warnings.catch_warnings():
            # torch compiles its own rules at the first use of forward mode, in a way that it has deprecated.
            warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)
            out, along = jvp(f, (x,), (d,))[:2]
            return out, along
    except (NotImplementedError, RuntimeError):  # a layer without a rule for forward mode
        with untouched(victim, seed=seed):
            return _double_backward(f, x, d)


def _double_backward(f: Callable[[Tensor], Tensor], x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """J d as the derivative of vᵀJ by v, which is linear in v."""
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        out = f(z)
        v = torch.zeros_like(out, requires_grad=True)
        (back,) = torch.autograd.grad(out, z, v, create_graph=True)
        (along,) = torch.autograd.grad(back, v, d)
    return out.detach(), along.detach()
