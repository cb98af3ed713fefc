"""Checks of a classifier's interface: inputs and outputs without which it cannot be evaluated at all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.types import Points, check_pixels
from surefooted.errors import InputError, ModelError
from surefooted.evaluation.checks.sanity import SANITY_CHECK_IMAGES
from surefooted.models.guard import call_network
from surefooted.models.victims import TRIED_IMAGES, Victim, as_victim, check_gradient, try_model, untouched

# A softmax in half precision sums to 1 within this; logits and sigmoids differ by more.
_SUM_TOLERANCE = 1e-2
_FACTORY = "a factory of your own (`model=MODULE:FUNCTION`)"


def check_classifier(model: nn.Module, points: Points, classes: int) -> None:
    """Refuse a classifier that cannot be evaluated; the error states the cause and how to fix it.

    What makes its answers doubtful is said by a ``ModelNotice``; see ``models.victims.try_model``.

    Args:
        model: maps images (B, ...) in [0, 1] to logits (B, classes).
        points: images to run it on; the first ``SANITY_CHECK_IMAGES`` are used.
        classes: number of classes of the data.

    Raises:
        ModelError: if the classifier fails at any batch size or at batch size 1, has no finite answer for any image, or
            returns anything but one (B, classes) tensor of floats.
        InputError: if the images are outside [0, 1].

    Example:
        >>> import surefooted as sf
        >>> points = sf.data.digits().test.points(slice(0, 8))
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> check_classifier(net, points, classes=10)
    """
    x = check_pixels(points.x)[:SANITY_CHECK_IMAGES]
    with untouched(as_victim(model)), torch.no_grad():
        out, fault = _call(model, x)
        single, fault_single = _call(model, x[:1])
    if fault is not None and fault_single is None:
        raise ModelError(
            f"The classifier runs on one image but not on {len(x)} ({fault}). Export it with a dynamic batch dimension."
        )
    if fault is not None:
        raise ModelError(
            f"The classifier cannot run on {len(x)} images of shape {tuple(x.shape[1:])} ({fault}). Use the data that "
            f"it was made for, or resize the images in {_FACTORY}. If it was exported for one batch size, export it "
            "with a dynamic batch dimension."
        )
    if fault_single is not None:
        raise ModelError(
            f"The classifier cannot run at batch size 1 ({fault_single}). Put it in evaluation mode, export it with a "
            "dynamic batch dimension, and keep its batch dimension (no squeeze() without a dimension)."
        )
    # A victim of this library may be an ensemble or stochastic: it returns one output per sample.
    sampled = isinstance(model, Victim) and isinstance(out, Tensor) and out.ndim == 3
    for outputs, n in ((out, len(x)), (single, 1)):
        for output in outputs if sampled else (outputs,):
            _check_output(output, n, classes)
    try_model(as_victim(model), x[:TRIED_IMAGES])
    check_gradient(as_victim(model), x[:2])


def check_probabilities(out: Tensor) -> None:
    """Refuse outputs that were declared to be probabilities and are not: their logarithms would be meaningless.

    Args:
        out: (N, K) outputs of the classifier itself.

    Raises:
        ModelError: if a row is not a distribution, up to rounding.

    Example:
        >>> check_probabilities(torch.tensor([[0.9, 0.1], [0.5, 0.5]]))
    """
    out = out.detach().double()
    sums = out.sum(1)
    wrong = (out < -_SUM_TOLERANCE).any(1) | (out > 1 + _SUM_TOLERANCE).any(1) | ((sums - 1).abs() > _SUM_TOLERANCE)
    if wrong.any():
        raise ModelError(
            f"The outputs for {int(wrong.sum())} of {len(out)} images are not probabilities, although "
            f"`outputs=probabilities` was given: they range from {float(out.min()):.3g} to {float(out.max()):.3g} and "
            f"sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}; expected values in [0, 1] that sum to 1. If "
            "they are logits, leave out `outputs`; if they are sigmoids, return the logits before them."
        )


def _call(model: nn.Module, x: Tensor) -> tuple[Any, str | None]:
    """The output, or the reason why there is none."""
    try:
        return call_network(model, x), None
    except InputError as error:
        return None, str(error).rstrip(".")
    except Exception as error:  # foreign code may raise anything
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, f"{type(error).__name__}: {first_line}"


def _check_output(out: Any, n: int, classes: int) -> None:
    if not isinstance(out, Tensor):
        keys = f" with {', '.join(map(str, list(out)[:5]))}" if isinstance(out, dict) else ""
        raise ModelError(
            f"The classifier returns a {type(out).__name__}{keys}; expected one tensor of logits. Return only the "
            f"logits, in {_FACTORY}."
        )
    if out.ndim != 2 or len(out) != n:
        raise ModelError(f"The classifier returns shape {tuple(out.shape)} for {n} images; expected ({n}, {classes}).")
    if out.shape[1] != classes:
        raise ModelError(
            f"The classifier has {out.shape[1]} classes and the data have {classes}. Use the data that it was trained "
            f"on, or select the classes in {_FACTORY}. If arrays hold not every class, pass their number: "
            f"`sf.arrays(x, y, names={out.shape[1]})`."
        )
    if not out.is_floating_point():
        raise ModelError(f"The classifier returns {out.dtype}; expected logits as floats, before any argmax.")
    # One image may have no answer: the flag ``non_finite`` counts these. −inf alone is the logit of a masked class.
    missing = out.amax(1).isinf() | out.isnan().any(1)
    if missing.all() and n > 1:
        raise ModelError(
            f"The classifier returns NaN or infinity for {n} of {n} images. Look for a division by 0, a "
            "logarithm of 0, or a wrong normalisation (`mean`, `std`)."
        )
