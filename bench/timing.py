"""Alternate what is compared in one process and report medians: on shared cores only ratios within a run mean much."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch


class Times(NamedTuple):
    wall: float
    cpu: float

    @property
    def own(self) -> float:
        """What counts: on a CPU cores are shared, and a GPU's work is no time of the CPU."""
        return self.wall if torch.cuda.is_available() else self.cpu


def alternate(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    """Median wall and CPU seconds of each, run in turn ``repeats`` times after one warm-up."""
    seen: dict[str, list[Times]] = {name: [] for name in contenders}
    for repeat in range(repeats + 1):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                seen[name].append(Times(time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Times(*(statistics.median(column) for column in zip(*times))) for name, times in seen.items()}


def environment() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} thread(s)"
    return f"torch {torch.__version__}, {device}"
