"""A recipe of your own: optimiser, schedule and augmentation; and an ε that grows while a network trains."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PlainValidator
from torch import nn

from surefooted.components.component import Component, Count, NonNegative, Positive, Share, Spec, component
from surefooted.components.spec import build
from surefooted.errors import InputError


def _augmentation(given: Any) -> Callable:
    made = build("augmentation", given) if isinstance(given, str | Mapping) else given
    if not isinstance(getattr(made, "spec", None), Spec):
        raise ValueError("expected the name of an augmentation, {name: arguments}, or what its function returns")
    return made


Augmented = Annotated[Any, PlainValidator(_augmentation), Field(description="augmentation")]


# Above it the products in optimisers leave the range of floats.
Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, description="number above 0")]


@dataclass(frozen=True)
class Recipe(Component):
    """How the outer minimisation runs.

    Attributes:
        rate: the learning rate at a point of time, counted in epochs.
        share: of the attack's ε that is attacked with, likewise; None for all of it.
    """

    kind = "recipe"

    epochs: int
    batch: int
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    rate: Callable[[float], float]
    augment: tuple[Callable, ...] = ()
    share: Callable[[float], float] | None = None
    spec: Spec | None = field(default=None, compare=False, repr=False)


@component
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
    if schedule == "steps" and not drops:
        raise InputError("schedule='steps' has no steps; give drops, such as ((60, 0.1), (80, 0.1)).")
    if warmup > epochs:
        raise InputError(f"warmup takes {warmup:g} epochs of {epochs}; make it shorter, or train longer.")
    if nesterov and (optimiser != "sgd" or momentum == 0):
        raise InputError(f"nesterov is for optimiser='sgd' with momentum; got {optimiser!r}, momentum {momentum:g}.")

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


@component
def growing_eps(*, of: Recipe = recipe(), shares: tuple[tuple[NonNegative, Share], ...] = ((0, 0), (5, 1))) -> Recipe:  # noqa: B008
    """Adversarial training whose ε grows: any recipe, with the attack's ball smaller at first. Steps keep their size.

    Methods without an attack are trained as by the recipe alone.

    Args:
        of: the recipe.
        shares: (epoch, share of ε) pairs, linear in between; the first share holds before its epoch, the last after.

    Raises:
        InputError: where epochs do not rise, shares shrink, or the last one is not 1 or not reached.
    """
    epochs, sizes = [when for when, _ in shares], [share for _, share in shares]
    for name, seen, falls in (
        ("epochs do not rise", epochs, any(b <= a for a, b in pairwise(epochs))),
        ("the share of ε shrinks", sizes, any(b < a for a, b in pairwise(sizes))),
    ):
        if falls:
            raise InputError(
                f"growing_eps: {name} ({', '.join(f'{v:g}' for v in seen)}); what was learnt would be unlearnt "
                "in a smaller ball. Give (epoch, share) pairs that rise, such as [[0, 0.25], [10, 1]]."
            )
    if not sizes or sizes[-1] != 1 or epochs[-1] >= of.epochs:
        end = f"ends at {sizes[-1]:g} of ε in epoch {epochs[-1]:g}" if sizes else "is empty"
        raise InputError(
            f"growing_eps: the schedule {end}; end at 1 before the last of {of.epochs} epochs, or give the method a "
            "smaller eps."
        )

    def share(epoch: float) -> float:
        at = bisect_right(epochs, epoch)
        if at in (0, len(epochs)):
            return sizes[max(at - 1, 0)]
        (a, b), (low, high) = epochs[at - 1 : at + 1], sizes[at - 1 : at + 1]
        return low + (high - low) * (epoch - a) / (b - a)

    return replace(of, share=share)


def _groups(net: nn.Module, weight_decay: float, decayed: str) -> list[dict[str, Any]]:
    kernels = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d)}
    shrinks = [w for w in net.parameters() if decayed == "all" or id(w) in kernels]
    stays = [w for w in net.parameters() if not (decayed == "all" or id(w) in kernels)]
    groups = [{"params": shrinks, "weight_decay": weight_decay}, {"params": stays, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
