"""Flags raised by predictions and results of attacks that were made anyway; nothing is computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

from jaxtyping import Bool, Int
from torch import Tensor

from surefooted.evaluation.checks.flags import Flag, allowed_difference, format_percent
from surefooted.evaluation.metrics.intervals import binomial_interval

Success = Bool[Tensor, " n"]


def chance(right: Success, y: Int[Tensor, " n"], *, classes: int) -> Flag | None:
    """Clean images are told no better than by chance, or than by one answer for all of them."""
    n, commonest = len(y), int(y.bincount().max())
    accuracy = binomial_interval(int(right.sum()), n)
    if accuracy.low > max(1 / classes, commonest / n):
        return None
    return Flag(
        "chance",
        "serious" if accuracy.low <= 1 / classes else "caution",
        f"{int(right.sum())} of {n} clean images are classified rightly ({format_percent(accuracy.low)} to "
        f"{format_percent(accuracy.high)}); one of {classes} classes drawn by lot is right on {format_percent(1 / classes)}, the "
        f"commonest class for all on {format_percent(commonest / n)}",
        "see that it is trained and has its weights, that labels are in the order of its outputs, and that it reads "
        "the pixels it was trained on (normalisation: --mean, --std; order of channels)",
    )


def black_box_wins(
    white: Success, black: Success, *, names: tuple[str, str] = ("white box", "black box")
) -> Flag | None:
    """An attack without gradients breaks rows that one with gradients does not, at the same eps."""
    alone = int((black & ~white).sum())
    if alone <= allowed_difference(len(white)):
        return None
    more = int(black.sum()) > int(white.sum())
    return Flag(
        "black_box_wins",
        "serious" if more else "caution",
        f"{names[1]} breaks {alone} of {len(white)} images that {names[0]} does not ({int(black.sum())} broken in all, "
        f"{int(white.sum())} by {names[0]})",
        "the gradients mislead: look for what masks them, and read the worst case of both attacks",
    )


def huge_eps(found: Success, *, eps: float) -> Flag | None:
    """A ball that holds an image of every class, and still not every row is broken."""
    left = int((~found).sum())
    if left <= allowed_difference(len(found)):
        return None
    return Flag(
        "huge_eps",
        "serious",
        f"{left} of {len(found)} images withstand eps = {eps:g}, where other images are within reach",
        "the attack fails, not the perturbation: look for masked gradients, more steps or another objective",
    )


def not_converged(found: Success, longer: Success, *, steps: int) -> Flag | None:
    """Twice the steps break more rows than chance takes and gives."""
    gained, lost = int((longer & ~found).sum()), int((found & ~longer).sum())
    if gained <= allowed_difference(len(found)) or _sign_test(gained, lost) > 0.05:
        return None
    return Flag(
        "not_converged",
        "caution",
        f"of {len(found)} images, {2 * steps} steps break {gained} that {steps} do not, and miss {lost} that they do",
        "give the attack more steps, a larger step size or restarts, until doubling them changes nothing",
    )


def rising_accuracy(found: Mapping[float, Success]) -> Flag | None:
    """Robust accuracy that rises with eps, though each ball holds the smaller ones."""
    sizes, rises = sorted(found), []
    for k, eps in enumerate(sizes):
        for larger in sizes[k + 1 :]:
            rise = int(found[eps].sum()) - int(found[larger].sum())
            if rise > allowed_difference(len(found[eps])):
                rises.append((rise, eps, larger))
    if not rises:
        return None
    rise, eps, larger = max(rises)
    return Flag(
        "ladder",
        "serious",
        f"of {len(found[eps])} images, {rise} fewer are broken at eps = {larger:g} than at {eps:g}",
        "the attack fails where it has more room: look for masked gradients, or a step size that does not fit eps",
    )


def _sign_test(more: int, less: int) -> float:
    """Chance of at least so many of one kind, were both kinds equally likely."""
    n = more + less
    return sum(comb(n, k) for k in range(more, n + 1)) / 2**n
