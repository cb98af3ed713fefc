"""The sanity check: a few passes through a classifier on clean images, and the flags that the result raises."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from surefooted.core.predictions import look_like_probabilities
from surefooted.core.scores import cross_entropy, cw_margin
from surefooted.core.types import Forward, Points, Score, log_mean_softmax
from surefooted.errors import ModelError
from surefooted.evaluation.checks.flags import TOLERATED_SHARE, Flag, format_percent
from surefooted.evaluation.display import printable
from surefooted.models.guard import gives_gradients
from surefooted.models.victims import Victim, as_victim, untouched

SANITY_CHECK_IMAGES = 64
# Relative change of the logits that a different order of additions alone can cause.
_LOGIT_TOLERANCE = 1e-4
# Below this ratio of the loss's gradient to the margin's, float32 has lost the contribution of the true class.
_SATURATION_RATIO = 1e-7


@printable
@dataclass(frozen=True)
class SanityCheck:
    """Result of a sanity check. Changes of the logits are relative to their largest absolute value.

    Attributes:
        n: number of images.
        zero: share of images at which the gradient of the margin is zero in every pixel. An image without a finite
            answer counts in no share.
        broken: share at which a gradient is not finite.
        saturated: share of the others at which the loss's gradient is lost in rounding, compared with the margin's.
        redraw: largest change of the logits between two identical calls.
        alone: largest change between an image alone and the same image in a batch.
        training: number of modules that were in training mode.
        mode: largest change between evaluation mode and the mode in which the model came, module by module; 0 if no
            module was in training mode.
        probabilities: whether every row of logits is already a probability distribution.
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
        """The fields as plain data."""
        return asdict(self)


def sanity_check(model: nn.Module | Victim, points: Points, *, seed: int = 0) -> SanityCheck:
    """Run a classifier on the first few images: four forward passes and two gradients.

    Args:
        model: the classifier. It is left unchanged.
        points: clean images; the first ``SANITY_CHECK_IMAGES`` are used.
        seed: seed of a stochastic model, such as MC dropout.

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10).eval()
        >>> found = sf.checks.sanity_check(net, points)
        >>> found.n, found.zero, found.redraw, found.probabilities
        (8, 0.0, 0.0, False)
    """
    victim, points = as_victim(model), points.take(slice(0, SANITY_CHECK_IMAGES))
    handed = [(module, module.training) for net in victim.nets for module in net.modules()]
    training, steep = sum(was for _, was in handed), gives_gradients(victim.nets)
    with untouched(victim, seed=seed):
        x = victim.lift(points.x)
        with torch.no_grad():
            first, second = victim(x), victim(x)
            single = torch.cat([victim(x[k : k + 1]) for k in range(min(len(x), 8))], 1)
        loss_gradient, margin_gradient = (
            # A black box is not asked where its answer could not help.
            _gradient(victim, x, score) if steep else torch.ones_like(x)
            for score in (cross_entropy(), cw_margin())
        )
    mode = 0.0
    if training:
        with untouched(victim, "train", seed), torch.no_grad():
            # As it came: a wrapper that nobody put into evaluation mode may hold a network that is in it.
            for module, was in handed:
                module.training = was
            mode = _relative_difference(victim(x), first)
    loss_size, margin_size = (g.flatten(1).abs().amax(1) for g in (loss_gradient, margin_gradient))
    # Images without an answer are the matter of ``non_finite``.
    answered = ~log_mean_softmax(first).isnan().any(-1)
    finite = answered & loss_size.isfinite() & margin_size.isfinite()
    zero = finite & (margin_size == 0)
    redraw = _relative_difference(second, first)
    return SanityCheck(
        n=len(x),
        zero=_share(zero),
        broken=_share(answered & ~finite),
        saturated=_share(finite & ~zero & (loss_size < _SATURATION_RATIO * margin_size)),
        redraw=redraw,
        # For a stochastic victim the difference would only show its randomness again.
        alone=0.0 if redraw > _LOGIT_TOLERANCE else _relative_difference(single, first[:, : single.shape[1]]),
        training=training,
        mode=mode,
        probabilities=all(map(look_like_probabilities, first)),
    )


def sanity_flags(check: SanityCheck, *, eot: int = 1) -> list[Flag]:
    """All flags that a sanity check raises.

    Args:
        check: the result of ``sanity_check``.
        eot: forward passes averaged per prediction in the attack (EOT).

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10).eval()
        >>> sf.checks.sanity_flags(sf.checks.sanity_check(net, points))
        []
    """
    flags = zero_gradients(check), randomised(check, eot=eot), train_mode(check), softmax_twice(check)
    return [flag for flag in flags if flag is not None]


def zero_gradients(check: SanityCheck) -> Flag | None:
    """Gradients are zero, not finite, or lost in rounding: attacks that follow them make no progress.

    Example:
        >>> check = SanityCheck(64, 1.0, 0.0, 0.0, 0.0, 0.0, training=0, mode=0.0, probabilities=False)
        >>> zero_gradients(check).severity
        'serious'
    """
    if check.zero + check.broken > TOLERATED_SHARE:
        return Flag(
            "zero_gradients",
            "serious",
            f"Of {check.n} clean images, {format_percent(check.zero)} have a zero gradient in every pixel and "
            f"{format_percent(check.broken)} a gradient that is not finite.",
            "Look for rounding, quantisation, thresholds or detached tensors in the model. Attack it through a smooth "
            "approximation of them (BPDA); until then, rely on the gradient-free attacks only.",
        )
    if check.saturated > 0.1:
        return Flag(
            "zero_gradients",
            "caution",
            f"The softmax is saturated: at {format_percent(check.saturated)} of {check.n} clean images, the gradient "
            "of the cross-entropy is lost in rounding, compared with that of the margin.",
            "Attack a margin instead (objective dlr or cw_margin), as AutoAttack does.",
        )
    return None


def randomised(check: SanityCheck, *, eot: int = 1) -> Flag | None:
    """Two identical calls return different logits, and the attack did not average over several forward passes.

    Example:
        >>> check = SanityCheck(64, 0.0, 0.0, 0.0, redraw=0.1, alone=0.0, training=0, mode=0.0, probabilities=False)
        >>> randomised(check).severity, randomised(check, eot=20)
        ('serious', None)
    """
    if check.redraw <= _LOGIT_TOLERANCE or eot > 1:
        return None
    return Flag(
        "randomised",
        "serious",
        f"Two identical calls differ by {format_percent(check.redraw)} of the logits' scale, and the attack used a "
        "single forward pass per prediction.",
        "If this is dropout left on by mistake, export the model in evaluation mode. If the model is stochastic on "
        "purpose, average several forward passes per prediction (EOT): audit with eot=20, or attack with "
        "autoattack(version='rand') or apgd(eot=20).",
    )


def train_mode(check: SanityCheck) -> Flag | None:
    """The model came in training mode, which changes its logits, or it uses batch statistics in evaluation mode.

    The first is a note: the evaluation set the mode right.

    Example:
        >>> check = SanityCheck(64, 0.0, 0.0, 0.0, 0.0, alone=0.0, training=3, mode=0.2, probabilities=False)
        >>> train_mode(check).severity
        'note'
    """
    if check.alone > _LOGIT_TOLERANCE:
        return Flag(
            "train_mode",
            "serious",
            f"The logits of an image alone and of the same image in a batch differ by {format_percent(check.alone)} of "
            "their scale: the model uses batch statistics even in evaluation mode.",
            "Export it in evaluation mode (model.eval()), with running statistics in its batch norm.",
        )
    if check.mode > _LOGIT_TOLERANCE:
        return Flag(
            "train_mode",
            "note",
            f"The model came with {check.training} modules in training mode, which changes its logits by "
            f"{format_percent(check.mode)} of their scale. It was evaluated in evaluation mode, as it should be.",
            "Call model.eval() before you evaluate it elsewhere; otherwise the results are not comparable.",
        )
    return None


def softmax_twice(check: SanityCheck) -> Flag | None:
    """The outputs are probabilities but are read as logits: their softmax is nearly uniform, with tiny gradients.

    Example:
        >>> check = SanityCheck(64, 0.0, 0.0, 0.0, 0.0, 0.0, training=0, mode=0.0, probabilities=True)
        >>> softmax_twice(check).name
        'softmax_twice'
    """
    if not check.probabilities:
        return None
    return Flag(
        "softmax_twice",
        "serious",
        f"On each of {check.n} images, the outputs are in [0, 1] and sum to 1: they are probabilities, but were read "
        "as logits.",
        "Return the logits, or set outputs=probabilities so that the logarithms of the outputs are used.",
    )


def _gradient(victim: Victim, x: Tensor, score: Score) -> Float[Tensor, "b *z"]:
    point = x.detach().clone().requires_grad_()
    try:
        logits = victim(point)
    except ModelError:  # it answered without a gradient: it computes outside torch
        return torch.zeros_like(x)
    # At the predicted class, not the label: the margin of a misclassified image may be flat for other reasons.
    value = score(Forward(logits, log_mean_softmax(logits.detach()).argmax(-1)))
    if not value.requires_grad:
        return torch.zeros_like(x)  # there is no path from pixels to logits
    (gradient,) = torch.autograd.grad(value.sum(), point, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient.detach()


def _relative_difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, of the entries that are finite in both, in units of the largest of ``b``."""
    finite = a.isfinite() & b.isfinite()
    a, b = a[finite], b[finite]
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12)) if len(b) else 0.0


def _share(rows: Bool[Tensor, " n"]) -> float:
    return float(rows.double().mean())
