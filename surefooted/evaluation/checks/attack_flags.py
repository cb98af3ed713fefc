"""Flags from the predictions and attack results of an evaluation; nothing new is computed."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from surefooted.evaluation.checks.flags import Flag, allowed_difference, format_percent
from surefooted.evaluation.metrics.intervals import binomial_interval

# Per image, whether the attack succeeded, as in ``AttackResult.found``.
_Success = Bool[Tensor, " n"]


def chance(right: Bool[Tensor, " n"], y: Int[Tensor, " n"], *, classes: int) -> Flag | None:
    """The clean accuracy is no better than chance, or than predicting one class for all images.

    Args:
        right: (N,) whether each clean image is classified correctly.
        y: (N,) labels.
        classes: number of classes.

    Example:
        >>> import torch
        >>> y = torch.arange(100) % 10
        >>> chance(y < 1, y, classes=10).severity
        'serious'
    """
    n, most_frequent = len(y), int(y.bincount().max())
    accuracy = binomial_interval(int(right.sum()), n)
    if accuracy.low > max(1 / classes, most_frequent / n):
        return None
    low, high = format_percent(accuracy.low), format_percent(accuracy.high)
    return Flag(
        "chance",
        "serious" if accuracy.low <= 1 / classes else "caution",
        f"The model classifies {int(right.sum())} of {n} clean images correctly (95 % interval {low} to {high}). "
        f"Guessing among {classes} classes is correct for {format_percent(1 / classes)}, the most frequent class for "
        f"{format_percent(most_frequent / n)}.",
        "Check that the model is trained and its weights are loaded, that the labels are in the order of its outputs, "
        "and that it receives the pixels it was trained on (normalisation by mean and std, order of the channels).",
    )


def black_box_wins(
    white: _Success, black: _Success, *, names: tuple[str, str] = ("the white-box attack", "the black-box attack")
) -> Flag | None:
    """A gradient-free attack succeeds on images on which a gradient-based attack at the same ε fails.

    Args:
        white: (N,) whether the gradient-based attack succeeded.
        black: (N,) whether the gradient-free attack succeeded.
        names: what the message calls the two attacks.

    Example:
        >>> import torch
        >>> rows = torch.arange(100)
        >>> black_box_wins(rows < 50, rows < 60).severity
        'serious'
    """
    only_black = int((black & ~white).sum())
    if only_black <= allowed_difference(len(white)):
        return None
    more = int(black.sum()) > int(white.sum())
    return Flag(
        "black_box_wins",
        "serious" if more else "caution",
        f"Of {len(white)} images, {names[1]} succeeds on {only_black} on which {names[0]} fails; in total it succeeds "
        f"on {int(black.sum())}, {names[0]} on {int(white.sum())}.",
        "The gradients are misleading: find out what masks them, and report the worst case over both attacks.",
    )


def huge_eps(found: _Success, *, eps: float) -> Flag | None:
    """Some images resist an attack whose ε is so large that the ball contains images of every class.

    Args:
        found: (N,) whether the attack succeeded.
        eps: its radius ε.

    Example:
        >>> import torch
        >>> huge_eps(torch.arange(100) < 60, eps=1.0).seen
        '40 of 100 images resist the attack at ε = 1, although the ball contains images of other classes.'
    """
    resisting = int((~found).sum())
    if resisting <= allowed_difference(len(found)):
        return None
    return Flag(
        "huge_eps",
        "serious",
        f"{resisting} of {len(found)} images resist the attack at ε = {eps:g}, although the ball contains images of "
        "other classes.",
        "The attack is too weak: check for gradient masking, and try more steps or another objective.",
    )


def not_converged(found: _Success, longer: _Success, *, steps: int) -> Flag | None:
    """Twice the steps succeed on significantly more images (one-sided sign test at 5 %).

    Args:
        found: (N,) whether the attack succeeded.
        longer: (N,) whether it succeeded with twice the steps.
        steps: number of steps of the shorter attack.

    Example:
        >>> import torch
        >>> rows = torch.arange(100)
        >>> not_converged(rows < 50, rows < 60, steps=10).name
        'not_converged'
    """
    gained, lost = int((longer & ~found).sum()), int((found & ~longer).sum())
    if gained <= allowed_difference(len(found)) or _sign_test(gained, lost) > 0.05:
        return None
    return Flag(
        "not_converged",
        "caution",
        f"Of {len(found)} images, the attack with {2 * steps} steps succeeds on {gained} on which {steps} steps fail, "
        f"and fails on {lost} on which they succeed.",
        "Use more steps, a larger step size or restarts, until doubling the steps makes no difference.",
    )


def rising_accuracy(found: Mapping[float, _Success]) -> Flag | None:
    """Robust accuracy increases with ε, although each ball contains the smaller ones: the flag ``ladder``.

    Args:
        found: for each radius ε, (N,) whether the attack succeeded.

    Example:
        >>> import torch
        >>> rows = torch.arange(100)
        >>> rising_accuracy({0.1: rows < 60, 0.2: rows < 50}).name
        'ladder'
    """
    radii, rises = sorted(found), []
    for k, eps in enumerate(radii):
        for larger in radii[k + 1 :]:
            rise = int(found[eps].sum()) - int(found[larger].sum())
            if rise > allowed_difference(len(found[eps])):
                rises.append((rise, eps, larger))
    if not rises:
        return None
    rise, eps, larger = max(rises)
    return Flag(
        "ladder",
        "serious",
        f"Of {len(found[eps])} images, the attack succeeds on {rise} fewer at ε = {larger:g} than at ε = {eps:g}.",
        "The attack is weaker at larger ε: check for gradient masking, or a step size that does not fit ε.",
    )


def weak_suite(found: _Success, others: Mapping[str, _Success], *, suite: str) -> Flag | None:
    """Other attacks within ε find images that the suite of the headline did not: the suite alone overstates.

    Args:
        found: (N,) whether the suite succeeded.
        others: for each other attack, by its name, (N,) whether it succeeded within the same ε.
        suite: what the message calls the suite.

    Example:
        >>> import torch
        >>> rows = torch.arange(100)
        >>> weak_suite(rows < 48, {"APGD-40": rows < 52}, suite="AutoAttack (quick)").severity
        'caution'
    """
    gains = {name: int((success & ~found).sum()) for name, success in others.items()}
    missed = int(torch.stack([success & ~found for success in others.values()]).any(0).sum()) if others else 0
    if missed <= allowed_difference(len(found)):
        return None
    by = ", ".join(f"{name} {gain}" for name, gain in gains.items() if gain)
    return Flag(
        "weak_suite",
        "caution",
        f"Of {len(found)} images, {missed} withstand {suite} but not the other attacks within ε ({by}).",
        "Report the worst case over all attacks, and attack with a larger budget: a stronger suite may break more.",
    )


def non_finite(
    missing: Mapping[str, Bool[Tensor, " n"]],
    rows: Int[Tensor, " n"],
    *,
    gradients: Bool[Tensor, " n"] | None = None,
) -> Flag | None:
    """The model gives no finite answer (a logit is NaN or +inf, or all are −inf), or no finite gradient.

    Args:
        missing: for each set of inputs, by its name, (N,) whether the answer is missing.
        rows: (N,) rows of the images, which the message names.
        gradients: (N,) whether an attack met a gradient with an entry that is not finite.

    Example:
        >>> import torch
        >>> non_finite({"clean images": torch.arange(100) > 97}, torch.arange(100)).seen
        'The logits are NaN or infinite at 2 of 100 clean images (rows 98, 99).'
    """
    n, seen = len(rows), {name: rows[where] for name, where in missing.items() if bool(where.any())}
    texts = []
    if seen:
        parts = [f"{len(where)} of {n} {name} ({list_rows(where)})" for name, where in seen.items()]
        texts.append(f"The logits are NaN or infinite at {', and at '.join(parts)}.")
    if gradients is not None and bool(gradients.any()):
        where = rows[gradients]
        texts.append(f"Attacks met gradients that are not finite at {len(where)} of {n} images ({list_rows(where)}).")
    if not texts:
        return None
    return Flag(
        "non_finite",
        "serious" if max(map(len, seen.values()), default=0) > allowed_difference(n) else "caution",
        " ".join(texts),
        "Such an answer counts as misclassified if the image is clean, and never as the success of an attack; such an "
        "entry of a gradient counts as 0. Look for a division by 0, a logarithm of 0, an overflow (half precision) or "
        "a wrong normalisation in the model.",
    )


def list_rows(rows: Int[Tensor, " n"], *, at_most: int = 5) -> str:
    """The first few rows for a line of text.

    Example:
        >>> import torch
        >>> list_rows(torch.arange(7)), list_rows(torch.tensor([3]))
        ('rows 0, 1, 2, 3, 4, ...', 'row 3')
    """
    first = ", ".join(str(int(row)) for row in rows[:at_most])
    return f"row{'s' if len(rows) > 1 else ''} {first}{', ...' if len(rows) > at_most else ''}"


def _sign_test(more: int, fewer: int) -> float:
    """One-sided p-value of at least ``more`` events of one kind, if both kinds are equally likely."""
    n = more + fewer
    return sum(comb(n, k) for k in range(more, n + 1)) / (1 << n)
