"""Methods × attacks: the one grid behind the robustness tables of the papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import hypot
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from surefooted.attacks.transfer import as_transfer_attack
from surefooted.components.spec import base_name, build
from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.intervals import Interval, mean_interval, seed_interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
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

# Far from the seeds of the networks that are attacked: a proxy is trained independently.
PROXY_SEED = 1000


@dataclass(frozen=True, eq=False)
class Grid:
    """Networks trained by several methods, each under the same attacks.

    Attributes:
        methods: by the name that tables print.
        white: attacks on the network itself, by name.
        black: attacks on a proxy, by name; their points are then given to the network, from ``starts`` runs, of which
            all must fail.
        proxies: for each method the name of the one that its proxy is trained by, once for all.
        recipes: for methods that have one of their own.
        limit: images attacked, the first so many of the test set; 0 for all. Clean accuracy is always of all.
    """

    methods: Mapping[str, Any]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    white: Mapping[str, Any]
    black: Mapping[str, Any] = field(default_factory=dict)
    proxies: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0
    starts: int = 5

    @cached_property
    def trained(self) -> dict[str, tuple[TrainTask, ...]]:
        return {name: tuple(self._train(name, seed) for seed in range(self.seeds)) for name in self.methods}

    @cached_property
    def clean(self) -> dict[str, tuple[PredictTask, ...]]:
        return {name: tuple(PredictTask(one) for one in nets) for name, nets in self.trained.items()}

    @cached_property
    def attacked(self) -> dict[tuple[str, str], tuple[tuple[AttackTask | TransferTask, ...], ...]]:
        """By method and attack, for each network the cells of which all must fail."""
        made: dict[tuple[str, str], tuple[tuple[AttackTask | TransferTask, ...], ...]] = {}
        for name, nets in self.trained.items():
            for attack, given in self.white.items():
                made[name, attack] = tuple(
                    (attack_task(one, given, limit=self.limit, seed=seed, keep_points=False),)
                    for seed, one in enumerate(nets)
                )
            for attack, given in self.black.items():
                if name in self.proxies:
                    moved = [self._crafted(self.proxies[name], given, start) for start in range(self.starts)]
                    made[name, attack] = tuple(
                        tuple(TransferTask(one, points, keep_points=False) for points in moved) for one in nets
                    )
        return made

    def tasks(self) -> list[Task]:
        clean = [task for tasks in self.clean.values() for task in tasks]
        return [*clean, *(task for nets in self.attacked.values() for tasks in nets for task in tasks)]

    def _train(self, name: str, seed: int) -> TrainTask:
        return train_task(self.methods[name], self.net, self.data, self.recipes.get(name, self.recipe), seed=seed)

    @cached_property
    def proxy_nets(self) -> dict[str, TrainTask]:
        """The networks that black-box attacks are made on, by the method that they are trained by."""
        kinds = dict.fromkeys(self.proxies[name] for name in self.methods if name in self.proxies)
        return {kind: self._train(kind, PROXY_SEED) for kind in kinds}

    def _crafted(self, proxy: str, attack: Any, start: int) -> AttackTask:
        return attack_task(
            self.proxy_nets[proxy], as_transfer_attack(attack), limit=self.limit, seed=PROXY_SEED + start
        )

    def accuracies(self, store: Store, name: str, attack: str = "") -> list[float]:
        """Accuracy of each network, clean or under an attack."""
        if not attack:
            return [accuracy(task.result(store)) for task in self.clean[name]]
        return [robust_accuracy(found(tasks, store)).value for tasks in self.attacked[name, attack]]

    def interval(self, store: Store, name: str, attack: str = "") -> Interval:
        """95 %: over the networks where there are several (t), else over the images (Wilson)."""
        values = self.accuracies(store, name, attack)
        if len(values) > 1:
            return seed_interval(values)
        return robust_accuracy(self.wrong(store, name, attack))

    def score(self, store: Store, name: str, attack: str) -> Interval:
        """Mean of clean and robust accuracy (UTA); over images the two intervals are put together as independent."""
        if self.seeds > 1:
            return seed_interval(self._scores(store, name, attack))
        clean, robust = self.interval(store, name), self.interval(store, name, attack)
        value = fmean((clean.value, robust.value))
        below = hypot(clean.value - clean.low, robust.value - robust.low)
        above = hypot(clean.high - clean.value, robust.high - robust.value)
        return Interval(value, value - below / 2, value + above / 2, robust.n)

    def gain(self, store: Store, better: tuple[str, str], worse: tuple[str, str]) -> Interval:
        """How much more accurate one (method, attack) is than another; attack "" is none.

        95 % of the mean of differences (Student's t): over the networks where there are several, else over the images
        that both saw.
        """
        if self.seeds > 1:
            pairs = zip(self.accuracies(store, *better), self.accuracies(store, *worse))
            return seed_interval([high - low for high, low in pairs])
        first, second = (self.wrong(store, *which) for which in (better, worse))
        n = min(len(first), len(second))
        return mean_interval(second[:n].double() - first[:n].double())

    def best_gain(self, store: Store, better: Sequence[str], worse: Sequence[str], attack: str) -> Interval:
        """How much higher the best score of some methods is than that of others, as ``gain``; on the attacked images.

        Which are the best is chosen by the other networks where there are several, else by the other half of the
        images: chosen by what they are judged on, the best of many would come out too good.
        """
        if self.seeds > 1:
            scores = {name: torch.tensor(self._scores(store, name, attack)) for name in (*better, *worse)}
        else:
            scores = {name: -self._lost(store, name, attack) for name in (*better, *worse)}
        parts = torch.arange(len(scores[better[0]])) % max(self.seeds, 2)
        gains = []
        for part in parts.unique():
            others, here = parts != part, parts == part
            high, low = (max(names, key=lambda name: float(scores[name][others].mean())) for names in (better, worse))
            gains.append(scores[high][here] - scores[low][here])
        return mean_interval(torch.cat(gains))

    def rise(self, store: Store, before: Grid, name: str, attack: str) -> Interval:
        """How much higher a method's score is than in another grid of the same images, as ``gain``.

        Of the networks where there are several, else on the attacked images.
        """
        if self.seeds > 1:
            pairs = zip(self._scores(store, name, attack), before._scores(store, name, attack))
            return seed_interval([now - then for now, then in pairs])
        return mean_interval(before._lost(store, name, attack) - self._lost(store, name, attack))

    def _scores(self, store: Store, name: str, attack: str) -> list[float]:
        """The score of each network."""
        return [fmean(p) for p in zip(self.accuracies(store, name), self.accuracies(store, name, attack))]

    def _lost(self, store: Store, name: str, attack: str) -> Tensor:
        """What each attacked image takes from the first network's score."""
        broken = self.wrong(store, name, attack)
        return (self.wrong(store, name, "")[: len(broken)].double() + broken.double()) / 2

    def wrong(self, store: Store, name: str, attack: str) -> Tensor:
        """Which images the first network gets wrong, clean or under an attack."""
        if attack:
            return found(self.attacked[name, attack][0], store)
        return missed(self.clean[name][0], store)

    def caption(self) -> str:
        attacked = self.limit or len(load_splits(self._some.data).test)
        return f"{self.about()} The first {attacked} test images are attacked; {self.over()}."

    def about(self) -> str:
        """Data and networks."""
        splits = load_splits(self._some.data)
        lengths = sorted({epochs_of(nets[0].recipe) for nets in self.trained.values()})
        together = sorted({name.rsplit(" ", 1)[0] for name, many in self.members.items() if many > 1})
        said = (
            f" {', '.join(together)}: the mean prediction of {max(self.members.values())} networks trained side by "
            "side, in the test too."
        )
        return (
            f"{splits.title}, {base_name(self._some.net)}, {' or '.join(map(str, lengths))} epochs: "
            f"{len(splits.train)} training, {len(splits.test)} test images.{said if together else ''}"
        )

    def over(self) -> str:
        """What intervals are over."""
        what = "training" if max(self.members.values()) > 1 else "network"
        if self.seeds == 1:
            return f"one {what} a method, 95 % interval over images, which leaves out how trainings differ"
        return f"{self.seeds} {what}s a method, 95 % interval over {what}s"

    @property
    def epochs(self) -> int:
        """Of the recipe that methods share."""
        return epochs_of(self.recipe)

    @property
    def _some(self) -> TrainTask:
        return next(iter(self.trained.values()))[0]

    @cached_property
    def members(self) -> dict[str, int]:
        """How many networks each method trains at once."""
        return {name: build("method", method).members for name, method in self.methods.items()}


def epochs_of(recipe: Any) -> int:
    epochs: int = build("recipe", recipe).epochs
    return epochs


def missed(task: PredictTask, store: Store) -> Tensor:
    """Which clean images are misclassified."""
    p = task.result(store)
    return p.log_p.argmax(-1) != p.y


def found(tasks: tuple[AttackTask | TransferTask, ...], store: Store) -> Tensor:
    """Which images at least one of several attacks broke."""
    return torch.stack([task.result(store)["found"] for task in tasks]).any(0)
