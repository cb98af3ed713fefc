"""A flag: a sign that an evaluation should not be trusted, with the evidence and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Literal

FLAGS = (
    "zero_gradients",
    "randomised",
    "train_mode",
    "softmax_twice",
    "non_finite",
    "chance",
    "black_box_wins",
    "huge_eps",
    "not_converged",
    "ladder",
    "weak_suite",
)
# Share of the images on which two sound attacks may differ; at least one image.
TOLERATED_SHARE = 0.01


@dataclass(frozen=True)
class Flag:
    """A sign that an evaluation should not be trusted.

    Attributes:
        name: one of ``FLAGS``.
        severity: ``serious``: the robust accuracy is wrong until this is resolved; ``caution``: it may be wrong;
            ``note``: it is right, but the reader should know how it came about.
        seen: the evidence, with numbers.
        cure: what to do.

    Example:
        >>> Flag("huge_eps", "serious", "40 of 100 images resist.", "Look for gradient masking.")
        Flag(serious: huge eps. 40 of 100 images resist. Look for gradient masking.)
    """

    name: str
    severity: Literal["serious", "caution", "note"]
    seen: str
    cure: str

    def __repr__(self) -> str:
        return f"Flag({self.severity}: {flag_names([self])}. {self.seen} {self.cure})"

    def _repr_html_(self) -> str:
        title = f"{self.severity}: {flag_names([self])}."
        return f"<p><b>{escape(title)}</b> {escape(self.seen)} <i>{escape(self.cure)}</i></p>"


def allowed_difference(n: int) -> int:
    """Number of images out of n on which two sound attacks may differ.

    Example:
        >>> allowed_difference(64), allowed_difference(1000)
        (1, 10)
    """
    return max(1, int(TOLERATED_SHARE * n))


def flag_names(flags: Iterable[Flag]) -> str:
    """The names of flags for a line of text.

    Example:
        >>> flag_names([Flag("train_mode", "caution", "", ""), Flag("huge_eps", "serious", "", "")])
        'train mode, huge eps'
    """
    return ", ".join(flag.name.replace("_", " ") for flag in flags)


def format_percent(share: float) -> str:
    """A share in percent, to three digits: ``12.5 %``."""
    return f"{100 * share:.3g} %"
