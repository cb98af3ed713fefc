"""Timing by alternating runs in one process: on shared cores only ratios within a run are reliable."""

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
    def seconds(self) -> float:
        """CPU time on a CPU, whose cores are shared; wall time on a GPU, whose work is not CPU time."""
        return self.wall if torch.cuda.is_available() else self.cpu


def alternate(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    """Median wall and CPU seconds of each contender over ``repeats`` alternating runs, after a warm-up."""
    times: dict[str, list[Times]] = {name: [] for name in contenders}
    for repeat in range(repeats + 1):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                times[name].append(Times(time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Times(*(statistics.median(column) for column in zip(*each))) for name, each in times.items()}


def environment() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} thread(s)"
    return f"torch {torch.__version__}, {device}"
