"""Recipes as the papers print them."""

from __future__ import annotations

from typing import Literal

from surefooted.components.component import Count, component
from surefooted.training.recipes.own import Rate, Recipe, recipe


@component
def entm_mnist(*, epochs: Count = 40) -> Recipe:
    """EntM table 5, four-layer CNN on MNIST: SGD 0.01, ×0.1 at epoch 20, momentum 0.9, weight decay 1e-4, batch 128."""
    return recipe(
        epochs=epochs, optimiser="sgd", lr=0.01, weight_decay=1e-4, schedule="steps", drops=((epochs / 2, 0.1),)
    )


@component
def entm_resnet18(*, adversarial: bool = True, epochs: Count | None = None, augmented: bool = True) -> Recipe:
    """EntM table 5, ResNet-18: SGD 0.1, batch 64, weight decay 1e-4; 120 epochs with adversarial training, 200 else.

    Args:
        augmented: crops and flips, as for CIFAR; the paper trains SVHN without.
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
    """AR-AdaLS, ResNet-29 v2 on CIFAR-10: Adam 1e-3, ×0.1 after 80, 120, 160 of 200 epochs, ×0.5 after 180; batch 256.

    Shifts of up to 10 % and flips; L2 of 1e-4 on convolution kernels, which is a weight decay of 2e-4.
    """
    drops = ((80, 0.1), (120, 0.1), (160, 0.1), (180, 0.5))
    return recipe(
        epochs=epochs,
        batch=256,
        weight_decay=2e-4,
        decayed="conv",
        schedule="steps",
        drops=tuple((when * epochs / 200, factor) for when, factor in drops),
        augment=("shift", "flip"),
    )


@component
def edward2_wide_resnet(*, epochs: Count = 200, batch: Count = 128) -> Recipe:
    """AR-AdaLS's Wide ResNet-28-10 recipe: Nesterov SGD 0.1 · batch/128, ×0.2 at 60, 120, 160 of 200, decay 4e-4."""
    return recipe(
        epochs=epochs,
        batch=batch,
        optimiser="sgd",
        lr=0.1 * batch / 128,
        nesterov=True,
        weight_decay=4e-4,
        schedule="steps",
        drops=tuple((when * epochs / 200, 0.2) for when in (60, 120, 160)),
        warmup=1.0,
        augment=({"crop": {"pad": 2}}, "flip"),
    )


@component
def due_wide_resnet(*, epochs: Count = 200, batch: Count = 128) -> Recipe:
    """DUE's code on CIFAR-10: SGD 0.1, momentum 0.9, ×0.2 at 60, 120, 160 of 200 epochs, decay 5e-4 on all weights."""
    return recipe(
        epochs=epochs,
        batch=batch,
        optimiser="sgd",
        lr=0.1,
        weight_decay=5e-4,
        schedule="steps",
        drops=tuple((when * epochs / 200, 0.2) for when in (60, 120, 160)),
        augment=("crop", "flip"),
    )


@component
def uta_lenet(*, epochs: Count = 100, batch: Count = 128) -> Recipe:
    """UTA: Adam 1e-3, constant, 100 epochs for Fashion-MNIST. For MNIST, where the paper prints none, we take 50."""
    return recipe(epochs=epochs, batch=batch)


@component
def uta_resnet18(*, epochs: Count = 200, lr: Rate = 0.1, batch: Count = 128) -> Recipe:
    """UTA, ResNet-18 on CIFAR-10: Nesterov SGD 0.1, divided by 15 after 60, 120, 160 of 200 epochs (appendix B.2).

    Weight decay, which the paper does not print: 5e-4, as in the code that it says it follows.
    """
    return _nesterov(epochs, lr, batch, "steps", tuple((when * epochs / 200, 1 / 15) for when in (60, 120, 160)))


@component
def uta_cyclic(*, epochs: Count = 90, lr: Rate = 0.2, batch: Count = 128) -> Recipe:
    """UTA's faster recipe for ResNet-18: a cyclic rate, at most 0.2 for FGSM, R-FGSM and PGD-2, 0.1 for UTA (B.2)."""
    return _nesterov(epochs, lr, batch, "cyclic")


def _nesterov(
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
