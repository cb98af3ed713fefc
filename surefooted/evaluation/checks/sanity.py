"""A few questions asked of a classifier once, and the flags that its answers raise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.core.scores import cross_entropy, cw_margin
from surefooted.core.types import Forward, Points, log_mean_softmax
from surefooted.evaluation.checks.flags import TOLERATED_SHARE, Flag, format_percent
from surefooted.models.victims import Victim, as_victim, untouched

SANITY_CHECK_IMAGES = 64
# Answers may move by so much of their scale where nothing but the order of additions changed.
_LOGIT_TOLERANCE = 1e-4
# Where the loss's gradient is so much smaller than the margin's, float32 has lost the true class's part of it.
_SATURATION_RATIO = 1e-7


@dataclass(frozen=True)
class SanityCheck:
    """What a classifier shows on a few clean points.

    Attributes:
        n: points asked about.
        zero: share of points at which the gradient of the margin is zero in every pixel.
        broken: share at which it is not finite.
        saturated: share of the others at which the loss's gradient is lost beside the margin's.
        redraw: largest difference between logits of two equal calls, as a share of their scale.
        alone: largest difference between logits of an image alone and in company, as a share of their scale.
        training: modules that were handed over in training mode.
        mode: largest difference that this mode makes to the logits, as a share of their scale; 0 if there are none.
        probabilities: whether every row of logits is a distribution already.
    """

    n: int
    zero: float
    broken: float
    saturated: float
    redraw: float
    alone: float
    training: int
    mode: float
    probabilities: bool

    def json(self) -> dict[str, Any]:
        return asdict(self)


def sanity_check(model: nn.Module | Victim, points: Points, *, seed: int = 0) -> SanityCheck:
    """Ask a classifier about the first few points: four forward passes and two gradients."""
    victim, points = as_victim(model), points.take(slice(0, SANITY_CHECK_IMAGES))
    training = [module for net in victim.nets for module in net.modules() if module.training]
    with untouched(victim, seed=seed):
        x = victim.lift(points.x)
        with torch.no_grad():
            first, again = victim(x), victim(x)
            single = torch.cat([victim(x[k : k + 1]) for k in range(min(len(x), 8))], 1)
        steep, margin = (_gradient(victim, x, score) for score in (cross_entropy(), cw_margin()))
    mode = 0.0
    if training:
        with torch.no_grad(), untouched(victim, "train", seed):
            mode = _relative_difference(victim(x), first)
    size, size_of_margin = (g.flatten(1).abs().amax(1) for g in (steep, margin))
    whole = size.isfinite() & size_of_margin.isfinite()
    zero = whole & (size_of_margin == 0)
    redraw = _relative_difference(again, first)
    return SanityCheck(
        n=len(x),
        zero=_share(zero),
        broken=_share(~whole),
        saturated=_share(whole & ~zero & (size < _SATURATION_RATIO * size_of_margin)),
        redraw=redraw,
        # A victim that draws differs alone as it differs again.
        alone=0.0 if redraw > _LOGIT_TOLERANCE else _relative_difference(single, first[:, : single.shape[1]]),
        training=len(training),
        mode=mode,
        probabilities=bool((first >= 0).all() and ((first.double().sum(-1) - 1).abs() < 1e-3).all()),
    )


def sanity_flags(p: SanityCheck, *, eot: int = 1) -> list[Flag]:
    """All flags that a probe raises.

    Args:
        eot: forward passes that each answer to the attack was the mean of.
    """
    return _present(zero_gradients(p), randomised(p, eot=eot), train_mode(p), softmax_twice(p))


def zero_gradients(p: SanityCheck) -> Flag | None:
    """Gradients that are zero, not finite, or lost in rounding: attacks that follow them go nowhere."""
    if p.zero + p.broken > TOLERATED_SHARE:
        return Flag(
            "zero_gradients",
            "serious",
            f"of {p.n} clean images, {format_percent(p.zero)} have a gradient of zero in every pixel, {format_percent(p.broken)} "
            "one that is not finite",
            "look for rounding, quantisation, thresholds or detached tensors in the model; attack through a smooth "
            "approximation of them (BPDA), and read the gradient-free attacks until then",
        )
    if p.saturated > 0.1:
        return Flag(
            "zero_gradients",
            "caution",
            f"at {format_percent(p.saturated)} of {p.n} clean images the gradient of the cross-entropy is lost in rounding "
            "beside that of the margin: the softmax is saturated",
            "attack a margin instead (objective=dlr or cw_margin), as AutoAttack does",
        )
    return None


def randomised(p: SanityCheck, *, eot: int = 1) -> Flag | None:
    """Two equal calls differ, and the attack took one answer for all."""
    if p.redraw <= _LOGIT_TOLERANCE or eot > 1:
        return None
    return Flag(
        "randomised",
        "serious",
        f"two equal calls differ by {format_percent(p.redraw)} of the logits' scale; each answer to the attack was one draw",
        "export it in evaluation mode, if that is dropout left on; if it is meant to draw, attack the mean of several "
        "draws: audit --eot 20, attack autoattack --attack.version rand, attack apgd --attack.eot 20",
    )


def train_mode(p: SanityCheck) -> Flag | None:
    """Handed over in training mode where that matters, or normalised by the batch even in evaluation mode."""
    if p.alone > _LOGIT_TOLERANCE:
        return Flag(
            "train_mode",
            "serious",
            f"an image's logits differ by {format_percent(p.alone)} of their scale between alone and in company: the model "
            "normalises by its batch, also in evaluation mode",
            "export it in evaluation mode (model.eval()), with running statistics in its batch norm",
        )
    if p.mode > _LOGIT_TOLERANCE:
        return Flag(
            "train_mode",
            "caution",
            f"the model came with {p.training} modules in training mode, which moves its logits by {format_percent(p.mode)} "
            "of their scale; it was evaluated in evaluation mode",
            "call model.eval() before measuring it elsewhere, or other numbers will be of another model",
        )
    return None


def softmax_twice(p: SanityCheck) -> Flag | None:
    """Probabilities where logits are read: a softmax of them is nearly uniform, and its gradients nearly vanish."""
    if not p.probabilities:
        return None
    return Flag(
        "softmax_twice",
        "serious",
        f"on each of {p.n} images the outputs lie in [0, 1] and sum to 1: probabilities, which were taken for logits",
        "return the logits, or say --outputs probabilities, so that their logarithms are taken",
    )


def _present(*flags: Flag | None) -> list[Flag]:
    return [flag for flag in flags if flag is not None]


def _gradient(victim: Victim, x: Tensor, score: Any) -> Float[Tensor, "b *z"]:
    point = x.detach().clone().requires_grad_()
    logits = victim(point)
    # The model's own answer, not the label: at a mistake the margin may be flat for other reasons.
    value = score(Forward(logits, log_mean_softmax(logits.detach()).argmax(-1)))
    if not value.requires_grad:
        return torch.zeros_like(x)  # no path from pixels to logits
    (gradient,) = torch.autograd.grad(value.sum(), point, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient.detach()


def _relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))


def _share(rows: Tensor) -> float:
    return float(rows.double().mean())
