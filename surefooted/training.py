"""The one training loop, on Lightning Fabric: devices, precision and data-parallel strategy are its arguments.

Every draw is a function of (seed, epoch, step, row), so a run killed at any moment goes on from its last checkpoint to
the very weights of an uninterrupted run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from surefooted import metrics
from surefooted.checkpoint import Entry, Standing, restore, save
from surefooted.core import Points
from surefooted.data.images import Images, Splits
from surefooted.ensembles import Ensemble
from surefooted.errors import InputError
from surefooted.methods.base import Method
from surefooted.methods.due import check_bound
from surefooted.methods.targets import Levels
from surefooted.noise import Noise, torch_seed
from surefooted.prediction import predict
from surefooted.recipes import Recipe
from surefooted.recorders import Recorder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SECONDS_BETWEEN_CHECKPOINTS = 30.0
# Sets its draws apart from the order of the batches.
DROPOUT = 1
# Images whose robustness is looked for at once.
RANKED = 4096
# Images that a Gaussian process starts from.
STARTED_FROM = 1000
KEPT = "The last good checkpoint is kept; lower the rate (--recipe.lr) and train again."
# 31 bits, so that a seed, a place in a run and a process fit one number (``_mix``).
Seed = Annotated[int, Field(ge=0, lt=2**31, description="whole number from 0")]


def fit(
    method: Method,
    net: nn.Module,
    data: Splits,
    recipe: Recipe,
    *,
    seed: int = 0,
    levels: Levels | None = None,
    recorder: Recorder | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    tick: Callable[[int], None] | None = None,
) -> Standing:
    """Train ``net`` in place.

    Args:
        levels: the robustness level of every example, for methods that soften labels by it.
        recorder: watches the network as it learns.
        fabric: a launched Fabric; by default one CPU process.
        checkpoint: file to go on from, and to write after every epoch and every 30 seconds. No pickle.
        tick: told of every step taken, for a progress bar.

    Returns:
        Where the run stands at its end. ``history`` has one entry an epoch: mean training loss, learning rate,
        accuracy, NLL and ECE on the validation set, and the soft labels of methods that learn them; ``recorded`` is
        what the recorder saw.

    Raises:
        InputError: when the loss is no longer finite; the last good checkpoint stays.
    """
    fabric = fabric or _one_cpu()
    check_bound(method, net)
    _start(net, data.train, fabric.device)
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        return _run(method, net, data, recipe, seed, _levels(levels, method, data), recorder, fabric, checkpoint, tick)


def _run(
    method: Method,
    net: nn.Module,
    data: Splits,
    recipe: Recipe,
    seed: int,
    levels: Levels,
    recorder: Recorder | None,
    fabric: Fabric,
    checkpoint: Path | None,
    tick: Callable[[int], None] | None,
) -> Standing:
    device, rank, world = fabric.device, fabric.global_rank, fabric.world_size
    with fabric.autocast():
        mixed = torch.is_autocast_enabled(device.type)
    if mixed or device.type == "cpu":
        # What convolutions are fastest at, there: a LeNet's training step takes 0.6 of the time.
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs
    model, optimiser = fabric.setup(Outer(method, net), recipe.optimiser(net))
    train, validation = data.train.to(device), data.validation.to(device)
    at = Standing(target=method.target.init(levels.to(device)))
    if recorder:
        watched, at.recorded = recorder.init(data)
        watched = watched.to(device)
    if checkpoint and checkpoint.exists():
        restore(checkpoint, net, optimiser, at)
    starts = _starts(len(train), recipe.batch, world)
    saved = time.monotonic()
    apart = method.members if method.apart else 1
    for epoch in range(at.epoch, recipe.epochs):
        orders = [
            torch.randperm(len(train), generator=torch.Generator().manual_seed(torch_seed(seed, epoch, m)))
            for m in range(apart)
        ]
        if at.step == 0 and method.target.every and epoch % method.target.every == 0:
            at.target = method.target.ranked(at.target, _rank(method, net, data, device))
        if at.step == 0:
            at.losses = torch.zeros(len(starts), device=device)
        net.train()
        for step in range(at.step, len(starts)):
            when = epoch * len(starts) + step
            rate = recipe.rate(when / len(starts))
            if recorder and when % recorder.every == 0:
                at.recorded = recorder.look(at.recorded, net, watched, when)
            # For dropout alone: attacks and augmentations draw from streams of their own.
            torch.manual_seed(torch_seed(seed, when, rank, DROPOUT))
            batches = []
            for m, order in enumerate(orders):
                rows = order[starts[step] : starts[step] + recipe.batch]
                rows = rows[: len(rows) // world * world][rank::world]
                points = _augmented(train.points(rows), recipe, _mix(seed, 0, m), epoch)
                batches.append((points, method.target.apply(at.target, points, len(train.classes))))
            points, target = batches[0] if apart == 1 else _side_by_side(batches)
            if method.mix:
                points, target = method.mix(points, target, len(train.classes), _mix(seed, when, rank))
            attacked = method.within(recipe.share(when / len(starts))) if recipe.share else method
            with fabric.autocast():
                moved = attacked.move(net, points, target, seed=_mix(seed, when))
            loss = model(moved, points.x, target)
            at.losses[step] = cast(Tensor, fabric.all_reduce(loss.detach().clone(), reduce_op="mean"))
            # Reading the loss makes a GPU wait, so there it is read once in many steps.
            if device.type == "cpu" or step % 50 == 49 or step == len(starts) - 1:
                _check_finite(at.losses[: step + 1], epoch, rate)
            optimiser.zero_grad()
            fabric.backward(loss)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            at.step = step + 1
            if tick:
                tick(1)
            due = rank == 0 and time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
            # Were it not finite, the next steps would end the run in all processes: the last good checkpoint stays.
            if checkpoint and due and bool(at.losses[: step + 1].isfinite().all()) and _finite(net):
                save(checkpoint, net, optimiser, at)
                saved = time.monotonic()
        _agree(fabric, net)
        rate = recipe.rate(epoch + 1 - 1 / len(starts))
        _check_finite(at.losses, epoch, rate, net)
        at.history.append(_epoch_entry(method, net, validation, at, rate))
        at.epoch, at.step = epoch + 1, 0
        if checkpoint and rank == 0:
            save(checkpoint, net, optimiser, at)
            saved = time.monotonic()
    if recorder:
        at.recorded = recorder.look(at.recorded, net, watched, recipe.epochs * len(starts))
    return at


class Outer(nn.Module):
    """The outer minimisation as one module, so that data-parallel wrappers see one forward pass a step."""

    def __init__(self, method: Method, net: nn.Module) -> None:
        super().__init__()
        self.method, self.net = method, net

    def forward(self, x: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """The loss; of members that are apart, each has a slice of the batches."""
        if not self.method.apart:
            return self.method.objective(self.net, x, clean, target)
        assert isinstance(self.net, Ensemble)
        losses = [self.method.objective(*one) for one in zip(self.net.members, x, clean, target)]
        return torch.stack(losses).sum()


def _side_by_side(batches: list[tuple[Points, Tensor]]) -> tuple[Points, Tensor]:
    """The members' batches as one, members first."""
    points, targets = zip(*batches)
    return Points(*(torch.stack(column) for column in zip(*points))), torch.stack(targets)


def _augmented(points: Points, recipe: Recipe, seed: int, epoch: int) -> Points:
    for k, augment in enumerate(recipe.augment):
        points = points._replace(x=augment(points, Noise(seed, points.i, epoch, stream=16 + k)))
    return points


def steps_of(recipe: Recipe, examples: int) -> int:
    """Optimiser steps of a whole run."""
    return recipe.epochs * len(_starts(examples, recipe.batch))


def _epoch_entry(method: Method, net: nn.Module, validation: Images, at: Standing, rate: float) -> Entry:
    entry: Entry = {"epoch": at.epoch + 1, "loss": float(at.losses.mean()), "lr": rate}
    if len(validation):
        try:
            p = predict(net, validation)
        except InputError as error:
            raise InputError(f"after epoch {at.epoch + 1}, at learning rate {rate:g}: {error} {KEPT}") from None
        entry |= {name: getattr(metrics, name)(p) for name in ("accuracy", "nll", "ece")}
        at.target = method.target.refresh(at.target, p.log_p, Points(p.log_p, p.y, p.i))
        if "p" in at.target:
            entry["soft_labels"] = at.target["p"].tolist()
    return entry


def _levels(levels: Levels | None, method: Method, data: Splits) -> Levels:
    if method.target.learns and not len(data.validation):
        raise InputError(
            "this method learns its labels on the validation set, which is empty; set --data.validation 0.1."
        )
    if method.target.levels == 1:
        return Levels.single(data.train.rows, data.validation.rows)
    if method.target.every:  # ranked before the first step
        rows = data.train.rows, data.validation.rows
        return Levels.of(rows[0], rows[0].double(), rows[1], rows[1].double(), levels=method.target.levels)
    if levels is None:
        raise InputError("this method needs the robustness level of every example; train it through surefooted.train.")
    return levels


def _rank(method: Method, net: nn.Module, data: Splits, device: torch.device) -> Levels:
    """The robustness levels that the network in training gives the examples, by its own predictions."""
    attack = method.target.robustness
    assert attack is not None
    ranked: list[Tensor] = []
    for images in (data.train, data.validation):
        found = [attack(net, images.points(slice(a, a + RANKED), device)) for a in range(0, len(images), RANKED)]
        ranked += [images.rows, torch.cat([torch.where(f.found, f.size, torch.inf) for f in found]).cpu()]
    return Levels.of(*ranked, levels=method.target.levels).to(device)


def _start(net: nn.Module, train: Images, device: torch.device) -> None:
    """What networks learn from the training images before the first step; a checkpoint that is read later prevails."""
    from surefooted.nets.due import Due
    from surefooted.nets.normalise import Normalise

    for module in net.modules():
        if isinstance(module, Normalise) and module.how != "none":
            module.fit(train.points().x)
    for module in net.modules():
        if isinstance(module, Due):
            some = torch.arange(len(train))[:: -(-len(train) // STARTED_FROM)]
            module.to(device).start(train.points(some).x, len(train))


def _starts(examples: int, batch: int, world: int = 1) -> range:
    """First rows of the batches. A last batch of less than two rows a process is left out: batch norm needs two."""
    if batch < 2 * world and world > 1:
        raise InputError(
            f"a batch of {batch} leaves {world} processes less than two images each; raise --recipe.batch."
        )
    left = examples % batch
    return range(0, examples - left if 0 < left < 2 * world and left < examples else examples, batch)


def _check_finite(losses: Tensor, epoch: int, rate: float, net: nn.Module | None = None) -> None:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        seen = f"the loss became {float(losses[bad[0]])} in epoch {epoch + 1}, step {int(bad[0]) + 1}"
    elif net is not None and not _finite(net):
        seen = f"weights became infinite or NaN in epoch {epoch + 1}, by step {len(losses)}"
    else:
        return
    raise InputError(f"{seen}, at learning rate {rate:g}. {KEPT}")


def _finite(net: nn.Module) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in net.state_dict().values())


def _agree(fabric: Fabric, net: nn.Module) -> None:
    """Batch-norm statistics differ by process; those of the first are everybody's."""
    if fabric.world_size > 1:
        for buffer in net.buffers():
            torch.distributed.broadcast(buffer, 0)


def _one_cpu() -> Fabric:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def _mix(seed: int, when: int, rank: int = 0) -> int:
    """One 63-bit number for a place in a run."""
    return (seed & 0x7FFFFFFF) | (when & 0xFFFFFF) << 31 | (rank & 0x7F) << 55
