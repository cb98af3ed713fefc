"""The training loop, on Lightning Fabric: device, precision and data-parallel processes are its arguments.

Every random draw is a function of (seed, epoch, step, row), so a run that is killed at any moment resumes from its last
checkpoint and ends with the weights of an uninterrupted run, bit for bit.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from surefooted.core.rng import torch_seed
from surefooted.core.types import Points
from surefooted.data.images import Splits
from surefooted.errors import ArgumentError, InputError, ModelError, NonFiniteOutput, StoreError
from surefooted.evaluation import metrics
from surefooted.models.ensembles import Ensemble
from surefooted.models.guard import model_errors
from surefooted.models.prediction import predict
from surefooted.models.victims import as_victim, check_initialised
from surefooted.training.averaging import WeightAverage, check_averages
from surefooted.training.batches import Batches, pack_seed
from surefooted.training.checkpoint import HistoryEntry, TrainState, load_checkpoint, save_checkpoint
from surefooted.training.methods.base import Method
from surefooted.training.methods.due import check_gaussian_process
from surefooted.training.methods.targets import RobustnessLevels
from surefooted.training.recipes import Recipe
from surefooted.training.recorders import Recorder
from surefooted.training.setup import (
    check_smallest_batch,
    current_levels,
    initial_levels,
    initialise_from_data,
    to_memory_format,
    with_label_noise,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SECONDS_BETWEEN_CHECKPOINTS = 30.0
# Separates the draws of dropout from the permutation of an epoch.
_DROPOUT_STREAM = 1
# Reading the loss makes a GPU wait, so there it is checked once in this many steps.
_STEPS_BETWEEN_LOSS_CHECKS = 50
_DIVERGENCE_HINT = "The last good checkpoint is kept. Lower the learning rate (`recipe.lr`) and train again."


def fit(
    method: Method,
    net: nn.Module,
    data: Splits,
    recipe: Recipe,
    *,
    seed: int = 0,
    levels: RobustnessLevels | None = None,
    recorder: Recorder | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    tick: Callable[[int], None] | None = None,
    on_epoch: Callable[[HistoryEntry], None] | None = None,
) -> TrainState:
    """Train ``net`` in place.

    Args:
        method: how the network is trained.
        net: network from pixels in [0, 1] to logits; an ``Ensemble`` for a method with several members.
        data: the splits; the test set is read by a recorder only.
        recipe: optimiser, schedule and augmentation.
        seed: keys every random draw.
        levels: robustness level of every example, for methods that soften labels by it.
        recorder: records a quantity of the network during training.
        fabric: a launched Fabric; by default one process on the CPU.
        checkpoint: file to resume from, written after every epoch and every 30 seconds. Nothing is pickled.
        tick: called with 1 after every step, for a progress bar.
        on_epoch: called with the history entry of every epoch once its checkpoint is written; first with the entries
            that the checkpoint holds.

    Returns:
        The state at the end of the run. ``history`` has one entry per epoch: mean training loss, learning rate,
        accuracy, NLL and ECE on the validation set, and the soft labels of methods that learn them. ``recorded`` is
        what the recorder recorded. With weight averaging, ``net`` and the metrics are the average's.

    Raises:
        InputError: the loss is no longer finite (the last good checkpoint is kept), or the arguments do not go
            together.
        ModelError: the network has nothing to train, or its forward or backward pass fails.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.training.loop import fit
        >>> data = sf.digits(train_limit=64, validation=0.5)
        >>> state = fit(sf.methods.vanilla(), sf.nets.mlp((1, 8, 8), 10, width=4), data, sf.recipe(epochs=2, batch=32))
        >>> [entry["epoch"] for entry in state.history], sorted(state.history[0])
        ([1, 2], ['accuracy', 'ece', 'epoch', 'loss', 'lr', 'nll'])
    """
    fabric = fabric or _cpu_fabric()
    check_gaussian_process(method, net)
    check_averages(net, recipe.averaging)
    check_initialised(as_victim(net))
    if not any(weight.requires_grad for weight in net.parameters()):
        raise ModelError("The network has no weight to train: it has no parameters, or none with requires_grad.")
    check_smallest_batch(net, len(data.train), recipe.batch, data.train.shape)
    initialise_from_data(net, data.train, fabric.device)
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        run = _Run(
            method=method,
            net=net,
            data=data,
            recipe=recipe,
            seed=seed,
            levels=initial_levels(method, data, levels),
            fabric=fabric,
            recorder=recorder,
            checkpoint=checkpoint,
            tick=tick,
            on_epoch=on_epoch if fabric.global_rank == 0 else None,
        )
        return run.finish()


class OuterLoss(nn.Module):
    """The outer loss as one module, so that data-parallel wrappers see one forward pass per step."""

    def __init__(self, method: Method, net: nn.Module) -> None:
        super().__init__()
        self.method, self.net = method, net

    def forward(self, perturbed: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch; with separate batches, the sum over members, which are the first axis."""
        if not self.method.separate_batches:
            return self.method.outer_loss(self.net, perturbed, clean, target)
        assert isinstance(self.net, Ensemble)
        losses = [self.method.outer_loss(*one) for one in zip(self.net.members, perturbed, clean, target)]
        return torch.stack(losses).sum()


@dataclass(eq=False, kw_only=True)
class _Run:
    """A training in progress. All that changes is in the network, the optimiser and ``state``, as in a checkpoint."""

    method: Method
    net: nn.Module
    data: Splits
    recipe: Recipe
    seed: int
    levels: RobustnessLevels
    fabric: Fabric
    recorder: Recorder | None
    checkpoint: Path | None
    tick: Callable[[int], None] | None
    on_epoch: Callable[[HistoryEntry], None] | None

    def __post_init__(self) -> None:
        fabric, device = self.fabric, self.fabric.device
        with fabric.autocast():
            mixed = torch.is_autocast_enabled(device.type)
        to_memory_format(self.net, device, mixed=mixed)
        self.model, self.optimiser = fabric.setup(OuterLoss(self.method, self.net), self.recipe.optimiser(self.net))
        averaging, noise = self.recipe.averaging, self.recipe.label_noise
        self.average = WeightAverage(self.net, averaging, self.recipe.epochs) if averaging else None
        train = self.data.train.to(device)
        if noise:
            train = with_label_noise(train, noise)
        self.batches = Batches(train, self.method, self.recipe, self.seed, fabric.global_rank, fabric.world_size)
        self.validation = self.data.validation.to(device)
        self.state = TrainState(labels=self.method.target.init(self.levels.to(device)))
        if self.recorder:
            points, self.state.recorded = self.recorder.init(self.data)
            self.recorder_points = points.to(device)
        if self.checkpoint and self.checkpoint.exists():
            self._resume(self.checkpoint)
        self.saved_at = time.monotonic()

    def finish(self) -> TrainState:
        """Train from the current state to the end."""
        for entry in self.state.history if self.on_epoch else ():
            self.on_epoch(entry)  # type: ignore[misc]  # there is one
        while self.state.epoch < self.recipe.epochs:
            self._train_epoch()
        if self.recorder and self.recorder.interval:
            self._record(self.recorder, self.recipe.epochs * len(self.batches))
        if self.average:
            self.net.load_state_dict(self.average.net.state_dict())
        return self.state

    @property
    def _evaluated(self) -> nn.Module:
        """The network that would be returned now."""
        return self.average.net if self.average else self.net

    def _resume(self, checkpoint: Path) -> None:
        average = self.average.model if self.average else None
        load_checkpoint(checkpoint, self.net, self.optimiser, self.state, average)
        before, now = len(self.state.losses), len(self.batches)
        if self.state.step and before != now:
            raise StoreError(
                f"Cannot resume within an epoch with a different number of devices ({before} steps per epoch before, "
                f"{now} with {self.fabric.world_size} processes). Use the same number of `devices` as before, or "
                f"delete {checkpoint}."
            )

    def _train_epoch(self) -> None:
        """Train the rest of the current epoch."""
        state, steps = self.state, len(self.batches)
        permutations = self.batches.permutations(state.epoch)
        if state.step == 0:
            ranking = self.method.target.ranking
            if ranking and ranking.every and state.epoch % ranking.every == 0:
                levels = current_levels(self.method, self.net, self.data, self.fabric.device)
                state.labels = self.method.target.rerank(state.labels, levels)
            state.losses = torch.zeros(steps, device=self.fabric.device)
        _set_training(self.net)
        while state.step < steps:
            self._train_step(permutations)
            if self.tick:
                self.tick(1)
            if self._is_checkpoint_due():
                self._save_checkpoint()
        _sync_buffers(self.fabric, self.net)
        if self.recipe.settings:
            rate = self.recipe.settings_at((state.epoch + 1) * steps - 1, steps)["lr"]
        else:
            rate = self.recipe.learning_rate(state.epoch + 1 - 1 / steps)
        _check_finite(state.losses, state.epoch, rate, self.net)
        if self.average:
            self.average.after_epoch(state.epoch + 1, self.batches.images, self.recipe.batch, self.seed)
        if self.recorder and not self.recorder.interval:
            self._record(self.recorder, (state.epoch + 1) * steps)
        state.history.append(self._history_entry(rate))
        state.epoch, state.step = state.epoch + 1, 0
        self._save_checkpoint()
        if self.on_epoch:
            self.on_epoch(state.history[-1])

    def _train_step(self, permutations: list[Tensor]) -> None:
        state, fabric, steps = self.state, self.fabric, len(self.batches)
        step = state.epoch * steps + state.step  # of the whole run
        settings = self.recipe.settings_at(step, steps)
        if self.recorder and self.recorder.interval and step % self.recorder.interval == 0:
            self._record(self.recorder, step)
        # For dropout only: attacks and augmentations draw from their own streams.
        torch.manual_seed(torch_seed(self.seed, step, fabric.global_rank, _DROPOUT_STREAM))
        points, target = self.batches.make_batch(state.epoch, state.step, permutations, state.labels)
        share = self.recipe.eps_share
        method = self.method.scale_eps(share(step / steps)) if share else self.method
        with fabric.autocast():
            perturbed = method.perturb_points(self.net, points, target, seed=pack_seed(self.seed, step))
        loss = self.model(perturbed, points.x, target)
        state.losses[state.step] = cast(Tensor, fabric.all_reduce(loss.detach().clone(), reduce_op="mean"))
        on_cpu, done = fabric.device.type == "cpu", state.step + 1
        if on_cpu or done % _STEPS_BETWEEN_LOSS_CHECKS == 0 or done == steps:
            _check_finite(state.losses[:done], state.epoch, settings["lr"])
        self.optimiser.zero_grad()
        with model_errors("The backward pass of the training failed"):
            fabric.backward(loss)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip_norm)
        for group in self.optimiser.param_groups:
            group.update(settings)
        self.optimiser.step()
        if self.average:
            self.average.after_step()
        state.step = done

    def _record(self, recorder: Recorder, step: int) -> None:
        self.state.recorded = recorder.record(self.state.recorded, self._evaluated, self.recorder_points, step)

    def _history_entry(self, rate: float) -> HistoryEntry:
        """The history entry of an epoch. Learnt labels are updated here, from the same predictions."""
        state = self.state
        entry: HistoryEntry = {"epoch": state.epoch + 1, "loss": float(state.losses.mean()), "lr": rate}
        if len(self.validation):
            place = f"After epoch {state.epoch + 1}, at learning rate {rate:g}"
            try:
                with warnings.catch_warnings():  # a network without an answer is refused below
                    warnings.simplefilter("ignore", NonFiniteOutput)
                    p = predict(self._evaluated, self.validation)
            except InputError as error:
                raise type(error)(f"{place}: {error} {_DIVERGENCE_HINT}") from None
            if unanswered := int((~p.answered).sum()):
                raise ArgumentError(
                    f"{place}: the network gives no finite answer for {unanswered} of {len(p.y)} validation images. "
                    f"{_DIVERGENCE_HINT}"
                )
            entry |= {name: getattr(metrics, name)(p) for name in ("accuracy", "nll", "ece")}
            state.labels = self.method.target.refresh(state.labels, p.log_p, Points(p.log_p, p.y, p.rows))
            if "p" in state.labels:
                entry["soft_labels"] = state.labels["p"].tolist()
        if self.recorder:
            entry |= {name: float(state.recorded[name][-1]) for name in self.recorder.history}
        return entry

    def _is_checkpoint_due(self) -> bool:
        """True if a checkpoint is overdue and all weights are finite, so that the last checkpoint is a good one.

        If weights are not finite, the next check of the loss ends the run in all processes.
        """
        if not self.checkpoint or self.fabric.global_rank != 0:
            return False
        if time.monotonic() - self.saved_at <= SECONDS_BETWEEN_CHECKPOINTS:
            return False
        return bool(self.state.losses[: self.state.step].isfinite().all()) and _all_finite(self.net)

    def _save_checkpoint(self) -> None:
        if self.checkpoint and self.fabric.global_rank == 0:
            average = self.average.model if self.average else None
            save_checkpoint(self.checkpoint, self.net, self.optimiser, self.state, average)
            self.saved_at = time.monotonic()


def _set_training(net: nn.Module) -> None:
    try:
        net.train()
    except NotImplementedError:
        raise ModelError(
            "The network has no training mode, as an exported program has none. Train the module that it was exported "
            "from."
        ) from None


def _check_finite(losses: Tensor, epoch: int, rate: float, net: nn.Module | None = None) -> None:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        fault = f"The loss became {float(losses[bad[0]])} in epoch {epoch + 1}, step {int(bad[0]) + 1}"
    elif net is not None and not _all_finite(net):
        fault = f"Weights became infinite or NaN in epoch {epoch + 1}, by step {len(losses)}"
    else:
        return
    raise ArgumentError(f"{fault}, at learning rate {rate:g}. {_DIVERGENCE_HINT}")


def _all_finite(net: nn.Module) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in net.state_dict().values())


def _sync_buffers(fabric: Fabric, net: nn.Module) -> None:
    """Give all processes the batch-norm statistics of the first one, because they differ between processes."""
    if fabric.world_size > 1:
        for buffer in net.buffers():
            torch.distributed.broadcast(buffer, 0)


def _cpu_fabric() -> Fabric:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)
