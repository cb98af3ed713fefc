"""A recipe from its parts: optimiser, schedule and augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PlainValidator
from torch import nn

from surefooted.components.component import Count, NonNegative, Positive, Share, Spec, component
from surefooted.components.spec import build
from surefooted.data.augment import Augmentation
from surefooted.errors import ArgumentError
from surefooted.training.recipes.base import Recipe


def _build_augmentation(given: Any) -> Augmentation:
    augmentation: Augmentation = build("augmentation", given) if isinstance(given, str | Mapping) else given
    if not isinstance(getattr(augmentation, "spec", None), Spec):
        raise ValueError("expected the name of an augmentation, {name: arguments}, or what its function returns")
    return augmentation


_AugmentationArgument = Annotated[Any, PlainValidator(_build_augmentation), Field(description="augmentation")]

# Above the limit, products in optimisers leave the range of floats.
LearningRate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, description="number above 0")]


@component
def recipe(
    *,
    epochs: Count = 30,
    batch: Count = 128,
    optimiser: Literal["adam", "sgd"] = "adam",
    lr: LearningRate = 1e-3,
    momentum: Share = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    decayed: Literal["all", "conv"] = "all",
    schedule: Literal["constant", "steps", "cyclic", "cosine"] = "constant",
    drops: tuple[tuple[NonNegative, Positive], ...] = (),
    warmup: NonNegative = 0.0,
    augment: tuple[_AugmentationArgument, ...] = (),
) -> Recipe:
    """Custom recipe: optimiser, schedule and augmentation.

    Args:
        epochs: number of passes over the training set.
        batch: examples per step.
        optimiser: adam or sgd.
        lr: peak learning rate.
        momentum: momentum of SGD.
        nesterov: Nesterov momentum, for SGD.
        weight_decay: coupled weight decay (L2), as in all three papers.
        decayed: which weights decay: all, or the kernels of convolutions only (AR-AdaLS).
        schedule: constant; steps multiplies by each factor of ``drops``; cyclic rises linearly over the first 40 % of
            the epochs and falls to 0; cosine falls to 0.
        drops: (epoch, factor) pairs; each factor holds from its epoch on.
        warmup: epochs over which the learning rate rises linearly from 0.
        augment: augmentations by name, such as crop, flip or {"shift": {"fraction": 0.1}}.

    Raises:
        ArgumentError: arguments that do not go together, such as drops without schedule="steps".

    Example:
        >>> import surefooted as sf
        >>> halved = sf.recipe(epochs=4, lr=0.5, schedule="steps", drops=((2, 0.5),))
        >>> [halved.learning_rate(epoch) for epoch in range(4)]
        [0.5, 0.5, 0.25, 0.25]
    """
    if drops and schedule != "steps":
        raise ArgumentError(f"recipe: drops need schedule='steps', but the schedule is {schedule!r}.")
    if schedule == "steps" and not drops:
        raise ArgumentError("recipe: schedule='steps' needs drops, such as ((60, 0.1), (80, 0.1)).")
    if warmup > epochs:
        raise ArgumentError(
            f"recipe: a warmup of {warmup:g} epochs is longer than the training of {epochs}. Use a shorter warmup or "
            "more epochs."
        )
    if nesterov and (optimiser != "sgd" or momentum == 0):
        raise ArgumentError(
            f"recipe: nesterov needs optimiser='sgd' and a momentum above 0; got {optimiser!r}, momentum {momentum:g}."
        )

    def learning_rate(epoch: float) -> float:
        progress = epoch / epochs
        if schedule == "steps":
            scale = 1.0
            for begin, factor in drops:
                scale *= factor if epoch >= begin else 1.0
        elif schedule == "cyclic":
            scale = progress / 0.4 if progress < 0.4 else (1 - progress) / 0.6
        else:
            scale = 1.0 if schedule == "constant" else (1 + torch.tensor(progress * torch.pi).cos().item()) / 2
        return lr * scale * (min(1.0, epoch / warmup) if warmup else 1.0)

    def make_optimiser(net: nn.Module) -> torch.optim.Optimizer:
        groups = _parameter_groups(net, weight_decay, decayed)
        if optimiser == "adam":
            return torch.optim.Adam(groups, lr=lr)
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)

    return Recipe(epochs, batch, make_optimiser, learning_rate, augment)


def _parameter_groups(net: nn.Module, weight_decay: float, decayed: str) -> list[dict[str, Any]]:
    kernels = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d)}
    with_decay = [w for w in net.parameters() if decayed == "all" or id(w) in kernels]
    without = [w for w in net.parameters() if not (decayed == "all" or id(w) in kernels)]
    groups = [{"params": with_decay, "weight_decay": weight_decay}, {"params": without, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
