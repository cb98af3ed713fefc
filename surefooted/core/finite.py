"""What is not finite: one rule for answers, gradients and points, for every attack.

- **An answer** (the logits of an image) with NaN or +inf in any class or sample, or with −inf in all classes, names no
  class. It is neither right nor wrong: never a success, whatever the label. −inf in some classes is an answer: those
  classes are masked and have probability 0.
- **An objective** that is NaN ranks below every number.
- **A gradient** entry that is NaN or infinite counts as 0.
- **A point** with such an entry is never accepted.

Attacks count the answers and gradients per image (``AttackResult``) and warn of them.
"""

from __future__ import annotations

from math import inf

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def has_answer(scores: Float[Tensor, "b k"]) -> Bool[Tensor, " b"]:
    """True where logits, or log-probabilities, are those of an answer.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0], [-torch.inf, 2.0], [torch.nan, 2.0], [torch.inf, 2.0]])
        >>> has_answer(logits).tolist(), has_answer(logits.log_softmax(-1)).tolist()
        ([True, True, False, False], [True, True, False, False])
    """
    return scores.amax(-1).isfinite()


def is_misclassified(scores: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
    """True where the most likely class is not ``y``; False where there is no answer, for every label alike.

    Args:
        scores: what the class is read from (``core.types.class_scores``), or log-probabilities made from it.
        y: class indices.

    Example:
        >>> log_p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [torch.nan, torch.nan]]).log()
        >>> is_misclassified(log_p, torch.tensor([0, 1, 1])).tolist()
        [False, True, False]
    """
    highest, predicted = scores.max(-1)
    return (predicted != y) & highest.isfinite()


def finite_rows(x: Float[Tensor, "b *d"]) -> Bool[Tensor, " b"]:
    """True where all entries of a row are finite.

    Example:
        >>> finite_rows(torch.tensor([[0.0, 1.0], [3e38, 3e38], [torch.inf, 0.0]])).tolist()
        [True, True, False]
    """
    axes = tuple(range(1, x.ndim))
    if not axes:
        return x.isfinite()
    if x.device.type == "cpu":  # one sweep, without a copy: no sum of something infinite or NaN is finite
        finite = x.sum(axes).isfinite()
        if bool(finite.all()):
            return finite
    largest: Tensor = torch.linalg.vector_norm(x, inf, axes)
    return largest.isfinite()


def finite_gradient(gradient: Float[Tensor, "b *d"]) -> tuple[Float[Tensor, "b *d"], Bool[Tensor, " b"]]:
    """The gradient with 0 for every entry that is not finite, and True for the rows that have such an entry.

    Nothing waits for a GPU.

    Example:
        >>> gradient, broken = finite_gradient(torch.tensor([[1.0, torch.inf], [2.0, 3.0]]))
        >>> gradient.tolist(), broken.tolist()
        ([[1.0, 0.0], [2.0, 3.0]], [True, False])
    """
    broken = ~finite_rows(gradient)
    if gradient.device.type == "cpu" and not bool(broken.any()):
        return gradient, broken
    return gradient.nan_to_num(0.0, 0.0, 0.0), broken


def ranked(value: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Values of an objective, with −inf for NaN, so that comparisons order them.

    Example:
        >>> ranked(torch.tensor([1.0, torch.nan, torch.inf])).tolist()
        [1.0, -inf, inf]
    """
    return value.nan_to_num(-inf, inf, -inf)
