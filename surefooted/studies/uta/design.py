"""Tasks of the UTA study beside its grids: single members of an ensemble, and trainings with recorded robustness."""

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
from surefooted.studies.grid import Grid, attack_errors, clean_errors, recipe_epochs
from surefooted.studies.uta import grids

FGSM_AT, UTA_ONE_STEP = "FGSM-AT", "UTA-AT, 1 step"


@dataclass(frozen=True, eq=False)
class SingleMember:
    """The first of the networks that a method of a grid trains together, evaluated without the others."""

    grid: Grid

    @cached_property
    def victims(self) -> dict[str, MemberOf]:
        """The network, by method."""
        return {name: MemberOf(nets[0], 0) for name, nets in self.grid.trained.items() if self.grid.members[name] > 1}

    @cached_property
    def clean(self) -> dict[str, PredictTask]:
        """Predictions on clean images, by method."""
        return {name: PredictTask(victim) for name, victim in self.victims.items()}

    @cached_property
    def attacked(self) -> dict[tuple[str, str], AttackTask]:
        """AutoAttack at the test radii, by method and attack."""
        attacks = [grids.autoattack_key(eps) for eps in grids.autoattack_radii(self.grid)]
        return {
            (name, attack): attack_task(victim, spec, limit=self.grid.limit, keep_points=False)
            for name, victim in self.victims.items()
            for attack, spec in self.grid.white_box.items()
            if attack in attacks
        }

    def tasks(self) -> list[Task]:
        """Everything that the table and the findings read."""
        return [*self.clean.values(), *self.attacked.values()]

    def accuracy_interval(self, store: Store, name: str, attack: str = "") -> Interval:
        """Accuracy, clean or under an attack, with its 95 % interval over test images."""
        return robust_accuracy(self._wrong(store, name, attack))

    def accuracy_gain(self, store: Store, name: str, worse: str, attack: str = "") -> Interval:
        """Accuracy minus that of a method of the grid, clean or under an attack.

        95 % interval over test images.
        """
        other, own = self.grid.misclassified(store, worse, attack), self._wrong(store, name, attack)
        return mean_interval(other.double() - own.double())

    def _wrong(self, store: Store, name: str, attack: str) -> Tensor:
        if attack:
            return attack_errors((self.attacked[name, attack],), self.clean[name], store)
        return clean_errors(self.clean[name], store)


@dataclass(frozen=True, eq=False)
class Overfitting:
    """Trainings with one-step attacks that record clean, FGSM and PGD accuracy (figures 4 and 9).

    Attributes:
        methods: by their names in the figures.
        record: the recorder.
        seeds: runs per method.
        figure: the paper's figure, such as "figure 4".
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    record: Any
    seeds: int
    figure: str

    @cached_property
    def trained(self) -> dict[str, tuple[TrainTask, ...]]:
        """The runs, by method."""
        return {
            name: tuple(
                train_task(method, self.net, self.data, self.recipe, seed=seed, record=self.record)
                for seed in range(self.seeds)
            )
            for name, method in self.methods.items()
        }

    def tasks(self) -> list[Task]:
        """All runs."""
        return [run for runs in self.trained.values() for run in runs]

    def caption(self) -> str:
        """Data, network, training and evaluation of the runs."""
        run = next(iter(self.trained.values()))[0]
        splits = load_splits(run.data)
        ((_, arguments),) = self.record.items()
        return (
            f"{splits.title}, {base_name(run.net)}, {recipe_epochs(run.recipe)} epochs, {len(splits.train)} training "
            f"images. Evaluated every {arguments['every']} iterations on clean test images (a fixed random "
            f"{arguments['images']}), on FGSM's adversarial examples and under PGD-{arguments['steps']} with steps of "
            f"{arguments['step_size']:g} at ε = {arguments['eps']:g}; {self.seeds} runs per method."
        )


def fashion_mnist_overfitting(
    *, epochs: int, seeds: int, data: Any, net: Any = "lenet", images: int = 1000, every: int = 400
) -> Overfitting:
    """Figure 4: ε = α = 0.2 in training; evaluated with PGD-20 in steps of 0.01."""
    eps = 0.2
    return Overfitting(
        {FGSM_AT: {"fgsm_at": {"eps": eps}}, UTA_ONE_STEP: {"uta": {"eps": eps, "steps": 1, "step_size": eps}}},
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        record={"robustness": {"eps": eps, "steps": 20, "step_size": 0.01, "every": every, "images": images}},
        seeds=seeds,
        figure="figure 4",
    )


def cifar10_overfitting(*, epochs: int = 200, seeds: int = 3) -> Overfitting:
    """Figure 9: ResNet-18 with dropout; ε = α = 8/255 in training; evaluated with PGD-10 in steps of ε/4.

    In training, networks are attacked in training mode, as in the experiments of Andriushchenko and Flammarion that the
    paper follows.
    """
    eps = 8 / 255
    arguments: dict[str, Any] = {"eps": eps, "mode": "train"}
    uta = {"uta": {**arguments, "steps": 1, "step_size": eps, "view": {"mc_dropout": {"samples": 1}}}}
    return Overfitting(
        {FGSM_AT: {"fgsm_at": arguments}, UTA_ONE_STEP: uta},
        net={"resnet18": {"dropout": 0.2}},
        data={"cifar10": {"validation": 0.0}},
        recipe={"uta_resnet18": {"epochs": epochs}},
        record={"robustness": {"eps": eps, "steps": 10, "step_size": eps / 4, "every": 400, "images": 512}},
        seeds=seeds,
        figure="figure 9",
    )
