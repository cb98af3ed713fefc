"""A recipe as a value: optimiser, learning-rate schedule, augmentations, and the share of ε that is attacked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from surefooted.components.component import Component, Spec
from surefooted.data.augment import Augmentation


@dataclass(frozen=True)
class Recipe(Component):
    """How the outer minimisation runs.

    Attributes:
        epochs: number of passes over the training set.
        batch: examples per step.
        optimiser: makes the optimiser of a network.
        learning_rate: the learning rate at a point in time, which is counted in epochs.
        augment: augmentations of each batch, in order.
        eps_share: the share of the attack's ε at a point in time; None is all of ε throughout.

    Example:
        >>> import surefooted as sf
        >>> schedule = sf.recipe(epochs=10, lr=1.0, schedule="cyclic")
        >>> [schedule.learning_rate(epoch) for epoch in (0, 4, 10)]
        [0.0, 1.0, 0.0]
    """

    kind = "recipe"

    epochs: int
    batch: int
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    learning_rate: Callable[[float], float]
    augment: tuple[Augmentation, ...] = ()
    eps_share: Callable[[float], float] | None = None
    spec: Spec | None = field(default=None, compare=False, repr=False)
