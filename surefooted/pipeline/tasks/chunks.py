"""What cells that work through a victim row by row share: the network ready to run, and blocks that survive a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from surefooted.core.files import read_tensors, with_hint, write_tensors
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.fuse import fuse_batchnorm
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import Source


def load_for_eval(victim: Source, store: Store, device: torch.device) -> nn.Module:
    """The victim on a device; batch norm of our own networks folded."""
    net = victim.load(store).to(device)
    return net if isinstance(victim, ExternalModel | InMemoryModel) else fuse_batchnorm(net)


def run_in_chunks(
    work: Path, n: int, step: int, compute: Callable[[slice], dict[str, Tensor]], passed: Callable[[int], None]
) -> dict[str, Tensor]:
    """What is computed of ``n`` rows, ``step`` at a time, each block written down at once.

    A block that was written before a kill is read again, and ``passed`` is told how many rows it has: the draws of each
    begin from the same seed, whatever came before it.
    """
    parts = []
    for a in range(0, n, step):
        file = work / f"rows_{a}_{step}.safetensors"
        if file.exists():
            passed(min(step, n - a))
        else:
            write_tensors(file, compute(slice(a, a + step)), {})
        with with_hint(f"Delete {file} and run the same command again."):
            parts.append(read_tensors(file)[0])
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
