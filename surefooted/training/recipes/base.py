"""A recipe as a value: optimiser, learning-rate schedule, augmentations, and the share of ε that is attacked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from surefooted.components.component import Component, Spec
from surefooted.data.augment import Augmentation


@dataclass(frozen=True)
class Averaging:
    """An average of the weights along the training, which is what the training returns.

    Attributes:
        kind: ``ema``, the exponential moving average of weights and buffers after every step; ``swa``, the mean of the
            weights after every epoch, with the statistics of batch norm taken anew.
        decay: of the moving average.
        begin: share of the epochs after which averaging begins.

    Example:
        >>> Averaging("swa", begin=0.5).begin
        0.5
    """

    kind: Literal["ema", "swa"]
    decay: float = 0.999
    begin: float = 0.0


@dataclass(frozen=True)
class LabelNoise:
    """Symmetric label noise: a share of the training labels is replaced by another class.

    Attributes:
        share: probability that a label is replaced, by each of the other classes alike.
        seed: of the draws; each row of the data set has its own.
    """

    share: float
    seed: int = 0


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
        settings: optimiser settings at a step, from its number and the number of all steps; None sets the learning rate
            alone, to ``learning_rate``.
        clip_norm: largest L2 norm of the gradient of all weights, to which a larger one is scaled; None does not clip.
        averaging: average of the weights that is returned; None returns the weights of the last step.
        label_noise: noise of the training labels.

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
    settings: Callable[[int, int], dict[str, Any]] | None = None
    clip_norm: float | None = None
    averaging: Averaging | None = None
    label_noise: LabelNoise | None = None
    spec: Spec | None = field(default=None, init=False, compare=False, repr=False)

    def settings_at(self, step: int, steps_per_epoch: int) -> dict[str, Any]:
        """Settings of the optimiser at a step of the run, such as ``lr``.

        Example:
            >>> import surefooted as sf
            >>> sf.recipe(epochs=2, lr=0.5).settings_at(3, steps_per_epoch=4)
            {'lr': 0.5}
        """
        if self.settings is not None:
            return self.settings(step, self.epochs * steps_per_epoch)
        return {"lr": self.learning_rate(step / steps_per_epoch)}
