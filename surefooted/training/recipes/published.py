"""Recipes as the papers print them.

With another number of epochs than the paper's, the schedule keeps its shape.
"""

from __future__ import annotations

from typing import Literal

from surefooted.components.component import Count, component
from surefooted.training.recipes.base import Recipe
from surefooted.training.recipes.custom import LearningRate, recipe


@component
def entm_mnist(*, epochs: Count = 40) -> Recipe:
    """EntM's recipe for a four-layer CNN on MNIST (table 5).

    SGD with learning rate 0.01, ×0.1 at epoch 20; momentum 0.9, weight decay 1e-4, batches of 128.

    Args:
        epochs: 40 in the paper.

    Example:
        >>> import surefooted as sf
        >>> [round(sf.recipes.entm_mnist().learning_rate(epoch), 6) for epoch in (19, 20)]
        [0.01, 0.001]
    """
    return recipe(
        epochs=epochs, optimiser="sgd", lr=0.01, weight_decay=1e-4, schedule="steps", drops=((epochs / 2, 0.1),)
    )


@component
def entm_resnet18(*, adversarial: bool = True, epochs: Count | None = None, augmented: bool = True) -> Recipe:
    """EntM's recipe for ResNet-18 (table 5).

    SGD with learning rate 0.1, batches of 64, weight decay 1e-4; ×0.1 at epochs 60, 84, 100 of 120 with adversarial
    training, at epochs 100, 150 of 200 without.

    Args:
        adversarial: schedule for adversarial training.
        epochs: by default 120 with adversarial training, 200 without.
        augmented: crops and flips, as for CIFAR; the paper trains SVHN without.

    Example:
        >>> import surefooted as sf
        >>> sf.recipes.entm_resnet18(adversarial=False).epochs
        200
    """
    total, drops = (120, (60, 84, 100)) if adversarial else (200, (100, 150))
    epochs = epochs or total
    return recipe(
        epochs=epochs,
        batch=64,
        optimiser="sgd",
        lr=0.1,
        weight_decay=1e-4,
        schedule="steps",
        drops=tuple((drop * epochs / total, 0.1) for drop in drops),
        augment=("crop", "flip") if augmented else (),
    )


@component
def ar_adals_cifar10(*, epochs: Count = 200) -> Recipe:
    """AR-AdaLS's recipe for ResNet-29 v2 on CIFAR-10.

    Adam with learning rate 1e-3, ×0.1 after 80, 120, 160 of 200 epochs, ×0.5 after 180; batches of 256; shifts of up
    to 10 % and flips; L2 of 1e-4 on convolution kernels, which is a weight decay of 2e-4.

    Args:
        epochs: 200 in the paper.

    Example:
        >>> import surefooted as sf
        >>> round(sf.recipes.ar_adals_cifar10().learning_rate(80), 6)
        0.0001
    """
    drops = ((80, 0.1), (120, 0.1), (160, 0.1), (180, 0.5))
    return recipe(
        epochs=epochs,
        batch=256,
        weight_decay=2e-4,
        decayed="conv",
        schedule="steps",
        drops=tuple((epoch * epochs / 200, factor) for epoch, factor in drops),
        augment=("shift", "flip"),
    )


@component
def edward2_wide_resnet(*, epochs: Count = 200, batch: Count = 128) -> Recipe:
    """AR-AdaLS's recipe for Wide ResNet-28-10, which is that of edward2's baselines.

    Nesterov SGD with learning rate 0.1 · batch / 128, ×0.2 at epochs 60, 120, 160 of 200; one epoch of warm-up; weight
    decay 4e-4; crops of 2 pixels and flips.

    Args:
        epochs: 200 in the paper.
        batch: examples per step; the learning rate grows with it.

    Example:
        >>> import surefooted as sf
        >>> round(sf.recipes.edward2_wide_resnet().learning_rate(0.5), 6)  # half of the warm-up
        0.05
    """
    return recipe(
        epochs=epochs,
        batch=batch,
        optimiser="sgd",
        lr=0.1 * batch / 128,
        nesterov=True,
        weight_decay=4e-4,
        schedule="steps",
        drops=_fifths(epochs),
        warmup=1.0,
        augment=({"crop": {"pad": 2}}, "flip"),
    )


@component
def due_wide_resnet(*, epochs: Count = 200, batch: Count = 128) -> Recipe:
    """The recipe of DUE's code for a Wide ResNet on CIFAR-10.

    SGD with learning rate 0.1, ×0.2 at epochs 60, 120, 160 of 200; momentum 0.9; weight decay 5e-4 on all weights.

    Args:
        epochs: 200 in the code.
        batch: examples per step.

    Example:
        >>> import surefooted as sf
        >>> round(sf.recipes.due_wide_resnet().learning_rate(60), 6)
        0.02
    """
    return recipe(
        epochs=epochs,
        batch=batch,
        optimiser="sgd",
        lr=0.1,
        weight_decay=5e-4,
        schedule="steps",
        drops=_fifths(epochs),
        augment=("crop", "flip"),
    )


@component
def uta_lenet(*, epochs: Count = 100, batch: Count = 128) -> Recipe:
    """UTA's recipe for LeNet: Adam with a constant learning rate of 1e-3.

    Args:
        epochs: 100 in the paper for Fashion-MNIST. For MNIST the paper prints none; the studies take 50.
        batch: examples per step.

    Example:
        >>> import surefooted as sf
        >>> sf.recipes.uta_lenet().learning_rate(99)
        0.001
    """
    return recipe(epochs=epochs, batch=batch)


@component
def uta_resnet18(*, epochs: Count = 200, lr: LearningRate = 0.1, batch: Count = 128) -> Recipe:
    """UTA's recipe for ResNet-18 on CIFAR-10 (appendix B.2).

    Nesterov SGD with learning rate 0.1, divided by 15 after 60, 120, 160 of 200 epochs. The paper prints no weight
    decay; 5e-4 is that of the code which it follows.

    Args:
        epochs: 200 in the paper.
        lr: initial learning rate.
        batch: examples per step.

    Example:
        >>> import surefooted as sf
        >>> round(sf.recipes.uta_resnet18(lr=0.15).learning_rate(60), 6)
        0.01
    """
    return _nesterov_sgd(epochs, lr, batch, "steps", tuple((at * epochs / 200, 1 / 15) for at in (60, 120, 160)))


@component
def uta_cyclic(*, epochs: Count = 90, lr: LearningRate = 0.2, batch: Count = 128) -> Recipe:
    """UTA's faster recipe for ResNet-18: a cyclic learning rate (appendix B.2).

    Args:
        epochs: number of passes over the training set.
        lr: peak learning rate; in the paper 0.2 for FGSM, R-FGSM and PGD-2, and 0.1 for UTA.
        batch: examples per step.

    Example:
        >>> import surefooted as sf
        >>> [sf.recipes.uta_cyclic().learning_rate(epoch) for epoch in (0, 36, 90)]
        [0.0, 0.2, 0.0]
    """
    return _nesterov_sgd(epochs, lr, batch, "cyclic")


def _fifths(epochs: int) -> tuple[tuple[float, float], ...]:
    """×0.2 at 60, 120 and 160 of 200 epochs."""
    return tuple((at * epochs / 200, 0.2) for at in (60, 120, 160))


def _nesterov_sgd(
    epochs: int,
    lr: float,
    batch: int,
    schedule: Literal["steps", "cyclic"],
    drops: tuple[tuple[float, float], ...] = (),
) -> Recipe:
    return recipe(
        epochs=epochs,
        batch=batch,
        optimiser="sgd",
        lr=lr,
        nesterov=True,
        weight_decay=5e-4,
        schedule=schedule,
        drops=drops,
        augment=("crop", "flip"),
    )
