"""The batches of a training: rows in another order every epoch, augmented, those of members side by side, mixed.

Each is a function of (seed, epoch, step, row) and not of what was drawn before, so that a run can go on anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from surefooted.core.rng import Noise, torch_seed
from surefooted.core.types import Points
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import LabelState
from surefooted.training.recipes import Recipe

# 31 bits, so that a seed, a place in a run and a process fit one number (``seed_at``).
Seed = Annotated[int, Field(ge=0, lt=2**31, description="whole number from 0")]


@dataclass(frozen=True, eq=False)
class Batches:
    """What one process of a training is shown, step by step.

    Attributes:
        images: all that is trained on, on the device of the training.
        rank, world: which process of how many; each takes its share of every batch.
    """

    images: Images
    method: Method
    recipe: Recipe
    seed: int
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Steps of an epoch."""
        return steps_an_epoch(len(self.images), self.recipe.batch, self.world)

    def orders(self, epoch: int) -> list[Int[Tensor, " n"]]:
        """The order of all images in an epoch; where members are apart, one of each."""
        apart = self.method.members if self.method.apart else 1
        return [
            torch.randperm(len(self.images), generator=torch.Generator().manual_seed(torch_seed(self.seed, epoch, m)))
            for m in range(apart)
        ]

    def at(self, epoch: int, step: int, orders: list[Int[Tensor, " n"]], labels: LabelState) -> tuple[Points, Tensor]:
        """The points of a step and what they are trained towards.

        Args:
            orders: those of the epoch.
            labels: the state of the method's target.
        """
        classes, batches = len(self.images.classes), []
        for m, order in enumerate(orders):
            rows = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
            rows = rows[: len(rows) // self.world * self.world][self.rank :: self.world]
            points = self._augmented(self.images.points(rows), epoch, m)
            batches.append((points, self.method.target.apply(labels, points, classes)))
        points, target = batches[0] if len(batches) == 1 else _side_by_side(batches)
        if self.method.mix:
            when = epoch * len(self) + step
            points, target = self.method.mix(points, target, classes, seed_at(self.seed, when, self.rank))
        return points, target

    def _augmented(self, points: Points, epoch: int, member: int) -> Points:
        seed = seed_at(self.seed, 0, member)
        for k, augment in enumerate(self.recipe.augment):
            points = points._replace(x=augment(points, Noise(seed, points.rows, epoch, stream=16 + k)))
        return points


def steps_of(recipe: Recipe, examples: int) -> int:
    """Optimiser steps of a whole run."""
    return recipe.epochs * steps_an_epoch(examples, recipe.batch)


def steps_an_epoch(examples: int, batch: int, world: int = 1) -> int:
    """A last batch of less than two rows a process is left out: batch norm needs two."""
    if batch < 2 * world and world > 1:
        raise InputError(
            f"a batch of {batch} leaves {world} processes less than two images each; raise --recipe.batch."
        )
    whole, left = divmod(examples, batch)
    return whole if 0 < left < 2 * world and whole else whole + (left > 0)


def seed_at(seed: int, when: int, part: int = 0) -> int:
    """One 63-bit seed for a place in a run, and for a process or a member there."""
    return (seed & 0x7FFFFFFF) | (when & 0xFFFFFF) << 31 | (part & 0x7F) << 55


def _side_by_side(batches: list[tuple[Points, Tensor]]) -> tuple[Points, Tensor]:
    """The members' batches as one, members first."""
    points, targets = zip(*batches)
    return Points(*(torch.stack(column) for column in zip(*points))), torch.stack(targets)
