"""A flag: a sign that numbers should not be trusted, with what was seen and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FLAGS = (
    "zero_gradients",
    "randomised",
    "train_mode",
    "softmax_twice",
    "chance",
    "black_box_wins",
    "huge_eps",
    "not_converged",
    "ladder",
)
# Of all rows, the share that two sound attacks may differ by, one row at least.
TOLERATED_SHARE = 0.01


@dataclass(frozen=True)
class Flag:
    """A sign that numbers should not be trusted.

    Attributes:
        name: one of ``FLAGS``.
        severity: ``serious``: the robust accuracy is wrong until this is cleared up; ``caution``: it may be.
        seen: what was seen, with numbers.
        cure: what to do.
    """

    name: str
    severity: Literal["serious", "caution"]
    seen: str
    cure: str


def allowed_difference(n: int) -> int:
    """Rows of n that two sound attacks may differ by."""
    return max(1, int(TOLERATED_SHARE * n))


def format_percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def flag_names(flags: Iterable[Flag]) -> str:
    """Names of flags for a line of text."""
    return ", ".join(flag.name.replace("_", " ") for flag in flags)
