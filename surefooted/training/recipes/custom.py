"""A recipe from its parts: optimiser, schedule and augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PlainValidator
from torch import nn

from surefooted.components.component import Count, NonNegative, Positive, Share, Spec, Whole, component
from surefooted.components.spec import build
from surefooted.data.augment import Augmentation
from surefooted.errors import ArgumentError
from surefooted.training.recipes.base import Averaging, LabelNoise, Recipe
from surefooted.training.recipes.schedules import OwnSchedule, one_cycle, read_schedule

# Arguments that came after results were stored: at their defaults they stay out of the keys.
ADDED = ("rise", "clip_norm", "average", "ema_decay", "swa_begin", "label_noise", "label_noise_seed")


def _build_augmentation(given: Any) -> Augmentation:
    augmentation: Augmentation = build("augmentation", given) if isinstance(given, str | Mapping) else given
    if not isinstance(getattr(augmentation, "spec", None), Spec):
        raise ValueError("expected the name of an augmentation, {name: arguments}, or what its function returns")
    return augmentation


_AugmentationArgument = Annotated[Any, PlainValidator(_build_augmentation), Field(description="augmentation")]

# Above the limit, products in optimisers leave the range of floats.
LearningRate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, description="number above 0")]
_Schedule = Annotated[
    Any,
    PlainValidator(read_schedule),
    Field(description="constant | steps | cyclic | cosine | onecycle | MODULE:FUNCTION"),
]
# Open at both ends: a rise of all steps leaves none to fall, and a decay of 1 never moves.
_OpenShare = Annotated[float, Field(gt=0, lt=1, description="number between 0 and 1")]
_Begin = Annotated[float, Field(ge=0, lt=1, description="number from 0, below 1")]
# Steps at which one cycle is as good as continuous: the learning rate at a time does not know the steps of an epoch.
_FINE = 10**6


@component
def recipe(
    *,
    epochs: Count = 30,
    batch: Count = 128,
    optimiser: Literal["adam", "adamw", "sgd"] = "adam",
    lr: LearningRate = 1e-3,
    momentum: Share = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    decayed: Literal["all", "conv"] = "all",
    schedule: _Schedule = "constant",
    drops: tuple[tuple[NonNegative, Positive], ...] = (),
    warmup: NonNegative = 0.0,
    augment: tuple[_AugmentationArgument, ...] = (),
    rise: _OpenShare = 0.3,
    clip_norm: Positive | None = None,
    average: Literal["none", "ema", "swa"] = "none",
    ema_decay: _OpenShare = 0.999,
    swa_begin: _Begin = 0.75,
    label_noise: Share = 0.0,
    label_noise_seed: Whole = 0,
) -> Recipe:
    """Custom recipe: optimiser, schedule and augmentation.

    Args:
        epochs: number of passes over the training set.
        batch: examples per step.
        optimiser: adam, adamw or sgd.
        lr: peak learning rate.
        momentum: momentum of SGD.
        nesterov: Nesterov momentum, for SGD.
        weight_decay: coupled weight decay (L2), as in all three papers; decoupled with adamw.
        decayed: which weights decay: all, or the kernels of convolutions only (AR-AdaLS).
        schedule: constant; steps multiplies by each factor of ``drops``; cyclic rises linearly over the first 40 % of
            the epochs and falls to 0; cosine falls to 0; onecycle is ``torch.optim.lr_scheduler.OneCycleLR`` with its
            defaults, which also moves the momentum between 0.85 and 0.95. Or a function, ``module:function``, from the
            share of the training that is done, in [0, 1), to the factor of ``lr``.
        drops: (epoch, factor) pairs; each factor holds from its epoch on.
        warmup: epochs over which the learning rate rises linearly from 0.
        augment: augmentations by name, such as crop, flip or {"shift": {"fraction": 0.1}}.
        rise: with onecycle, the share of the steps over which the learning rate rises.
        clip_norm: largest L2 norm of the gradient of all weights together; a larger gradient is scaled to it.
        average: average of the weights that is evaluated and returned: ema, their exponential moving average over all
            steps; swa, their mean over the ends of the last epochs, with the statistics of batch norm taken anew from
            the training images.
        ema_decay: decay of the moving average per step.
        swa_begin: share of the epochs after which SWA begins to average.
        label_noise: probability that a training label is replaced by another class, each alike. Validation and test
            labels are as they are.
        label_noise_seed: of the replaced labels; other seeds of a training have the same ones.

    Raises:
        ArgumentError: arguments that do not go together, such as drops without schedule="steps".

    Example:
        >>> import surefooted as sf
        >>> halved = sf.recipe(epochs=4, lr=0.5, schedule="steps", drops=((2, 0.5),))
        >>> [halved.learning_rate(epoch) for epoch in range(4)]
        [0.5, 0.5, 0.25, 0.25]
        >>> sf.recipe(optimiser="adamw", schedule="onecycle", average="ema", clip_norm=1.0).averaging.kind
        'ema'

    Reference:
        Loshchilov and Hutter, *Decoupled weight decay regularization*, ICLR 2019 (adamw). Smith and Topin,
        *Super-convergence*, 2018 (onecycle). Izmailov et al., *Averaging weights leads to wider optima and better
        generalization*, UAI 2018 (swa).
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

    if schedule == "onecycle" and (warmup or momentum != 0.9):
        raise ArgumentError(
            "recipe: schedule='onecycle' has a warmup and a momentum of its own; leave out warmup and momentum."
        )
    for option, value, default, needed in (
        ("rise", rise, 0.3, schedule == "onecycle"),
        ("ema_decay", ema_decay, 0.999, average == "ema"),
        ("swa_begin", swa_begin, 0.75, average == "swa"),
        ("label_noise_seed", label_noise_seed, 0, label_noise > 0),
    ):
        if value != default and not needed:
            cure = {"rise": "schedule='onecycle'", "label_noise_seed": "label_noise above 0"}
            raise ArgumentError(
                f"recipe: {option} is {value:g}, but it needs {cure.get(option, f'average={option[:3]!r}')}."
            )

    def learning_rate(epoch: float) -> float:
        progress = epoch / epochs
        if isinstance(schedule, OwnSchedule):
            scale = schedule(progress)
        elif schedule == "onecycle":
            return float(one_cycle(lr, rise, "lr")(progress * _FINE, _FINE)["lr"])
        elif schedule == "steps":
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
        if optimiser == "sgd":
            return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
        return (torch.optim.AdamW if optimiser == "adamw" else torch.optim.Adam)(groups, lr=lr)

    settings: Callable[[int, int], dict[str, Any]] | None = None
    if schedule == "onecycle":
        settings = one_cycle(lr, rise, "momentum" if optimiser == "sgd" else "betas")
    averaging = {"ema": Averaging("ema", decay=ema_decay), "swa": Averaging("swa", begin=swa_begin)}.get(average)
    return Recipe(
        epochs,
        batch,
        make_optimiser,
        learning_rate,
        augment,
        settings=settings,
        clip_norm=clip_norm,
        averaging=averaging,
        label_noise=LabelNoise(label_noise, label_noise_seed) if label_noise else None,
    )


def _parameter_groups(net: nn.Module, weight_decay: float, decayed: str) -> list[dict[str, Any]]:
    kernels = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d)}
    with_decay = [w for w in net.parameters() if decayed == "all" or id(w) in kernels]
    without = [w for w in net.parameters() if not (decayed == "all" or id(w) in kernels)]
    groups = [{"params": with_decay, "weight_decay": weight_decay}, {"params": without, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
