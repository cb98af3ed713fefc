"""Points of the plane as images of two pixels: the toy of the UTA paper."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import NonNegative, Share, Whole, component
from surefooted.core.rng import Noise
from surefooted.data.images import Splits
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
from surefooted.errors import InputError

# The square of side 5 around the origin of the paper's plane is our unit square.
SIDE = 5.0
# Where the examples lie, along p; the gap begins to widen and has widened at minus and plus a third of it.
REACH = 1.5
# Height of the boundary's wave, and of a band of examples.
_WAVE, BAND = 0.2, 0.5
# Not those that the split sorts by: a held-out example would lie left or right by them.
_STREAM = 2


@component
def plane(
    *,
    examples: Whole = 800,
    small: NonNegative = 0.2,
    large: NonNegative = 1.6,
    narrow: Share = 0.5,
    noise: NonNegative = 0.0,
    seed: Whole = 0,
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Two classes in the plane, close to each other on the left and far apart on the right: UTA's toy set.

    In the paper's plane, with coordinates p and q from -2.5 to 2.5, the boundary is q = 0.2 sin 2p: class 1 lies above
    it, class 0 below, each in a band 0.5 high, for p from -1.5 to 1.5. Between the bands is the gap, measured along q:
    small up to p = -0.5, large from p = 0.5, linear between. A pixel is 0.5 + 0.2 p or 0.5 + 0.2 q: one unit of the
    paper's plane is 0.2 of a pixel's range, and no perturbation of up to 1 of its units leaves the range (without
    noise, and up to a large gap of 1.6). Images are (1, 1, 2): one row of p and q. The paper prints no coordinates;
    these are ours. Drawn by seed; the set has no official test part.

    Args:
        examples: number of all of them; both classes have as many.
        small, large: gaps on the left and on the right, in the paper's units.
        narrow: share of the examples that lie left, at p below 0.
        noise: standard deviation of what is added to p and q, in the paper's units; with any, classes may overlap.
        seed: of the draws.
        test: share of all examples held out for testing.
        validation: share of the rest held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.

    Raises:
        InputError: there are fewer than two examples, or gap or noise put some outside the square.

    Source: *Improved generalization-robustness trade-off via uncertainty targeted attacks*, section 4.1 and figure 1.
    """
    if examples < 2:
        raise InputError(f"examples = {examples}: the plane has two classes; draw 2 at least.")
    rows = torch.arange(examples)
    y = rows % 2
    draws = Noise(seed, rows, stream=_STREAM)
    side, along, across = draws.uniform(3).unbind(-1)
    p = REACH * torch.where(side < narrow, -along, along)
    q = boundary(p) + (2 * y - 1) * (gap(p, small, large) / 2 + BAND * across)
    x = pixels(torch.stack((p, q), -1) + noise * draws.at(1).normal(2))
    if x.min() < 0 or x.max() > 1:
        raise InputError(
            f"with large = {large:g}, small = {small:g} and noise = {noise:g} some examples lie outside the square of "
            f"side {SIDE:g}; lower them."
        )
    table = ImageTable(x.view(-1, 1, 1, 2).numpy().astype(np.float32), y.numpy())
    cut = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    return split_source(
        ImageSource(table, None, None, ("below", "above"), scale=1.0), cut, name="plane", title="Plane (drawn)"
    )


def true_class(x: Float[Tensor, "*n 2"]) -> Int[Tensor, "*n"]:
    """The class of any point, given in pixels: 1 above the boundary, 0 below."""
    return (height(x) > 0).long()


def height(x: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """How far above the boundary a point lies, along q, in the paper's units; below 0 where it lies below."""
    p, q = units(x).unbind(-1)
    return q - boundary(p)


def boundary(p: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The q of the true boundary over p, in the paper's units."""
    return _WAVE * (2 * p).sin()


def gap(p: Float[Tensor, "*n"], small: float, large: float) -> Float[Tensor, "*n"]:
    """The gap between the classes, along q."""
    return small + (large - small) * (p / (2 * REACH / 3) + 0.5).clamp(0, 1)


def pixels(units: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """From the paper's plane to the unit square."""
    return 0.5 + units / SIDE


def units(pixels: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """From the unit square to the paper's plane."""
    return SIDE * (pixels - 0.5)
