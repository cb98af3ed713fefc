"""The batches of a training: shuffled every epoch, augmented, stacked over members, mixed.

Each batch is a function of (seed, epoch, step, row), not of earlier draws, so a run can resume at any step.
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
from surefooted.errors import ArgumentError
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import LabelState
from surefooted.training.recipes import Recipe

# 31 bits, so that a seed, a step of the run and a process fit into one number (``pack_seed``).
Seed = Annotated[int, Field(ge=0, lt=2**31, description="whole number from 0")]
# The k-th augmentation of a recipe draws from the stream this many above k.
_AUGMENTATION_STREAM = 16


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of one process of a training, step by step.

    Attributes:
        images: the training images, on the device of the training.
        rank, world: index of this process and number of processes; each takes its share of every batch.

    Example:
        >>> import surefooted as sf
        >>> train = sf.digits(train_limit=64).train
        >>> batches = Batches(train, sf.methods.vanilla(), sf.recipe(batch=16), seed=0)
        >>> points, target = batches.make_batch(0, 0, batches.permutations(0), {})
        >>> points.x.shape, len(batches) == len(train) // 16
        (torch.Size([16, 1, 8, 8]), True)
    """

    images: Images
    method: Method
    recipe: Recipe
    seed: int
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Steps per epoch."""
        return steps_per_epoch(len(self.images), self.recipe.batch, self.world)

    def permutations(self, epoch: int) -> list[Int[Tensor, " n"]]:
        """The order of all images in an epoch; one per member if members have separate batches."""
        members = self.method.members if self.method.separate_batches else 1
        return [
            torch.randperm(len(self.images), generator=torch.Generator().manual_seed(torch_seed(self.seed, epoch, m)))
            for m in range(members)
        ]

    def make_batch(
        self, epoch: int, step: int, permutations: list[Int[Tensor, " n"]], labels: LabelState
    ) -> tuple[Points, Tensor]:
        """The points of a step and their targets.

        Args:
            permutations: those of the epoch.
            labels: state of the method's target.
        """
        classes, batches = len(self.images.classes), []
        for m, order in enumerate(permutations):
            index = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
            index = index[: len(index) // self.world * self.world][self.rank :: self.world]
            points = self._augment(self.images.points(index), epoch, m)
            batches.append((points, self.method.target.apply(labels, points, classes)))
        points, target = batches[0] if len(batches) == 1 else _stack_members(batches)
        if self.method.mix:
            seed = pack_seed(self.seed, epoch * len(self) + step, self.rank)
            points, target = self.method.mix(points, target, classes, seed)
        return points, target

    def _augment(self, points: Points, epoch: int, member: int) -> Points:
        seed = pack_seed(self.seed, 0, member)
        for k, augment in enumerate(self.recipe.augment):
            # A stream each: two augmentations of one recipe must not share their draws.
            noise = Noise(seed, points.rows, epoch, stream=_AUGMENTATION_STREAM + k)
            points = points._replace(x=augment(points, noise))
        return points


def total_steps(recipe: Recipe, examples: int) -> int:
    """Optimiser steps of a whole run.

    Example:
        >>> import surefooted as sf
        >>> total_steps(sf.recipe(epochs=3, batch=10), 95)
        30
    """
    return recipe.epochs * steps_per_epoch(examples, recipe.batch)


def steps_per_epoch(examples: int, batch: int, world: int = 1) -> int:
    """Steps per epoch; a last batch with less than two images per process is dropped, because batch norm needs two.

    Raises:
        ArgumentError: no batch has two images per process.

    Example:
        >>> steps_per_epoch(100, 10), steps_per_epoch(101, 10), steps_per_epoch(102, 10)
        (10, 10, 11)
    """
    if batch < 2 * world and world > 1:
        raise ArgumentError(
            f"Batch size {batch} is too small for {world} processes: batch norm needs at least two images per process. "
            "Increase `recipe.batch`."
        )
    if examples < 2 * world and world > 1:
        raise ArgumentError(
            f"{examples} training images are too few for {world} processes: batch norm needs at least two per process. "
            "Lower `devices`."
        )
    whole, left = divmod(examples, batch)
    return whole if 0 < left < 2 * world and whole else whole + (left > 0)


def pack_seed(seed: int, step: int, part: int = 0) -> int:
    """One 63-bit seed for a step of a run and a process or member."""
    return (seed & 0x7FFFFFFF) | (step & 0xFFFFFF) << 31 | (part & 0x7F) << 55


def _stack_members(batches: list[tuple[Points, Tensor]]) -> tuple[Points, Tensor]:
    """The members' batches as one, with a first axis of members."""
    points, targets = zip(*batches)
    return Points(*(torch.stack(column) for column in zip(*points))), torch.stack(targets)
