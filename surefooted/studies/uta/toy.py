"""UTA's experiment in the plane (figures 1, 5, 6, 7): what attacks do to a network, and what training on them does."""

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

# Of the paper's plane in ours. Of figure 1 the paper prints k and α: they reach no further than their product.
UNIT = 1 / SIDE
STEPS, ALPHA = 15, 0.05
EPS = STEPS * ALPHA
# Appendix A.
DUE_STEPS, DUE_ALPHA, DUE_EPS = 50, 0.1, 1.0
RAISES = {"PGD": "cross_entropy", "UTA": "entropy"}
CLEAN, TRADES = "Clean", "TRADES"


def adversary(raises: str, eps: float, steps: int, alpha: float) -> dict[str, Any]:
    """Sign steps from the clean point; lengths in units of the paper's plane."""
    given = {"eps": eps * UNIT, "steps": steps, "step_size": alpha * UNIT}
    return {"pgd": {**given, "start": "clean", "objective": RAISES[raises], "keep": "last"}}


def _trainings() -> dict[str, Any]:
    given = {"eps": EPS * UNIT, "steps": STEPS, "step_size": ALPHA * UNIT}
    return {"PGD-AT": {"pgd_at": given}, "UTA-AT": {"uta": given}, TRADES: {"trades": {"beta": 1.0, **given}}}


@dataclass(frozen=True, eq=False)
class GridPredictTask(Task):
    """What a victim predicts at every point of a grid over the unit square.

    Attributes:
        grid: points along each axis.
        draws: predictions of which this is the mean, for a victim that draws at random.
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
        return f"survey {self.victim}"

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = self.victim.load(store).to(runtime.device())
        points = plane_points(0.0, 1.0, self.grid)
        log_p = log_mean_softmax(torch.stack([predict(net, points, seed=draw).log_p for draw in range(self.draws)]))
        write_tensors(into / "surveyed.safetensors", {"log_p": log_p.view(self.grid, self.grid, -1)}, {})
        tick(1)

    def result(self, store: Store) -> Tensor:
        """Log-probabilities (grid, grid, classes), the second coordinate in rows."""
        return self.tensors(store, "surveyed.safetensors")["log_p"]


@dataclass(frozen=True, eq=False)
class ToyProblem:
    """Networks that learnt the plane from clean and from perturbed points, and attacks on the former.

    Attributes:
        data: ``plane``, as you like it.
        seeds: trainings of each method.
        members: of the ensemble, whose uncertainty is mapped and attacked; the first are the clean trainings.
        attacked: numbers of steps of the attacks on clean trainings.
        grid: points along each axis of the maps.
        due: as ``net``, for the Gaussian process.
        due_recipe, due_at_recipe: how it learns from clean points, and from perturbed ones.
        due_seeds: as ``seeds``, for the Gaussian process; 0 leaves it out.
        due_draws: predictions that its maps are the mean of. With 32 of 32 samples, a thousand are at each point; with
            few the boundary is ragged.
    """

    data: Any
    net: Any
    recipe: Any
    seeds: int
    members: int
    grid: int
    due: Any
    due_recipe: Any
    due_at_recipe: Any
    due_seeds: int
    due_draws: int
    attacked: tuple[int, ...] = (1, 20, 50)
    due_steps: int = DUE_STEPS
    methods: Mapping[str, Any] = field(default_factory=_trainings)

    @cached_property
    def clean(self) -> tuple[TrainTask, ...]:
        """One a seed, and as many as the ensemble has members."""
        seeds = range(max(self.seeds, self.members))
        return tuple(train_task("vanilla", self.net, self.data, self.recipe, seed=seed) for seed in seeds)

    @cached_property
    def ensemble(self) -> DeepEnsemble:
        return DeepEnsemble(self.clean[: self.members])

    @cached_property
    def trained(self) -> dict[str, tuple[TrainTask, ...]]:
        """By method, those from perturbed points watched by the oscillation map; the Gaussian process as ``DUE, ...``.

        A training that is not watched has no ``recorded``.
        """
        record = {"flips": {"grid": self.grid}}
        made = {CLEAN: self.clean[: self.seeds]}
        for name, method in self.methods.items():
            made[name] = tuple(
                train_task(method, self.net, self.data, self.recipe, seed=seed, record=record)
                for seed in range(self.seeds)
            )
        if self.due_seeds:
            made[f"DUE, {CLEAN}"] = self._due(self.due_recipe)
            for raises in RAISES:
                moved = adversary(raises, DUE_EPS, self.due_steps, DUE_ALPHA)
                made[f"DUE, {raises}-AT"] = self._due(self.due_at_recipe, moved)
        return made

    @cached_property
    def surveyed(self) -> dict[str, tuple[GridPredictTask, ...]]:
        made = {
            name: tuple(
                GridPredictTask(one, self.grid, self.due_draws if name.startswith("DUE") else 1) for one in nets
            )
            for name, nets in self.trained.items()
        }
        return made | {"Ensemble": (GridPredictTask(self.ensemble, self.grid),)}

    @cached_property
    def tested(self) -> dict[str, tuple[PredictTask, ...]]:
        return {name: tuple(PredictTask(one) for one in nets) for name, nets in self.trained.items()}

    @cached_property
    def moved(self) -> dict[tuple[str, str, int], tuple[AttackTask, ...]]:
        """Test points by attack, victim (a name of ``surveyed``) and number of steps; one for each of its networks."""
        made = {}
        for steps in self.attacked:
            for raises in RAISES:
                attack = adversary(raises, EPS, steps, ALPHA)
                made[raises, CLEAN, steps] = tuple(attack_task(one, attack) for one in self.clean[: self.seeds])
            made["UTA", "Ensemble", steps] = (attack_task(self.ensemble, adversary("UTA", EPS, steps, ALPHA)),)
        for raises in RAISES if self.due_seeds else ():
            attack = adversary(raises, DUE_EPS, self.due_steps, DUE_ALPHA)
            victim = f"DUE, {CLEAN}"
            made[raises, victim, self.due_steps] = tuple(attack_task(one, attack) for one in self.trained[victim])
        return made

    def tasks(self) -> list[Task]:
        each: list[Mapping[Any, tuple[Task, ...]]] = [self.trained, self.surveyed, self.tested, self.moved]
        return [task for made in each for tasks in made.values() for task in tasks]

    def _due(self, recipe: Any, perturb: Any = None) -> tuple[TrainTask, ...]:
        method = {"due": {"perturb": perturb}} if perturb else "due"
        return tuple(train_task(method, self.due, self.data, recipe, seed=seed) for seed in range(self.due_seeds))


def toy(size: Literal["full", "smoke"] = "full") -> ToyProblem:
    """The experiment: a few minutes of one core, or seconds without any meaning."""
    smoke = size == "smoke"
    return ToyProblem(
        data={"plane": {"examples": 100 if smoke else 600}},
        net={"mlp": {"width": 16 if smoke else 64, "layers": 2, "normalise": "channel"}},
        recipe={"recipe": {"epochs": 2 if smoke else 40, "batch": 32, "lr": 3e-3, "weight_decay": 1e-3}},
        seeds=2 if smoke else 5,
        members=2 if smoke else 10,
        grid=21 if smoke else 61,
        due={
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
        attacked=(1, 5) if smoke else (1, 20, 50),
        due_steps=5 if smoke else DUE_STEPS,
    )
