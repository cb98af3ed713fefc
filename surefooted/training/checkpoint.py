"""Checkpoints of a training run: tensors and plain data in one safetensors file, whole or not there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.files import read_tensors, with_hint, write_tensors
from surefooted.models.weights import load_weights
from surefooted.training.methods.targets import LabelState

Entry = dict[str, Any]


@dataclass
class TrainState:
    """Where a run stands: all that a checkpoint holds besides weights and optimiser."""

    epoch: int = 0
    step: int = 0
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    target: LabelState = field(default_factory=dict)
    recorded: LabelState = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)


def save(path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, at: TrainState) -> None:
    moments = {
        f"optimiser.{k}.{name}": value
        for k, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }
    tensors = {f"net.{name}": t for name, t in net.state_dict().items()} | moments
    tensors |= {f"target.{name}": t for name, t in at.target.items()} | {"losses": at.losses}
    tensors |= {f"recorded.{name}": t for name, t in at.recorded.items()}
    write_tensors(path, tensors, {"epoch": at.epoch, "step": at.step, "history": at.history})


def restore(path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, at: TrainState) -> None:
    """Put a checkpoint back into network, optimiser and standing."""
    with with_hint(f"Delete {path} and run the same command again; the training begins anew."):
        tensors, about = read_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"net": {}, "optimiser": {}, "target": {}, "recorded": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = tensor
    load_weights(net, parts["net"], path)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimiser"].items():
        k, _, moment = name.partition(".")
        moments.setdefault(int(k), {})[moment] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    device = next(net.parameters()).device
    at.target = {name: tensor.to(device) for name, tensor in parts["target"].items()}
    at.recorded = parts["recorded"]  # where the recorder put them: on the host
    at.losses = tensors["losses"].to(device)
    at.epoch, at.step, at.history = about["epoch"], about["step"], about["history"]
