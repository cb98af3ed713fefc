"""Methods side by side over seeds: what is computed, and the numbers read off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from surefooted.components.spec import base_name
from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, PredictTask, Task, TrainTask, attack_task, load_splits, train_task

NORMS = {"linf": "L∞", "l2": "L2"}


@dataclass(frozen=True, eq=False)
class Run:
    """One method at one seed, and everything measured of it."""

    train: TrainTask
    clean: PredictTask
    attacked: Mapping[float, tuple[AttackTask, PredictTask]]
    nearest: AttackTask

    @property
    def tasks(self) -> list[Task]:
        return [self.train, self.clean, self.nearest, *(task for pair in self.attacked.values() for task in pair)]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods × seeds on one data set, network and recipe.

    Attributes:
        methods: by the name that the report prints; the first is the baseline whose robustness levels are everybody's.
        ladder: sizes ε of the L∞ attack.
        attack: its other arguments, under ``pgd``.
        nearest: the minimal-norm attack that ranks examples.
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    ladder: tuple[float, ...]
    attack: Mapping[str, Any]
    nearest: Any
    levels: int = 10

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        return {name: [self._run(method, seed) for seed in range(self.seeds)] for name, method in self.methods.items()}

    @property
    def names(self) -> list[str]:
        return list(self.methods)

    @property
    def ranking(self) -> str:
        """The minimal-norm attack, in words."""
        return base_name(self.nearest).replace("_", " ")

    def tasks(self) -> list[Task]:
        return [task for runs in self.runs.values() for run in runs for task in run.tasks]

    def _run(self, method: Any, seed: int) -> Run:
        trained = train_task(method, self.net, self.data, self.recipe, seed=seed)
        moved = [attack_task(trained, {"pgd": {"eps": eps, **self.attack}}, seed=seed) for eps in self.ladder]
        pairs = {eps: (a, PredictTask(trained, moved=a)) for eps, a in zip(self.ladder, moved)}
        return Run(trained, PredictTask(trained), pairs, attack_task(trained, self.nearest, keep_points=False))

    def caption(self, *, attack: bool = False) -> str:
        """Data, n, seeds, attack and stop rule."""
        splits = load_splits(self.runs[self.names[0]][0].train.data)
        text = (
            f"{splits.title}: {len(splits.train)} training, {len(splits.validation)} validation, "
            f"{len(splits.test)} test images; {self.seeds} seeds."
        )
        if attack:
            a = self.runs[self.names[0]][0].attacked[self.ladder[0]][0].attack["pgd"]
            text += (
                f" PGD-{a['steps']}, {NORMS[a['norm']]}, {a['start']} start, {a['restarts']} restart(s); keep rule "
                f"“{a['keep']}”: a row retires when it is misclassified; of one that withstands, the point of highest "
                "objective is kept."
            )
        return text


@dataclass(frozen=True, eq=False)
class Results:
    """A comparison's numbers, read from the store."""

    comparison: Comparison
    store: Store

    def clean(self, name: str) -> list[Predictions]:
        return [run.clean.result(self.store) for run in self.comparison.runs[name]]

    def attacked(self, name: str, eps: float) -> list[Predictions]:
        return [run.attacked[eps][1].result(self.store) for run in self.comparison.runs[name]]

    def robust(self, name: str, eps: float) -> list[float]:
        """Robust accuracy, one a seed."""
        return [
            robust_accuracy(run.attacked[eps][0].result(self.store)["found"]).value
            for run in self.comparison.runs[name]
        ]

    def sizes(self, name: str) -> list[Tensor]:
        """Smallest L2 perturbations that change the model's answer; infinite where none was found."""
        return [run.nearest.distances(self.store) for run in self.comparison.runs[name]]

    @cached_property
    def level(self) -> list[Tensor]:
        """For each seed the level of every test image, by the robustness of the baseline of that seed."""
        return [levels_of(size, levels=self.comparison.levels) for size in self.sizes(self.comparison.names[0])]

    def per_level(self, name: str, metric: Any) -> Tensor:
        """(seeds, levels)."""
        return torch.stack([by_level(metric, p, level) for p, level in zip(self.clean(name), self.level)])
