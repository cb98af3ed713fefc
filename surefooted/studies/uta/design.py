"""What the study of UTA computes beside its grids and the plane: one network of several, trainings that are watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from surefooted.components.spec import base_name
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    MemberOf,
    PredictTask,
    Task,
    TrainTask,
    attack_task,
    load_splits,
    train_task,
)
from surefooted.studies.grid import Grid, attack_success, misclassified, recipe_epochs
from surefooted.studies.uta import grids

FGSM, UTA = "FGSM-AT", "UTA-AT, 1 step"


@dataclass(frozen=True, eq=False)
class SingleMember:
    """The first of the networks that a method of a grid trains side by side, tested without the others."""

    grid: Grid

    @cached_property
    def victims(self) -> dict[str, MemberOf]:
        return {name: MemberOf(nets[0], 0) for name, nets in self.grid.trained.items() if self.grid.members[name] > 1}

    @cached_property
    def clean(self) -> dict[str, PredictTask]:
        return {name: PredictTask(one) for name, one in self.victims.items()}

    @cached_property
    def attacked(self) -> dict[tuple[str, str], AttackTask]:
        return {
            (name, attack): attack_task(one, given, limit=self.grid.limit, keep_points=False)
            for name, one in self.victims.items()
            for attack, given in self.grid.white_box.items()
            if attack in [grids.attack(eps) for eps in grids.tested_at(self.grid)]
        }

    def tasks(self) -> list[Task]:
        return [*self.clean.values(), *self.attacked.values()]

    def accuracy_interval(self, store: Store, name: str, attack: str = "") -> Interval:
        """Accuracy, clean or under an attack; 95 % over the images."""
        return robust_accuracy(self._wrong(store, name, attack))

    def accuracy_gain(self, store: Store, name: str, worse: str, attack: str = "") -> Interval:
        """How much more accurate it is than a method of the grid, clean or under an attack; 95 % over the images."""
        other, own = self.grid.misclassified(store, worse, attack), self._wrong(store, name, attack)
        return mean_interval(other.double() - own.double())

    def _wrong(self, store: Store, name: str, attack: str) -> Tensor:
        if attack:
            return attack_success((self.attacked[name, attack],), store)
        return misclassified(self.clean[name], store)


@dataclass(frozen=True, eq=False)
class Overfitting:
    """Trainings by one-step attacks, watched by clean, FGSM and PGD accuracy (figures 4 and 9).

    Attributes:
        methods: by the name that figures print.
        record: the recorder.
        seeds: runs of each.
        of: the paper's figure.
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    record: Any
    seeds: int
    of: str

    @cached_property
    def trained(self) -> dict[str, tuple[TrainTask, ...]]:
        return {
            name: tuple(
                train_task(method, self.net, self.data, self.recipe, seed=seed, record=self.record)
                for seed in range(self.seeds)
            )
            for name, method in self.methods.items()
        }

    def tasks(self) -> list[Task]:
        return [one for runs in self.trained.values() for one in runs]

    def caption(self) -> str:
        some = next(iter(self.trained.values()))[0]
        splits = load_splits(some.data)
        ((_, given),) = self.record.items()
        return (
            f"{splits.title}, {base_name(some.net)}, {recipe_epochs(some.recipe)} epochs: {len(splits.train)} training "
            f"images; watched on the first {given['images']} test images, every {given['every']} iterations, at "
            f"FGSM's points and under PGD-{given['steps']} in steps of {given['step_size']:g} at ε = {given['eps']:g}; "
            f"{self.seeds} runs a method."
        )


def fashion(
    *, epochs: int, seeds: int, data: Any, net: Any = "lenet", images: int = 1000, every: int = 400
) -> Overfitting:
    """Figure 4: ε = α = 0.2 in training; tested by PGD-20 of steps of 0.01."""
    eps = 0.2
    return Overfitting(
        {FGSM: {"fgsm_at": {"eps": eps}}, UTA: {"uta": {"eps": eps, "steps": 1, "step_size": eps}}},
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        record={"robustness": {"eps": eps, "steps": 20, "step_size": 0.01, "every": every, "images": images}},
        seeds=seeds,
        of="figure 4",
    )


def cifar10(*, epochs: int = 200, seeds: int = 3) -> Overfitting:
    """Figure 9: ResNet-18 with dropout; ε = α = 8/255 in training; tested by PGD-10 of steps of ε/4.

    Networks are attacked in training mode while they train, as by Andriushchenko and Flammarion, whose setup it is.
    """
    eps = 8 / 255
    given: dict[str, Any] = {"eps": eps, "mode": "train"}
    uta = {"uta": {**given, "steps": 1, "step_size": eps, "view": {"mc_dropout": {"samples": 1}}}}
    return Overfitting(
        {FGSM: {"fgsm_at": given}, UTA: uta},
        net={"resnet18": {"dropout": 0.2}},
        data={"cifar10": {"validation": 0.0}},
        recipe={"uta_resnet18": {"epochs": epochs}},
        record={"robustness": {"eps": eps, "steps": 10, "step_size": eps / 4, "every": 400, "images": 512}},
        seeds=seeds,
        of="figure 9",
    )
