"""Recipes: optimiser, schedule and augmentation, as the papers print them or as you set them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PlainValidator
from torch import nn

from surefooted.checked import Component, Count, NonNegative, Positive, Share, Spec, checked
from surefooted.errors import InputError
from surefooted.spec import build

__all__ = [
    "ar_adals_cifar10",
    "due_wide_resnet",
    "edward2_wide_resnet",
    "entm_mnist",
    "entm_resnet18",
    "recipe",
    "uta_cyclic",
    "uta_lenet",
    "uta_resnet18",
]


def _augmentation(given: Any) -> Callable:
    made = build("surefooted.data.augment", given) if isinstance(given, str | Mapping) else given
    if not isinstance(getattr(made, "spec", None), Spec):
        raise ValueError("expected the name of an augmentation, {name: arguments}, or what its function returns")
    return made


Augmented = Annotated[Any, PlainValidator(_augmentation), Field(description="augmentation")]


# Above it the products in optimisers leave the range of floats.
Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, description="number above 0")]


@dataclass(frozen=True)
class Recipe(Component):
    """How the outer minimisation runs. ``rate`` gives the learning rate at a point of time, counted in epochs."""

    package = "surefooted.recipes"

    epochs: int
    batch: int
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    rate: Callable[[float], float]
    augment: tuple[Callable, ...] = ()
    spec: Spec | None = field(default=None, compare=False, repr=False)


@checked
def recipe(
    *,
    epochs: Count = 30,
    batch: Count = 128,
    optimiser: Literal["adam", "sgd"] = "adam",
    lr: Rate = 1e-3,
    momentum: Share = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    decayed: Literal["all", "conv"] = "all",
    schedule: Literal["constant", "steps", "cyclic", "cosine"] = "constant",
    drops: tuple[tuple[NonNegative, Positive], ...] = (),
    warmup: NonNegative = 0.0,
    augment: tuple[Augmented, ...] = (),
) -> Recipe:
    """A recipe of your own.

    Args:
        weight_decay: coupled (L2), as in all three papers.
        decayed: all weights, or only the kernels of convolutions (AR-AdaLS).
        schedule: constant; steps multiplies by each factor of ``drops``; cyclic rises linearly over the first 40 % of
            the epochs and falls to 0; cosine falls to 0.
        drops: (epoch, factor) pairs, each from that epoch on.
        warmup: epochs over which the rate rises linearly from 0.
        augment: augmentations by name, such as crop, flip or {"shift": {"fraction": 0.1}}.
    """
    if drops and schedule != "steps":
        raise InputError(f"drops belong to schedule='steps'; the schedule is {schedule!r}.")

    def rate(epoch: float) -> float:
        done = epoch / epochs
        if schedule == "steps":
            scale = 1.0
            for when, factor in drops:
                scale *= factor if epoch >= when else 1.0
        elif schedule == "cyclic":
            scale = done / 0.4 if done < 0.4 else (1 - done) / 0.6
        else:
            scale = 1.0 if schedule == "constant" else (1 + torch.tensor(done * torch.pi).cos().item()) / 2
        return lr * scale * (min(1.0, epoch / warmup) if warmup else 1.0)

    def make(net: nn.Module) -> torch.optim.Optimizer:
        groups = _groups(net, weight_decay, decayed)
        if optimiser == "adam":
            return torch.optim.Adam(groups, lr=lr)
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)

    return Recipe(epochs, batch, make, rate, augment)


@checked
def entm_mnist(*, epochs: Count = 40) -> Recipe:
    """EntM table 5, four-layer CNN on MNIST: SGD 0.01, ×0.1 at epoch 20, momentum 0.9, weight decay 1e-4, batch 128."""
    return recipe(
        epochs=epochs, optimiser="sgd", lr=0.01, weight_decay=1e-4, schedule="steps", drops=((epochs / 2, 0.1),)
    )


@checked
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


@checked
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


@checked
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


@checked
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


@checked
def uta_lenet(*, epochs: Count = 100, batch: Count = 128) -> Recipe:
    """UTA: Adam 1e-3, constant, 100 epochs for Fashion-MNIST. For MNIST, where the paper prints none, we take 50."""
    return recipe(epochs=epochs, batch=batch)


@checked
def uta_resnet18(*, epochs: Count = 200, lr: Rate = 0.1, batch: Count = 128) -> Recipe:
    """UTA, ResNet-18 on CIFAR-10: Nesterov SGD 0.1, divided by 15 after 60, 120, 160 of 200 epochs (appendix B.2).

    Weight decay, which the paper does not print: 5e-4, as in the code that it says it follows.
    """
    return _nesterov(epochs, lr, batch, "steps", tuple((when * epochs / 200, 1 / 15) for when in (60, 120, 160)))


@checked
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


def _groups(net: nn.Module, weight_decay: float, decayed: str) -> list[dict[str, Any]]:
    kernels = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d)}
    shrinks = [w for w in net.parameters() if decayed == "all" or id(w) in kernels]
    stays = [w for w in net.parameters() if not (decayed == "all" or id(w) in kernels)]
    groups = [{"params": shrinks, "weight_decay": weight_decay}, {"params": stays, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
