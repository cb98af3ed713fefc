"""UTA's experiment in the plane: attacks on trained networks, and training on attacks (figures 1, 5, 6 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from surefooted.core.files import write_tensors
from surefooted.core.types import log_mean_softmax
from surefooted.data.plane import SIDE
from surefooted.models.prediction import predict
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    DeepEnsemble,
    PredictTask,
    Source,
    Task,
    TrainTask,
    attack_task,
    train_task,
    trainings_of,
)
from surefooted.pipeline.workers import OnProgress
from surefooted.training.recorders import plane_points

# One unit of the paper's plane in ours.
_UNIT = 1 / SIDE
# Figure 1. The paper prints k and α but no ε; k steps cannot go further than ε = kα.
MLP_STEPS, MLP_STEP_SIZE = 15, 0.05
MLP_EPS = MLP_STEPS * MLP_STEP_SIZE
# Appendix A.
DUE_STEPS, DUE_STEP_SIZE, DUE_EPS = 50, 0.1, 1.0
OBJECTIVES = {"PGD": "cross_entropy", "UTA": "entropy"}
CLEAN, TRADES = "Clean", "TRADES"


def attack_spec(attack: str, eps: float, steps: int, step_size: float) -> dict[str, Any]:
    """An attack with sign steps from the clean point; lengths in units of the paper's plane."""
    arguments = {"eps": eps * _UNIT, "steps": steps, "step_size": step_size * _UNIT}
    return {"pgd": {**arguments, "start": "clean", "objective": OBJECTIVES[attack], "keep": "last"}}


def _adversarial_methods() -> dict[str, Any]:
    arguments = {"eps": MLP_EPS * _UNIT, "steps": MLP_STEPS, "step_size": MLP_STEP_SIZE * _UNIT}
    return {
        "PGD-AT": {"pgd_at": arguments},
        "UTA-AT": {"uta": arguments},
        TRADES: {"trades": {"beta": 1.0, **arguments}},
    }


@dataclass(frozen=True, eq=False)
class GridPredictTask(Task):
    """Predictions of a victim at every point of a grid over the unit square.

    Attributes:
        grid: number of points along each axis.
        draws: forward passes averaged per prediction, for a stochastic victim.
    """

    victim: Source
    grid: int
    draws: int = 1

    kind = "surveyed"

    def arguments(self) -> dict[str, Any]:
        return {"victim": self.victim.key, "grid": self.grid, "draws": self.draws}

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    @property
    def label(self) -> str:
        return f"grid predictions of {self.victim}"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = self.victim.load(store).to(runtime.device())
        points = plane_points(0.0, 1.0, self.grid)
        log_p = log_mean_softmax(torch.stack([predict(net, points, seed=draw).log_p for draw in range(self.draws)]))
        write_tensors(into / "surveyed.safetensors", {"log_p": log_p.view(self.grid, self.grid, -1)}, {})
        tick(1)

    def result(self, store: Store) -> Tensor:
        """Log-probabilities of shape (grid, grid, classes); rows are the second coordinate."""
        return self.tensors(store, "surveyed.safetensors")["log_p"]


@dataclass(frozen=True, eq=False)
class ToyProblem:
    """Networks trained on clean and on perturbed points of the plane, and attacks on those trained on clean points.

    Attributes:
        data: the data set ``plane`` with any arguments.
        net, recipe: network and training of the methods in the plane.
        seeds: trainings per method.
        members: networks in the ensemble, the first of the clean trainings.
        grid_size: number of points along each axis of the maps.
        due_net: the Gaussian process.
        due_recipe, due_at_recipe: its training on clean and on perturbed points.
        due_seeds: its number of trainings; 0 leaves it out.
        due_draws: forward passes averaged on its maps. 32 passes with 32 samples each are a thousand samples per point;
            with few samples the boundary is ragged.
        attack_steps: numbers of steps of the attacks on clean trainings.
        due_steps: number of steps of the attacks on the Gaussian process.
        methods: adversarial training methods, by name.
    """

    data: Any
    net: Any
    recipe: Any
    seeds: int
    members: int
    grid_size: int
    due_net: Any
    due_recipe: Any
    due_at_recipe: Any
    due_seeds: int
    due_draws: int
    attack_steps: tuple[int, ...] = (1, 20, 50)
    due_steps: int = DUE_STEPS
    methods: Mapping[str, Any] = field(default_factory=_adversarial_methods)

    @cached_property
    def clean(self) -> tuple[TrainTask, ...]:
        """Trainings on clean points, one per seed, and at least as many as the ensemble has members."""
        seeds = range(max(self.seeds, self.members))
        return tuple(train_task("vanilla", self.net, self.data, self.recipe, seed=seed) for seed in seeds)

    @cached_property
    def ensemble(self) -> DeepEnsemble:
        """The ensemble that UTA attacks in figure 1."""
        return DeepEnsemble(self.clean[: self.members])

    @cached_property
    def trained(self) -> dict[str, tuple[TrainTask, ...]]:
        """Trainings by method; those of the Gaussian process are named ``DUE, ...``.

        Adversarial trainings of ``methods`` record the oscillation map; the others have no ``recorded``.
        """
        record = {"flips": {"grid": self.grid_size}}
        trainings = {CLEAN: self.clean[: self.seeds]}
        for name, method in self.methods.items():
            trainings[name] = tuple(
                train_task(method, self.net, self.data, self.recipe, seed=seed, record=record)
                for seed in range(self.seeds)
            )
        if self.due_seeds:
            trainings[f"DUE, {CLEAN}"] = self._train_due("due", self.due_recipe)
            for attack in OBJECTIVES:
                perturb = attack_spec(attack, DUE_EPS, self.due_steps, DUE_STEP_SIZE)
                trainings[f"DUE, {attack}-AT"] = self._train_due({"due": {"perturb": perturb}}, self.due_at_recipe)
        return trainings

    @cached_property
    def grid_predictions(self) -> dict[str, tuple[GridPredictTask, ...]]:
        """Predictions on the grid, by method; those of the ensemble are named ``Ensemble``."""
        predictions = {
            name: tuple(
                GridPredictTask(net, self.grid_size, self.due_draws if name.startswith("DUE") else 1) for net in nets
            )
            for name, nets in self.trained.items()
        }
        return predictions | {"Ensemble": (GridPredictTask(self.ensemble, self.grid_size),)}

    @cached_property
    def test_predictions(self) -> dict[str, tuple[PredictTask, ...]]:
        """Predictions on test points, by method."""
        return {name: tuple(PredictTask(net) for net in nets) for name, nets in self.trained.items()}

    @cached_property
    def attacks(self) -> dict[tuple[str, str, int], tuple[AttackTask, ...]]:
        """Attacked test points by attack, victim (a name of ``grid_predictions``) and number of steps.

        One task for each network of the victim.
        """
        tasks = {}
        for steps in self.attack_steps:
            for attack in OBJECTIVES:
                spec = attack_spec(attack, MLP_EPS, steps, MLP_STEP_SIZE)
                tasks[attack, CLEAN, steps] = tuple(attack_task(net, spec) for net in self.clean[: self.seeds])
            spec = attack_spec("UTA", MLP_EPS, steps, MLP_STEP_SIZE)
            tasks["UTA", "Ensemble", steps] = (attack_task(self.ensemble, spec),)
        for attack in OBJECTIVES if self.due_seeds else ():
            spec = attack_spec(attack, DUE_EPS, self.due_steps, DUE_STEP_SIZE)
            victim = f"DUE, {CLEAN}"
            tasks[attack, victim, self.due_steps] = tuple(attack_task(net, spec) for net in self.trained[victim])
        return tasks

    def tasks(self) -> list[Task]:
        """Everything that the figures, tables and findings read."""
        groups: list[Mapping[Any, tuple[Task, ...]]] = [
            self.trained,
            self.grid_predictions,
            self.test_predictions,
            self.attacks,
        ]
        return [task for group in groups for tasks in group.values() for task in tasks]

    def _train_due(self, method: Any, recipe: Any) -> tuple[TrainTask, ...]:
        return tuple(train_task(method, self.due_net, self.data, recipe, seed=seed) for seed in range(self.due_seeds))


def toy_problem(size: Literal["full", "smoke"] = "full") -> ToyProblem:
    """The experiment: a few minutes on one core in full; in size smoke seconds, but its numbers are meaningless."""
    smoke = size == "smoke"
    return ToyProblem(
        data={"plane": {"examples": 100 if smoke else 600}},
        net={"mlp": {"width": 16 if smoke else 64, "layers": 2, "normalise": "channel"}},
        recipe={"recipe": {"epochs": 2 if smoke else 40, "batch": 32, "lr": 3e-3, "weight_decay": 1e-3}},
        seeds=2 if smoke else 5,
        members=2 if smoke else 10,
        grid_size=21 if smoke else 61,
        due_net={
            "due_mlp": {
                "width": 16 if smoke else 64,
                "layers": 2,
                "inducing": 4 if smoke else 16,
                "samples": 4 if smoke else 32,
                "normalise": "channel",
            }
        },
        due_recipe={"recipe": {"epochs": 2 if smoke else 30, "batch": 64, "lr": 1e-2}},
        due_at_recipe={"recipe": {"epochs": 1 if smoke else 12, "batch": 64, "lr": 1e-2}},
        due_seeds=1 if smoke else 3,
        due_draws=2 if smoke else 32,
        attack_steps=(1, 5) if smoke else (1, 20, 50),
        due_steps=5 if smoke else DUE_STEPS,
    )
