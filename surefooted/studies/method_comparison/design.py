"""Methods side by side over seeds: the tasks, and the numbers read from their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.components.spec import base_name
from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.functional import Metric
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.robustness import misclassified_under_attack, robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, PredictTask, Task, TrainTask, attack_task, load_splits, train_task

NORM_SYMBOLS = {"linf": "L∞", "l2": "L2"}


@dataclass(frozen=True, eq=False)
class MethodRun:
    """One method at one seed, and everything that is measured of it.

    Attributes:
        train: the training.
        clean: predictions on clean test images.
        attacks: by radius ε the attack, and the predictions at its points.
        boundary: the minimal-norm attack that measures the distance to the decision boundary.
    """

    train: TrainTask
    clean: PredictTask
    attacks: Mapping[float, tuple[AttackTask, PredictTask]]
    boundary: AttackTask

    @property
    def tasks(self) -> list[Task]:
        """All tasks of the run."""
        return [self.train, self.clean, self.boundary, *(task for pair in self.attacks.values() for task in pair)]


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """Methods × seeds on one data set, network and recipe.

    Attributes:
        methods: methods by the name that the report prints. The first is the baseline, whose robustness levels apply to
            all methods.
        net, data, recipe: network, data set and recipe that the methods share.
        seeds: trainings per method.
        radii: radii ε of the L∞ attack.
        attack: other arguments of that attack, which is ``pgd``.
        boundary_attack: the minimal-norm attack that ranks images.
        levels: number of robustness levels.
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    radii: tuple[float, ...]
    attack: Mapping[str, Any]
    boundary_attack: Any
    levels: int = 10

    @cached_property
    def runs(self) -> dict[str, list[MethodRun]]:
        """Runs by method, one per seed."""
        return {name: [self._run(method, seed) for seed in range(self.seeds)] for name, method in self.methods.items()}

    @property
    def names(self) -> list[str]:
        """Names of the methods."""
        return list(self.methods)

    @property
    def boundary_method(self) -> str:
        """Name of the minimal-norm attack, in words."""
        return base_name(self.boundary_attack).replace("_", " ")

    def tasks(self) -> list[Task]:
        """All tasks whose artifacts the results read."""
        return [task for runs in self.runs.values() for run in runs for task in run.tasks]

    def caption(self, *, attack: bool = False) -> str:
        """Data, number of images and seeds as a sentence; with ``attack`` also the attack and its keep rule."""
        first = self.runs[self.names[0]][0]
        splits = load_splits(first.train.data)
        text = (
            f"{splits.title}: {len(splits.train)} training, {len(splits.validation)} validation, "
            f"{len(splits.test)} test images; {self.seeds} seeds."
        )
        if attack:
            a = first.attacks[self.radii[0]][0].attack["pgd"]
            text += (
                f" PGD-{a['steps']}, {NORM_SYMBOLS[a['norm']]}, {a['start']} start, {a['restarts']} "
                f"restart{'s' * (a['restarts'] != 1)}; keep "
                f"rule “{a['keep']}”: an image is dropped once the attack succeeds; of an image that withstands, the "
                "point with the highest objective is kept."
            )
        return text

    def _run(self, method: Any, seed: int) -> MethodRun:
        net = train_task(method, self.net, self.data, self.recipe, seed=seed)
        attacks = {eps: attack_task(net, {"pgd": {"eps": eps, **self.attack}}, seed=seed) for eps in self.radii}
        pairs = {eps: (attack, PredictTask(net, source_attack=attack)) for eps, attack in attacks.items()}
        return MethodRun(net, PredictTask(net), pairs, attack_task(net, self.boundary_attack, keep_points=False))


@dataclass(frozen=True, eq=False)
class ComparisonResults:
    """The numbers of a comparison, read from the store.

    Attributes:
        comparison: the tasks.
        store: the store that has their artifacts.
    """

    comparison: MethodComparison
    store: Store

    def clean_predictions(self, name: str) -> list[Predictions]:
        """Predictions of each seed's network on clean test images."""
        return [run.clean.result(self.store) for run in self.comparison.runs[name]]

    def attacked_predictions(self, name: str, eps: float) -> list[Predictions]:
        """Predictions of each seed's network at the points of the attack with radius ε."""
        return [run.attacks[eps][1].result(self.store) for run in self.comparison.runs[name]]

    def robust_accuracies(self, name: str, eps: float) -> list[float]:
        """Robust accuracy of each seed's network."""
        return [
            robust_accuracy(misclassified_under_attack(run.attacks[eps][0].result(self.store)["found"], clean)).value
            for run, clean in zip(self.comparison.runs[name], self.clean_predictions(name))
        ]

    def boundary_distances(self, name: str) -> list[Float[Tensor, " n"]]:
        """L2 norm of the smallest perturbation that changes the prediction; infinite if none was found."""
        return [run.boundary.distances(self.store) for run in self.comparison.runs[name]]

    @cached_property
    def levels(self) -> list[Tensor]:
        """For each seed the level of every test image, by its distance on the baseline of that seed."""
        distances = self.boundary_distances(self.comparison.names[0])
        return [levels_of(distance, levels=self.comparison.levels) for distance in distances]

    def metric_by_level(self, name: str, metric: Metric) -> Float[Tensor, "s l"]:
        """A metric of each seed's network, by robustness level."""
        pairs = zip(self.clean_predictions(name), self.levels)
        return torch.stack([by_level(metric, p, level) for p, level in pairs])
