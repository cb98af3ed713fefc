"""Images and their perturbed versions, drawn as panels of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def perturbed_examples(
    ax: Axes, clean: ArrayLike, perturbed: ArrayLike, captions: Sequence[tuple[str, str]], *, amplify: float = 10
) -> None:
    """Draw clean image, perturbed image and amplified difference, one row per example, with captions below.

    Args:
        ax: the Axes to draw on.
        clean, perturbed: (n, h, w) grey or (n, h, w, 3) RGB, in [0, 1].
        captions: for each example the texts below the clean and the perturbed image, such as ``7 (98 %)``.
        amplify: factor applied to the difference; grey means no difference.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> clean = np.zeros((1, 8, 8))
        >>> perturbed_examples(ax, clean, clean + 0.1, [("7 (98 %)", "9 (60 %)")])
        >>> [text.get_text() for text in ax.texts]
        ['7 (98 %)', '9 (60 %)', 'difference × 10']
    """
    images, shifted = (np.asarray(values, float) for values in (clean, perturbed))
    difference = np.clip(0.5 + amplify * (shifted - images), 0, 1)
    ax.axis("off")
    for row, texts in enumerate(captions):
        y = -row * 1.3
        columns = zip((images[row], shifted[row], difference[row]), (*texts, f"difference × {amplify:g}"))
        for column, (image, text) in enumerate(columns):
            image_with_text(ax, image, (column * 1.08, y), text)
    ax.set(xlim=(0, 3.16), ylim=(-(len(captions) - 1) * 1.3 - 0.25, 1.02), aspect="equal")


def image_with_text(ax: Axes, image: ArrayLike, at: tuple[float, float], text: str, *, fontsize: float = 9) -> None:
    """Draw an image on a square of side 1, with a text below.

    Args:
        ax: the Axes to draw on.
        image: (h, w) grey or (h, w, 3) RGB, in [0, 1].
        at: the lower left corner of the square.
        text: the text below.
        fontsize: its size in points.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> image_with_text(ax, np.eye(8), (0, 0), "identity")
        >>> len(ax.images)
        1
    """
    x, y = at
    # The file holds the pixels themselves; the viewer enlarges them without smoothing.
    pixels = np.rint(np.asarray(image).clip(0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
    ax.imshow(pixels, extent=(x, x + 1, y, y + 1), interpolation="none")
    ax.text(x + 0.5, y - 0.04, text, ha="center", va="top", fontsize=fontsize)
