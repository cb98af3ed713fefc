"""The one training loop, on Lightning Fabric: device, precision and data-parallel processes are its arguments.

Every draw is a function of (seed, epoch, step, row), so a run killed at any moment goes on from its last checkpoint to
the very weights of an uninterrupted run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from surefooted.core.rng import torch_seed
from surefooted.core.types import Points
from surefooted.data.images import Splits
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.models.ensembles import Ensemble
from surefooted.models.prediction import predict
from surefooted.training.batches import Batches, seed_at
from surefooted.training.checkpoint import Entry, TrainState, restore, save
from surefooted.training.methods.base import Method
from surefooted.training.methods.due import check_bound
from surefooted.training.methods.targets import Levels
from surefooted.training.recipes import Recipe
from surefooted.training.recorders import Recorder
from surefooted.training.setup import first_levels, own_levels, start_from, to_memory_format

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SECONDS_BETWEEN_CHECKPOINTS = 30.0
# Sets its draws apart from the order of the batches.
DROPOUT = 1
KEPT = "The last good checkpoint is kept; lower the rate (--recipe.lr) and train again."


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
) -> TrainState:
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
    start_from(net, data.train, fabric.device)
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        levels = first_levels(method, data, levels)
        return _Run(method, net, data, recipe, seed, levels, fabric, recorder, checkpoint, tick).finish()


@dataclass(eq=False)
class _Run:
    """A training on its way. All that changes is in the network, the optimiser and ``at``, as in a checkpoint."""

    method: Method
    net: nn.Module
    data: Splits
    recipe: Recipe
    seed: int
    levels: Levels
    fabric: Fabric
    recorder: Recorder | None
    checkpoint: Path | None
    tick: Callable[[int], None] | None

    def __post_init__(self) -> None:
        fabric, device = self.fabric, self.fabric.device
        with fabric.autocast():
            mixed = torch.is_autocast_enabled(device.type)
        to_memory_format(self.net, device, mixed=mixed)
        self.model, self.optimiser = fabric.setup(Outer(self.method, self.net), self.recipe.optimiser(self.net))
        train = self.data.train.to(device)
        self.batches = Batches(train, self.method, self.recipe, self.seed, fabric.global_rank, fabric.world_size)
        self.validation = self.data.validation.to(device)
        self.at = TrainState(target=self.method.target.init(self.levels.to(device)))
        if self.recorder:
            watched, self.at.recorded = self.recorder.init(self.data)
            self.watched = watched.to(device)
        if self.checkpoint and self.checkpoint.exists():
            restore(self.checkpoint, self.net, self.optimiser, self.at)
            if self.at.step and (begun := len(self.at.losses)) != (steps := len(self.batches)):
                raise InputError(
                    f"this training stopped within an epoch of {begun} steps, and {fabric.world_size} processes would "
                    f"have {steps}; go on with as many --devices as before, or delete {self.checkpoint}."
                )
        self.saved = time.monotonic()

    def finish(self) -> TrainState:
        """From where the run stands to its end."""
        while self.at.epoch < self.recipe.epochs:
            self._epoch()
        if self.recorder:
            self._look(self.recorder, self.recipe.epochs * len(self.batches))
        return self.at

    def _epoch(self) -> None:
        """What is left of an epoch."""
        at, fabric, target, steps = self.at, self.fabric, self.method.target, len(self.batches)
        orders = self.batches.orders(at.epoch)
        if at.step == 0:
            if target.every and at.epoch % target.every == 0:
                levels = own_levels(self.method, self.net, self.data, fabric.device)
                at.target = target.ranked(at.target, levels)
            at.losses = torch.zeros(steps, device=fabric.device)
        self.net.train()
        while at.step < steps:
            self._step(orders)
            if self.tick:
                self.tick(1)
            due = self.checkpoint and time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS
            # Were it not finite, the next steps would end the run in all processes: the last good checkpoint stays.
            if due and fabric.global_rank == 0 and bool(at.losses[: at.step].isfinite().all()) and _finite(self.net):
                self._save()
        _agree(fabric, self.net)
        rate = self.recipe.rate(at.epoch + 1 - 1 / steps)
        _check_finite(at.losses, at.epoch, rate, self.net)
        at.history.append(self._entry(rate))
        at.epoch, at.step = at.epoch + 1, 0
        self._save()

    def _step(self, orders: list[Tensor]) -> None:
        at, fabric, steps = self.at, self.fabric, len(self.batches)
        when = at.epoch * steps + at.step
        rate = self.recipe.rate(when / steps)
        if self.recorder and when % self.recorder.every == 0:
            self._look(self.recorder, when)
        # For dropout alone: attacks and augmentations draw from streams of their own.
        torch.manual_seed(torch_seed(self.seed, when, fabric.global_rank, DROPOUT))
        points, target = self.batches.at(at.epoch, at.step, orders, at.target)
        attacked = self.method.within(self.recipe.share(when / steps)) if self.recipe.share else self.method
        with fabric.autocast():
            moved = attacked.move(self.net, points, target, seed=seed_at(self.seed, when))
        loss = self.model(moved, points.x, target)
        at.losses[at.step] = cast(Tensor, fabric.all_reduce(loss.detach().clone(), reduce_op="mean"))
        # Reading the loss makes a GPU wait, so there it is read once in many steps.
        if fabric.device.type == "cpu" or at.step % 50 == 49 or at.step == steps - 1:
            _check_finite(at.losses[: at.step + 1], at.epoch, rate)
        self.optimiser.zero_grad()
        fabric.backward(loss)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        at.step += 1

    def _look(self, recorder: Recorder, when: int) -> None:
        self.at.recorded = recorder.look(self.at.recorded, self.net, self.watched, when)

    def _entry(self, rate: float) -> Entry:
        """The epoch in the history; labels that are learnt are learnt here, from the same predictions."""
        at = self.at
        entry: Entry = {"epoch": at.epoch + 1, "loss": float(at.losses.mean()), "lr": rate}
        if len(self.validation):
            try:
                p = predict(self.net, self.validation)
            except InputError as error:
                raise InputError(f"after epoch {at.epoch + 1}, at learning rate {rate:g}: {error} {KEPT}") from None
            entry |= {name: getattr(metrics, name)(p) for name in ("accuracy", "nll", "ece")}
            at.target = self.method.target.refresh(at.target, p.log_p, Points(p.log_p, p.y, p.rows))
            if "p" in at.target:
                entry["soft_labels"] = at.target["p"].tolist()
        return entry

    def _save(self) -> None:
        if self.checkpoint and self.fabric.global_rank == 0:
            save(self.checkpoint, self.net, self.optimiser, self.at)
            self.saved = time.monotonic()


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
