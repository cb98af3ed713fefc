"""Colours and fonts of all figures: a method looks the same in every figure, on a light page, a dark page and paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surefooted.errors import ArgumentError, did_you_mean

INK, MUTED, PAPER = "#1f2328", "#646b73", "#ffffff"

# Found by search in OKLab: any two colours differ by at least 0.045 in normal, protan, deutan and tritan vision, on
# white and, as `dark_variant`, on black. The contrast to the background is at least 3 : 1. Markers distinguish more
# than ten methods.
PALETTE = (
    "#3f86c0", "#f05a0a", "#127957", "#910010", "#c0359c", "#8e5c2b", "#6048b7", "#7e9415", "#800072", "#174a36",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_RAMP = ("#47218c", "#2c5fa8", "#1b8a7a", "#7a9a1c", "#c08200")

RC_PARAMS: dict[str, Any] = {
    "font.size": 10, "font.family": "sans-serif", "axes.titlesize": 10, "axes.labelsize": 10,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "xtick.labelsize": 9, "ytick.labelsize": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.edgecolor": MUTED, "axes.linewidth": 0.8,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": MUTED, "grid.alpha": 0.22, "grid.linewidth": 0.7,
    "lines.linewidth": 1.6, "lines.markersize": 4.5, "legend.frameon": False,
    # A name with two dollar signs is a name, not a formula.
    "text.parse_math": False, "axes.unicode_minus": True,
    # Text stays text: it is small, can be searched, and uses the fonts of the page.
    "svg.fonttype": "none",
}  # fmt: skip


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of a method; the same in all figures that get the same ``names``.

    Raises:
        ArgumentError: if the name is not among the names.

    Example:
        >>> colour_of("LS", ["PAT", "LS"])
        '#f05a0a'
    """
    return PALETTE[_index(name, names) % len(PALETTE)]


def marker_of(name: str, names: Sequence[str]) -> str:
    """The marker of a method, which distinguishes methods of the same colour.

    Raises:
        ArgumentError: if the name is not among the names.

    Example:
        >>> marker_of("LS", ["PAT", "LS"])
        's'
    """
    return MARKERS[_index(name, names) % len(MARKERS)]


def ordinal_colours(n: int) -> list[str]:
    """Colours of n ordered levels, from dark to light, ordered in hue and lightness.

    Example:
        >>> ordinal_colours(2)
        ['#47218c', '#c08200']
    """
    anchors = np.array([to_rgb(colour) for colour in _RAMP])
    at = np.linspace(0, len(_RAMP) - 1, n)
    return [_to_hex(np.array([np.interp(t, range(len(_RAMP)), anchors[:, c]) for c in range(3)])) for t in at]


def dark_variant(colour: str) -> str:
    """The colour for a dark background: the same hue, lighter by 0.2 in OKLab, which keeps the order of lightness.

    Example:
        >>> dark_variant("#47218c")
        '#7d5fce'
    """
    lab = np.cbrt(to_linear_rgb(to_rgb(colour)) @ RGB_TO_LMS.T) @ LMS_TO_OKLAB.T
    lab[0] = min(lab[0] + 0.2, 0.95)
    for chroma in np.linspace(1, 0, 21):  # reduce the chroma until the colour is in the gamut of sRGB
        light = (lab * [1, chroma, chroma] @ np.linalg.inv(LMS_TO_OKLAB).T) ** 3 @ np.linalg.inv(RGB_TO_LMS).T
        if light.min() > -1e-4 and light.max() < 1 + 1e-4:
            break
    light = light.clip(0, 1)
    return _to_hex(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


RGB_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
LMS_TO_OKLAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def to_rgb(colour: str) -> np.ndarray:
    """``#rrggbb`` as three numbers in [0, 1].

    Example:
        >>> to_rgb("#ff0000").tolist()
        [1.0, 0.0, 0.0]
    """
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def to_linear_rgb(c: np.ndarray) -> np.ndarray:
    """sRGB as linear RGB, both in [0, 1].

    Example:
        >>> to_linear_rgb(np.array([0.0, 1.0])).tolist()
        [0.0, 1.0]
    """
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _index(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ArgumentError(f"{name!r} is not among the names of the figure.{did_you_mean(name, names)}")
    return list(names).index(name)


def _to_hex(c: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(v) * 255):02x}" for v in c)
