"""Images and what became of them, drawn as panels of a report."""

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
    """Clean image, perturbed image and their amplified difference, a row an example, with a caption under each image.

    Args:
        clean, perturbed: (n, h, w) grey or (n, h, w, 3) RGB, in [0, 1].
        captions: for each example the texts under the clean and the perturbed image, as ``7 (98 %)``.
        amplify: what the difference is multiplied by; grey is no difference.
    """
    before, after = (np.asarray(images, float) for images in (clean, perturbed))
    difference = np.clip(0.5 + amplify * (after - before), 0, 1)
    ax.axis("off")
    for row, texts in enumerate(captions):
        y = -row * 1.3
        under = (*texts, f"difference × {amplify:g}")
        for column, image in enumerate((before[row], after[row], difference[row])):
            image_with_text(ax, image, (column * 1.08, y), under[column])
    ax.set(xlim=(0, 3.16), ylim=(-(len(captions) - 1) * 1.3 - 0.25, 1.02), aspect="equal")


def image_with_text(ax: Axes, image: ArrayLike, at: tuple[float, float], text: str, *, fontsize: float = 9) -> None:
    """One image (h, w) or (h, w, 3) in [0, 1] on a square of side 1 whose lower left corner is given, a text below."""
    x, y = at
    # The pixels as they are: the viewer enlarges them, without smoothing.
    pixels = np.rint(np.asarray(image).clip(0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
    ax.imshow(pixels, extent=(x, x + 1, y, y + 1), interpolation="none")
    ax.text(x + 0.5, y - 0.04, text, ha="center", va="top", fontsize=fontsize)
