"""Checkpoints of a training run: tensors and plain data in one safetensors file, which is whole or absent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.files import read_tensors, with_hint, write_tensors
from surefooted.models.weights import load_weights
from surefooted.training.methods.targets import LabelState
from surefooted.training.recorders.base import RecorderState

HistoryEntry = dict[str, Any]


@dataclass
class TrainState:
    """The progress of a run: all that a checkpoint holds besides weights and optimiser.

    Attributes:
        epoch: epochs done.
        step: steps done of the current epoch.
        losses: training loss of each step of the current epoch.
        labels: state of the method's target.
        recorded: state of the recorder, on the host.
        history: one entry per epoch.
    """

    epoch: int = 0
    step: int = 0
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    labels: LabelState = field(default_factory=dict)
    recorded: RecorderState = field(default_factory=dict)
    history: list[HistoryEntry] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: TrainState,
    average: nn.Module | None = None,
) -> None:
    """Write network, optimiser, progress and averaged weights to a file.

    Example:
        >>> from pathlib import Path
        >>> net = torch.nn.Linear(2, 2)
        >>> optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> save_checkpoint(Path("run.safetensors"), net, optimiser, TrainState(epoch=3))
        >>> state = TrainState()
        >>> load_checkpoint(Path("run.safetensors"), net, optimiser, state)
        >>> state.epoch
        3
    """
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    for k, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{k}.{name}": value for name, value in moments.items() if value is not None}
    tensors |= {f"target.{name}": tensor for name, tensor in state.labels.items()}
    tensors |= {f"recorded.{name}": tensor for name, tensor in state.recorded.items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    tensors["losses"] = state.losses
    write_tensors(path, tensors, {"epoch": state.epoch, "step": state.step, "history": state.history})


def load_checkpoint(
    path: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: TrainState,
    average: nn.Module | None = None,
) -> None:
    """Read a checkpoint into network, optimiser, progress and averaged weights."""
    with with_hint(f"Delete {path} and run the same command again; the training restarts from the beginning."):
        tensors, about = read_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"net": {}, "optimiser": {}, "target": {}, "recorded": {}, "average": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = tensor
    load_weights(net, parts["net"], path)
    if average is not None:
        load_weights(average, parts["average"], path)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimiser"].items():
        k, _, moment = name.partition(".")
        moments.setdefault(int(k), {})[moment] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    device = next(net.parameters()).device
    state.labels = {name: tensor.to(device) for name, tensor in parts["target"].items()}
    state.recorded = parts["recorded"]
    state.losses = tensors["losses"].to(device)
    state.epoch, state.step, state.history = about["epoch"], about["step"], about["history"]
