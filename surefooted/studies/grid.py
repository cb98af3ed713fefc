"""Methods × attacks: the grid behind the robustness tables of the papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import hypot
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from surefooted.attacks.transfer import as_transfer_attack
from surefooted.components.spec import base_name, build
from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.intervals import Interval, mean_interval, seed_interval
from surefooted.evaluation.metrics.robustness import misclassified_under_attack, robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    PredictTask,
    Task,
    TrainTask,
    TransferTask,
    attack_task,
    load_splits,
    train_task,
)
from surefooted.studies.claims import Sampling, over_images, over_seeds

# A page that has grids of one seed says this once.
SINGLE_TRAINING_NOTE = "Where there is one training per method, intervals cover test-set sampling, not training seeds."
# Far from the seeds of the networks under attack: a surrogate is an independent training.
_SURROGATE_SEED = 1000


@dataclass(frozen=True, eq=False)
class Grid:
    """Networks trained by several methods, each under the same attacks.

    Attributes:
        methods: methods by the name that tables print.
        net, data, recipe: network, data set and recipe that the methods share.
        seeds: trainings per method.
        white_box: attacks on the network itself, by name.
        black_box: attacks on a surrogate, by name. The points of ``starts`` runs are given to the network; an image
            counts as robust only if it withstands all of them.
        surrogates: for each method the name of the method that trains its surrogate.
        recipes: recipes of methods that do not use the shared one.
        limit: number of attacked images, from the start of the test set; 0 for all. Clean accuracy is always on all.
        starts: runs of each black-box attack.

    Example:
        >>> grid = Grid(
        ...     {"Vanilla": "vanilla"}, "mlp", "digits", "recipe", seeds=2, white_box={"FGSM": {"fgsm": {"eps": 0.1}}}
        ... )
        >>> [task.kind for task in grid.tasks()]
        ['predicted', 'predicted', 'attacked', 'attacked']
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    white_box: Mapping[str, Any]
    black_box: Mapping[str, Any] = field(default_factory=dict)
    surrogates: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0
    starts: int = 5

    # Tasks

    @cached_property
    def trained(self) -> dict[str, tuple[TrainTask, ...]]:
        """Trainings by method, one per seed."""
        return {name: tuple(self._train(name, seed) for seed in range(self.seeds)) for name in self.methods}

    @cached_property
    def clean(self) -> dict[str, tuple[PredictTask, ...]]:
        """Predictions on clean test images by method, one per seed."""
        return {name: tuple(PredictTask(net) for net in nets) for name, nets in self.trained.items()}

    @cached_property
    def attacked(self) -> dict[tuple[str, str], tuple[tuple[AttackTask | TransferTask, ...], ...]]:
        """Attacks by method and attack: for each seed the runs that an image must all withstand."""
        tasks: dict[tuple[str, str], tuple[tuple[AttackTask | TransferTask, ...], ...]] = {}
        for name, nets in self.trained.items():
            for attack, spec in self.white_box.items():
                tasks[name, attack] = tuple(
                    (attack_task(net, spec, limit=self.limit, seed=seed, keep_points=False),)
                    for seed, net in enumerate(nets)
                )
            for attack, spec in self.black_box.items():
                if name in self.surrogates:
                    crafted = [self._craft(self.surrogates[name], spec, start) for start in range(self.starts)]
                    tasks[name, attack] = tuple(
                        tuple(TransferTask(net, points, keep_points=False) for points in crafted) for net in nets
                    )
        return tasks

    @cached_property
    def surrogate_nets(self) -> dict[str, TrainTask]:
        """Trainings of the surrogates of black-box attacks, by method."""
        methods = dict.fromkeys(self.surrogates[name] for name in self.methods if name in self.surrogates)
        return {method: self._train(method, _SURROGATE_SEED) for method in methods}

    def tasks(self) -> list[Task]:
        """All tasks whose results the grid reads."""
        clean = [task for tasks in self.clean.values() for task in tasks]
        return [*clean, *(task for nets in self.attacked.values() for tasks in nets for task in tasks)]

    def _train(self, name: str, seed: int) -> TrainTask:
        return train_task(self.methods[name], self.net, self.data, self.recipes.get(name, self.recipe), seed=seed)

    def _craft(self, surrogate: str, attack: Any, start: int) -> AttackTask:
        net, seed = self.surrogate_nets[surrogate], _SURROGATE_SEED + start
        return attack_task(net, as_transfer_attack(attack), limit=self.limit, seed=seed)

    # Results. An empty name of an attack stands for clean images.

    def accuracies(self, store: Store, name: str, attack: str = "") -> list[float]:
        """Accuracy of each network, clean or under an attack."""
        if not attack:
            return [accuracy(task.result(store)) for task in self.clean[name]]
        pairs = zip(self.attacked[name, attack], self.clean[name])
        return [robust_accuracy(attack_errors(tasks, clean, store)).value for tasks, clean in pairs]

    def accuracy_interval(self, store: Store, name: str, attack: str = "") -> Interval:
        """Accuracy with a 95 % interval: Student's t over seeds, or Wilson's over images if there is one seed."""
        if self.seeds > 1:
            return seed_interval(self.accuracies(store, name, attack))
        return robust_accuracy(self.misclassified(store, name, attack))

    def score_interval(self, store: Store, name: str, attack: str) -> Interval:
        """Mean of clean and robust accuracy (UTA), with a 95 % interval over seeds, or over images if there is one."""
        if self.seeds > 1:
            return seed_interval(self._network_scores(store, name, attack))
        return score_interval(~self.misclassified(store, name), ~self.misclassified(store, name, attack))

    def accuracy_gain(self, store: Store, better: tuple[str, str], worse: tuple[str, str]) -> Interval:
        """Accuracy of one (method, attack) minus that of another.

        The 95 % interval is Student's t of paired differences: over seeds, or over the images that both saw if there is
        one seed.
        """
        if self.seeds > 1:
            pairs = zip(self.accuracies(store, *better), self.accuracies(store, *worse))
            return seed_interval([high - low for high, low in pairs])
        first, second = (self.misclassified(store, *which) for which in (better, worse))
        n = min(len(first), len(second))
        return mean_interval(second[:n].double() - first[:n].double())

    def best_score_gain(self, store: Store, better: Sequence[str], worse: Sequence[str], attack: str) -> Interval:
        """Best score of some methods minus the best score of others, on the attacked images.

        The best method is selected on other data than it is judged on, because the best of many is too good on the data
        that selected it: on the other seeds, or on the other half of the images if there is one seed. The 95 % interval
        is Student's t over seeds or images.
        """
        if self.seeds > 1:
            scores = {name: torch.tensor(self._network_scores(store, name, attack)) for name in (*better, *worse)}
        else:
            scores = {name: self._image_scores(store, name, attack) for name in (*better, *worse)}
        folds = torch.arange(len(scores[better[0]])) % max(self.seeds, 2)
        gains = []
        for fold in range(int(folds.max()) + 1):
            rest, here = folds != fold, folds == fold
            high, low = (max(names, key=lambda name: float(scores[name][rest].mean())) for names in (better, worse))
            gains.append(scores[high][here] - scores[low][here])
        return mean_interval(torch.cat(gains))

    def score_gain(self, store: Store, baseline: Grid, name: str, attack: str) -> Interval:
        """A method's score minus its score in another grid of the same images.

        The 95 % interval is Student's t of paired differences: over seeds, or over the attacked images if there is one
        seed.
        """
        if self.seeds > 1:
            pairs = zip(self._network_scores(store, name, attack), baseline._network_scores(store, name, attack))
            return seed_interval([score - before for score, before in pairs])
        return mean_interval(self._image_scores(store, name, attack) - baseline._image_scores(store, name, attack))

    def misclassified(self, store: Store, name: str, attack: str = "") -> Bool[Tensor, " n"]:
        """Images that the first network misclassifies, clean or under an attack."""
        if attack:
            return attack_errors(self.attacked[name, attack][0], self.clean[name][0], store)
        return clean_errors(self.clean[name][0], store)

    def _network_scores(self, store: Store, name: str, attack: str) -> list[float]:
        return [fmean(pair) for pair in zip(self.accuracies(store, name), self.accuracies(store, name, attack))]

    def _image_scores(self, store: Store, name: str, attack: str) -> Float[Tensor, " n"]:
        """Score of the first network on each attacked image: 0, ½ or 1."""
        broken = self.misclassified(store, name, attack)
        return 1 - (self.misclassified(store, name)[: len(broken)].double() + broken.double()) / 2

    # Captions

    def caption(self) -> str:
        """Data, networks, number of attacked images, and what intervals cover."""
        test = len(load_splits(self._first_training.data).test)
        attacked = self.limit or test
        return f"{self.describe_setup()} {name_subset(attacked, test)} are attacked; {self.sampling()}."

    def describe_setup(self) -> str:
        """Data and networks as a sentence or two."""
        splits = load_splits(self._first_training.data)
        lengths = sorted({recipe_epochs(nets[0].recipe) for nets in self.trained.values()})
        joint = sorted({name.rsplit(" ", 1)[0] for name, count in self.members.items() if count > 1})
        ensembles = (
            f" {', '.join(joint)}: {max(self.members.values())} networks trained side by side; their mean prediction "
            "is tested."
        )
        return (
            f"{splits.title}, {base_name(self._first_training.net)}, {' or '.join(map(str, lengths))} epochs: "
            f"{len(splits.train)} training, {len(splits.test)} test images.{ensembles if joint else ''}"
        )

    def sampling(self) -> Sampling:
        """What the intervals of this grid cover."""
        return over_images() if self.seeds == 1 else over_seeds(self.seeds)

    def notes(self) -> list[str]:
        """Reservations that a page states once."""
        return [SINGLE_TRAINING_NOTE] if self.seeds == 1 else []

    @property
    def epochs(self) -> int:
        """Epochs of the recipe that the methods share."""
        return recipe_epochs(self.recipe)

    @cached_property
    def members(self) -> dict[str, int]:
        """Number of networks that each method trains side by side."""
        return {name: build("method", method).members for name, method in self.methods.items()}

    @property
    def _first_training(self) -> TrainTask:
        return next(iter(self.trained.values()))[0]


def name_subset(count: int, total: int | None = None) -> str:
    """The first test images of a study, for captions: its test sets are in a fixed random order.

    Args:
        count: number of images.
        total: size of the test set; None if it is not known that images are left out.

    Example:
        >>> name_subset(1000, 10_000), name_subset(10_000, 10_000)
        ('A fixed random subset of 1000 test images', 'All 10000 test images')
    """
    return f"All {count} test images" if count == total else f"A fixed random subset of {count} test images"


def score_interval(right: Bool[Tensor, " n"], robust: Bool[Tensor, " m"]) -> Interval:
    """Mean of clean and robust accuracy, with a 95 % interval over images.

    Both accuracies are of the same images, and a robust image is usually a right one, so their errors are not
    independent. An attacked image enters with both of its outcomes at once; images that were not attacked enter with
    their clean outcome as an independent group.

    Args:
        right: whether each test image is classified correctly.
        robust: whether each of the first m of them withstands the attack.

    Returns:
        The score with the Student t interval; if all images are attacked, that of the mean of (right + robust) / 2.

    Example:
        >>> import torch
        >>> right, robust = torch.tensor([True, True, True, False]), torch.tensor([True, False, False, False])
        >>> score_interval(right, robust).value
        0.5
    """
    n, m = len(right), len(robust)
    attacked = mean_interval((m / n * right[:m].double() + robust.double()) / 2)
    if n == m:
        return attacked
    rest = mean_interval((n - m) / n * right[m:].double() / 2)
    value, half = attacked.value + rest.value, hypot(attacked.high - attacked.value, rest.high - rest.value)
    return Interval(value, value - half, value + half, n)


def recipe_epochs(recipe: Any) -> int:
    """Epochs of a recipe, given by name, as ``{name: arguments}`` or as a component.

    Example:
        >>> recipe_epochs({"recipe": {"epochs": 7}})
        7
    """
    epochs: int = build("recipe", recipe).epochs
    return epochs


def clean_errors(task: PredictTask, store: Store) -> Bool[Tensor, " n"]:
    """Images that a network misclassifies."""
    p = task.result(store)
    return p.top()[1] == 0


def attack_errors(tasks: Sequence[AttackTask | TransferTask], clean: PredictTask, store: Store) -> Bool[Tensor, " n"]:
    """Images that at least one of several attacks breaks, or for which the network has no answer."""
    found = torch.stack([task.result(store)["found"] for task in tasks]).any(0)
    return misclassified_under_attack(found, clean.result(store))
