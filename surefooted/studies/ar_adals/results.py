"""Methods under distribution shift: the numbers that can be read off what was computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.spec import parse_spec
from surefooted.core.predictions import Predictions
from surefooted.core.types import log_mean_softmax
from surefooted.evaluation.metrics.functional import Metric
from surefooted.evaluation.metrics.levels import levels_of
from surefooted.evaluation.metrics.stability import variance, variance_of_each
from surefooted.evaluation.recalibration import temperature_scaling
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    BestOfSweep,
    MemberOf,
)
from surefooted.studies.ar_adals.design import OF_ENSEMBLE, ShiftDesign

# Made of the first method's predictions, with a temperature fitted on the validation images of each network.
SCALED = "Vanilla + temperature"


@dataclass(frozen=True, eq=False)
class ShiftResults:
    """What came of it, read from the store."""

    made: ShiftDesign
    store: Store

    @property
    def names(self) -> list[str]:
        return [*self.made.runs, SCALED]

    @cached_property
    def clean(self) -> dict[str, list[Predictions]]:
        found = {name: [task.result(self.store) for task in tasks] for name, tasks in self.made.clean.items()}
        first = found[next(iter(self.made.methods))]
        return found | {SCALED: [scale(p) for scale, p in zip(self._scales, first)]}

    @cached_property
    def shifted(self) -> dict[str, list[list[list[Predictions]]]]:
        """For every method, network, type and intensity."""
        found = {
            name: [[task.result(self.store) for task in run.values()] for run in runs]
            for name, runs in self.made.shifted.items()
        }
        first = found[next(iter(self.made.methods))]
        scaled = [[[scale(p) for p in kind] for kind in run] for scale, run in zip(self._scales, first)]
        return found | {SCALED: scaled}

    @cached_property
    def level(self) -> list[Tensor]:
        """For each seed the robustness level of every test image."""
        return [levels_of(task.distances(self.store), levels=self.made.levels) for task in self.made.ranked]

    def single(self, metric: Metric, name: str) -> Float[Tensor, "m i"]:
        """A metric of each network: on clean images, then the mean over types at each intensity."""
        return torch.stack([_row(metric, p, run) for p, run in zip(self.clean[name], self.shifted[name])])

    def single_by_type(self, metric: Metric, name: str) -> Float[Tensor, "t i"]:
        """The same by type (rows) and intensity, the mean over networks."""
        runs = [[[metric(p) for p in kind] for kind in run] for run in self.shifted[name]]
        return torch.tensor(runs, dtype=torch.float64).mean(0)

    def ensemble_clean(self, name: str) -> Predictions:
        return averaged(self.clean[name])

    @cached_property
    def _ensembles(self) -> dict[str, list[list[Predictions]]]:
        return {
            name: [[averaged(list(same)) for same in zip(*kinds)] for kinds in zip(*runs)]
            for name, runs in self.shifted.items()
        }

    def ensemble_by_type(self, metric: Metric, name: str) -> Float[Tensor, "t i"]:
        return torch.tensor([[metric(p) for p in kind] for kind in self._ensembles[name]], dtype=torch.float64)

    def ensemble(self, metric: Metric, name: str) -> Float[Tensor, " i"]:
        """A metric of the mean prediction: on clean images, then the mean over types at each intensity."""
        return _row(metric, self.ensemble_clean(name), self._ensembles[name])

    def variance(self, name: str) -> Float[Tensor, " i"]:
        """AR-AdaLS's σ²: on clean images, then the mean over types at each intensity."""
        return torch.cat((self.variance_clean(name), self.variance_by_type(name).mean(0)))

    def unstable(self, name: str) -> Float[Tensor, " n"]:
        """σ² of each image, the mean over types and intensities."""
        same = [[list(networks) for networks in zip(*kinds)] for kinds in zip(*self.shifted[name])]
        each = [variance_of_each([p.log_p for p in networks]) for kind in same for networks in kind]
        return torch.stack(each).mean(0)

    def variance_clean(self, name: str) -> Float[Tensor, " 1"]:
        return torch.tensor([variance([p.log_p for p in self.clean[name]])], dtype=torch.float64)

    def variance_by_type(self, name: str) -> Float[Tensor, "t i"]:
        kinds = [[variance([p.log_p for p in same]) for same in zip(*runs)] for runs in zip(*self.shifted[name])]
        return torch.tensor(kinds, dtype=torch.float64)

    def swept(self) -> dict[str, str]:
        """What the sweeps chose."""
        first = {name: runs[0] for name, runs in self.made.runs.items()}
        grids = {name: run.net if isinstance(run, MemberOf) else run for name, run in first.items()}
        chosen = {name: grid.chosen(self.store).method for name, grid in grids.items() if isinstance(grid, BestOfSweep)}
        return {
            name: ", ".join(f"{k} = {v:g}" for k, v in parse_spec(m)[1].items() if isinstance(v, float))
            for name, m in chosen.items()
        }

    @cached_property
    def _scales(self) -> list[Any]:
        return [temperature_scaling(task.result(self.store)) for task in self.made.held_out]


def ensemble_of(name: str) -> str:
    """What a method's ensemble is called."""
    return name if name == OF_ENSEMBLE else f"Ensemble of {name}"


def averaged(parts: list[Predictions]) -> Predictions:
    """The mean prediction of several networks on the same images."""
    return parts[0]._replace(log_p=log_mean_softmax(torch.stack([p.log_p for p in parts])))


def _row(metric: Metric, clean: Predictions, kinds: list[list[Predictions]]) -> Float[Tensor, " i"]:
    shifted = torch.tensor([[metric(p) for p in kind] for kind in kinds], dtype=torch.float64)
    return torch.cat((torch.tensor([metric(clean)], dtype=torch.float64), shifted.mean(0)))
