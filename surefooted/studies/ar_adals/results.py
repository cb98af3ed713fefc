"""Methods under distribution shift: the numbers read from the artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.spec import parse_spec
from surefooted.core.predictions import Predictions
from surefooted.core.types import log_mean_softmax
from surefooted.evaluation.metrics.functional import Metric
from surefooted.evaluation.metrics.levels import levels_of
from surefooted.evaluation.metrics.stability import variance
from surefooted.evaluation.recalibration import temperature_scaling
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import BestOfSweep, MemberOf
from surefooted.studies.ar_adals.design import JOINT_AR_ADALS, ShiftDesign
from surefooted.studies.intervals import Jackknife

# Predictions of the baseline after temperature scaling, fitted on the validation images of each network.
TEMPERATURE_SCALED = "Vanilla + temperature"


@dataclass(frozen=True, eq=False)
class ShiftResults:
    """The numbers of a study under distribution shift, read from the store.

    Axes of the arrays: m networks, t corruption types, i intensities (where clean images are included, they come
    first), n images.

    Attributes:
        design: the tasks.
        store: the store that has their artifacts.
    """

    design: ShiftDesign
    store: Store

    @property
    def names(self) -> list[str]:
        """Names of all methods."""
        return [*self.design.runs, TEMPERATURE_SCALED]

    @cached_property
    def clean(self) -> dict[str, list[Predictions]]:
        """Predictions on clean images by method, one per network."""
        clean = {name: [task.result(self.store) for task in tasks] for name, tasks in self.design.clean.items()}
        baseline = clean[next(iter(self.design.methods))]
        return clean | {TEMPERATURE_SCALED: [scale(p) for scale, p in zip(self._scales, baseline)]}

    @cached_property
    def shifted(self) -> dict[str, list[list[list[Predictions]]]]:
        """Predictions by method, network, corruption type and intensity."""
        shifted = {
            name: [[task.result(self.store) for task in run.values()] for run in runs]
            for name, runs in self.design.shifted.items()
        }
        baseline = shifted[next(iter(self.design.methods))]
        scaled = [[[scale(p) for p in kind] for kind in run] for scale, run in zip(self._scales, baseline)]
        return shifted | {TEMPERATURE_SCALED: scaled}

    @cached_property
    def levels(self) -> list[Tensor]:
        """For each seed the robustness level of every test image."""
        return [levels_of(task.distances(self.store), levels=self.design.levels) for task in self.design.rankings]

    # Single networks

    def network_metric(self, metric: Metric, name: str) -> Float[Tensor, "m i"]:
        """A metric of each network: on clean images, then at each intensity, averaged over types."""
        return torch.stack([_by_intensity(metric, p, run) for p, run in zip(self.clean[name], self.shifted[name])])

    def network_metric_by_type(self, metric: Metric, name: str) -> Float[Tensor, "t i"]:
        """A metric by corruption type and intensity, averaged over networks."""
        runs = [[[metric(p) for p in kind] for kind in run] for run in self.shifted[name]]
        return torch.tensor(runs, dtype=torch.float64).mean(0)

    # Ensembles

    def ensemble_predictions(self, name: str) -> Predictions:
        """The mean prediction of a method's networks on clean images."""
        return average_predictions(self.clean[name])

    def ensemble_metric(self, metric: Metric, name: str) -> Float[Tensor, " i"]:
        """A metric of the mean prediction: on clean images, then at each intensity, averaged over types."""
        return _by_intensity(metric, self.ensemble_predictions(name), self._ensembles[name])

    def ensemble_metric_by_type(self, metric: Metric, name: str) -> Float[Tensor, "t i"]:
        """A metric of the mean prediction by corruption type and intensity."""
        return torch.tensor([[metric(p) for p in kind] for kind in self._ensembles[name]], dtype=torch.float64)

    @cached_property
    def _ensembles(self) -> dict[str, list[list[Predictions]]]:
        """Mean predictions by method, corruption type and intensity."""
        return {
            name: [[average_predictions(list(same)) for same in zip(*kinds)] for kinds in zip(*runs)]
            for name, runs in self.shifted.items()
        }

    # Stability: AR-AdaLS's variance σ² over networks

    def variance(self, name: str) -> Float[Tensor, " i"]:
        """Variance on clean images, then at each intensity, averaged over types."""
        return torch.cat((self.variance_clean(name), self.variance_by_type(name).mean(0)))

    def variance_clean(self, name: str) -> Float[Tensor, " 1"]:
        """Variance on clean images."""
        return torch.tensor([variance([p.log_p for p in self.clean[name]])], dtype=torch.float64)

    def variance_by_type(self, name: str) -> Float[Tensor, "t i"]:
        """Variance by corruption type and intensity."""
        kinds = [[variance([p.log_p for p in same]) for same in zip(*runs)] for runs in zip(*self.shifted[name])]
        return torch.tensor(kinds, dtype=torch.float64)

    def variance_jackknife(self, name: str) -> Jackknife:
        """Variance under shift, averaged over types and intensities, also without each of the networks."""
        return Jackknife.of(_variance_under_shift, self.shifted[name])

    # Sweeps

    def selected_settings(self) -> dict[str, str]:
        """The settings that the sweeps selected, as text by method."""
        first = {name: runs[0] for name, runs in self.design.runs.items()}
        sweeps = {name: run.net if isinstance(run, MemberOf) else run for name, run in first.items()}
        selected = {
            name: sweep.chosen(self.store).method for name, sweep in sweeps.items() if isinstance(sweep, BestOfSweep)
        }
        return {
            name: ", ".join(f"{k} = {v:g}" for k, v in parse_spec(method)[1].items() if isinstance(v, float))
            for name, method in selected.items()
        }

    @cached_property
    def _scales(self) -> list[Any]:
        return [temperature_scaling(task.result(self.store)) for task in self.design.validation]


def ensemble_name(name: str) -> str:
    """The name of a method's ensemble.

    Example:
        >>> ensemble_name("Vanilla")
        'Ensemble of Vanilla'
    """
    return name if name == JOINT_AR_ADALS else f"Ensemble of {name}"


def average_predictions(parts: list[Predictions]) -> Predictions:
    """The mean prediction of several networks on the same images.

    Example:
        >>> import torch
        >>> from surefooted.core.predictions import Predictions
        >>> y, rows = torch.tensor([0]), torch.tensor([0])
        >>> networks = [Predictions(torch.tensor([p]).log(), y, rows) for p in ([0.8, 0.2], [0.6, 0.4])]
        >>> round(average_predictions(networks).log_p.exp()[0, 0].item(), 3)
        0.7
    """
    return parts[0]._replace(log_p=log_mean_softmax(torch.stack([p.log_p for p in parts])))


def _variance_under_shift(networks: Sequence[list[list[Predictions]]]) -> float:
    """Variance over networks, averaged over types and intensities."""
    return fmean(variance([p.log_p for p in same]) for kinds in zip(*networks) for same in zip(*kinds))


def _by_intensity(metric: Metric, clean: Predictions, kinds: list[list[Predictions]]) -> Float[Tensor, " i"]:
    shifted = torch.tensor([[metric(p) for p in kind] for kind in kinds], dtype=torch.float64)
    return torch.cat((torch.tensor([metric(clean)], dtype=torch.float64), shifted.mean(0)))
