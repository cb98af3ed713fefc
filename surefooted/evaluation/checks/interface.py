"""What cannot be evaluated at all, refused with the reason."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.types import Points, check_pixels
from surefooted.errors import InputError
from surefooted.evaluation.checks.sanity import SANITY_CHECK_IMAGES
from surefooted.models.victims import Victim, as_victim, untouched

# Half precision rounds a softmax by so much; logits and sigmoids are further off.
_SUM_TOLERANCE = 1e-2


def check_classifier(model: nn.Module, points: Points, classes: int) -> None:
    """Refuse what cannot be evaluated, and say why and what to do.

    Raises:
        InputError: images outside [0, 1]; a classifier that fails, at any batch or at batch size 1, or that returns NaN
            or anything but one (B, classes) tensor of floats.
    """
    x = points.x[:SANITY_CHECK_IMAGES]
    check_pixels(points.x)
    with torch.no_grad(), untouched(as_victim(model)):
        out, fault = _call(model, x)
        alone, fault_alone = _call(model, x[:1])
    if fault is not None and fault_alone is None:
        raise InputError(
            f"the classifier runs on one image but not on {len(x)} ({fault}); export it with a dynamic batch dimension."
        )
    if fault is not None:
        raise InputError(
            f"the classifier cannot run on {len(x)} images of {tuple(x.shape[1:])} ({fault}). Give the data it was "
            "made for, or resize inside a factory of your own (--model MODULE:FUNCTION); if it was exported for one "
            "batch size, export it with a dynamic batch dimension."
        )
    if fault_alone is not None:
        raise InputError(
            f"the classifier cannot run at batch size 1 ({fault_alone}). Put it in evaluation mode, export it with a "
            "dynamic batch dimension, and keep its batch dimension (no squeeze() without a dimension)."
        )
    # One of ours that is several networks, or draws, says what each of them does.
    several = isinstance(model, Victim) and isinstance(out, Tensor) and out.ndim == 3
    for given, n in ((out, len(x)), (alone, 1)):
        for one in given if several else (given,):
            _check_output(one, n, classes)


def check_probabilities(out: Tensor) -> None:
    """Refuse outputs that were said to be probabilities and are none: their logarithms would mean nothing.

    Args:
        out: (N, K), what the classifier itself returns.

    Raises:
        InputError: where a row is no distribution, beyond rounding.
    """
    out = out.detach().double()
    sums = out.sum(1)
    wrong = (out < -_SUM_TOLERANCE).any(1) | (out > 1 + _SUM_TOLERANCE).any(1) | ((sums - 1).abs() > _SUM_TOLERANCE)
    if wrong.any():
        raise InputError(
            f"--outputs probabilities, but of {len(out)} images {int(wrong.sum())} have outputs that are none: they go "
            f"from {float(out.min()):.3g} to {float(out.max()):.3g} and sum to {float(sums.min()):.3g} to "
            f"{float(sums.max()):.3g}; expected values in [0, 1] that sum to 1. If they are logits, leave --outputs "
            "out; if they are sigmoids, return what is before them."
        )


def _call(model: nn.Module, x: Tensor) -> tuple[Any, str | None]:
    try:
        return model(x), None
    except InputError as error:
        return None, str(error)
    except Exception as error:  # whatever a stranger's code raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, f"{type(error).__name__}: {first}"


def _check_output(out: Any, n: int, classes: int) -> None:
    if not isinstance(out, Tensor):
        keys = f" with {', '.join(map(str, list(out)[:5]))}" if isinstance(out, dict) else ""
        raise InputError(
            f"the classifier returns a {type(out).__name__}{keys}; expected one tensor of logits. Return it alone, "
            "in a factory of your own (--model MODULE:FUNCTION)."
        )
    if out.ndim != 2 or len(out) != n:
        raise InputError(f"the classifier returns shape {tuple(out.shape)} for {n} images; expected ({n}, {classes}).")
    if out.shape[1] != classes:
        raise InputError(
            f"the classifier tells {out.shape[1]} classes apart and the data have {classes}. Give the data that it was "
            "trained on, or pick their classes in a factory of your own (--model MODULE:FUNCTION)."
        )
    if not out.is_floating_point():
        raise InputError(f"the classifier returns {out.dtype}; expected logits as floats, before any argmax.")
    bad = ~out.isfinite().all(1)
    if bad.any():
        raise InputError(
            f"the classifier returns NaN or infinity for {int(bad.sum())} of {n} images. Look for a division by 0, a "
            "logarithm of 0, or a wrong normalisation (--mean, --std)."
        )
