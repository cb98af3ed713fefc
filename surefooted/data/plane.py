"""Points of a plane as images of two pixels: the toy data set of the UTA paper."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefooted.components.component import NonNegative, Share, Whole, component
from surefooted.core.rng import Noise
from surefooted.data.images import Splits
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
from surefooted.errors import ArgumentError

# The square of this side around the origin of the paper's plane is mapped to the unit square of pixels.
SIDE = 5.0
# Examples have p from -REACH to REACH; the gap widens from a third of -REACH to a third of REACH.
REACH = 1.5
# Amplitude of the decision boundary's wave, and height of a band of examples.
_WAVE, BAND = 0.2, 0.5
# Differs from the streams of the split: with the same draws, the place of an example would decide if it is held out.
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
    """Two classes in a plane, close to each other on the left and far apart on the right: UTA's toy set.

    In the paper's plane, with coordinates p and q from -2.5 to 2.5, the decision boundary is q = 0.2 sin 2p. Class 1 is
    above it and class 0 below, each in a band of height 0.5, for p from -1.5 to 1.5. The gap between the bands,
    measured along q, is ``small`` up to p = -0.5 and ``large`` from p = 0.5, and linear in between. The two pixels are
    0.5 + 0.2 p and 0.5 + 0.2 q: one unit of the paper's plane is 0.2 in pixels, and no perturbation of up to 1 unit
    leaves [0, 1] (without noise, and for a large gap of at most 1.6). Images have shape (1, 1, 2). The paper prints no
    coordinates; these are chosen by us. The set has no official test images.

    Args:
        examples: number of examples; both classes have the same number.
        small: gap on the left, in units of the paper's plane.
        large: gap on the right, in units of the paper's plane.
        narrow: share of the examples on the left, at p below 0.
        noise: standard deviation of Gaussian noise on p and q, in units of the paper's plane; if positive, classes may
            overlap.
        seed: seed of the examples.
        test: share of all examples held out for testing.
        validation: share of the remaining examples held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: number of training examples; 0 for all.
        test_limit: number of test examples; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        ArgumentError: there are fewer than two examples, or gaps or noise put some outside the square.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.data.plane import true_class
        >>> train = sf.data.plane().train.points()
        >>> bool((true_class(train.x.flatten(1)) == train.y).all())
        True

    Reference:
        *Improved generalization-robustness trade-off via uncertainty targeted attacks*, section 4.1 and figure 1.
    """
    if examples < 2:
        raise ArgumentError(f"examples = {examples}: the plane has two classes; expected at least 2 examples.")
    rows = torch.arange(examples)
    y = rows % 2
    draws = Noise(seed, rows, stream=_STREAM)
    side, along, across = draws.uniform(3).unbind(-1)
    p = REACH * torch.where(side < narrow, -along, along)
    q = boundary(p) + (2 * y - 1) * (gap(p, small, large) / 2 + BAND * across)
    x = pixels(torch.stack((p, q), -1) + noise * draws.at(1).normal(2))
    if x.min() < 0 or x.max() > 1:
        raise ArgumentError(
            f"Some examples are outside the square of side {SIDE:g}. Decrease `data.large` "
            f"({large:g}), `data.small` ({small:g}) or `data.noise` ({noise:g})."
        )
    table = ImageTable(x.view(-1, 1, 1, 2).numpy().astype(np.float32), y.numpy())
    source = ImageSource(table, None, None, ("below", "above"), scale=1.0)
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    return split_source(source, options, name="plane", title="Plane (drawn)")


def true_class(x: Float[Tensor, "*n 2"]) -> Int[Tensor, "*n"]:
    """True class of points given in pixels: 1 above the decision boundary, 0 below.

    Example:
        >>> import torch
        >>> from surefooted.data.plane import true_class
        >>> true_class(torch.tensor([[0.5, 0.9], [0.5, 0.1]]))
        tensor([1, 0])
    """
    return (height(x) > 0).long()


def height(x: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """Height of points above the decision boundary, along q, in units of the paper's plane; negative below it."""
    p, q = units(x).unbind(-1)
    return q - boundary(p)


def boundary(p: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The q of the true decision boundary at p, in units of the paper's plane."""
    return _WAVE * (2 * p).sin()


def gap(p: Float[Tensor, "*n"], small: float, large: float) -> Float[Tensor, "*n"]:
    """Gap between the classes at p, along q, in units of the paper's plane."""
    return small + (large - small) * (p / (2 * REACH / 3) + 0.5).clamp(0, 1)


def pixels(units: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """Pixels of points given in units of the paper's plane."""
    return 0.5 + units / SIDE


def units(pixels: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """Points given in pixels, in units of the paper's plane."""
    return SIDE * (pixels - 0.5)
