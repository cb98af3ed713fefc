"""What the study of EntM computes beside its grid and its curves: whether gradients are masked, and why it works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from surefooted.evaluation.analysis import normalised_margin
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    LocalAnalysisTask,
    LossSurfaceTask,
    PredictTask,
    SanityCheckTask,
    Task,
    attack_task,
    load_splits,
)
from surefooted.studies.entm.curves import START, Curves, at
from surefooted.studies.entm.grids import pgd, strongest, weakest

# Section 6 speaks of these.
ANALYSED = ("Normal", "EntM", "LS", "PAT", "PAT-EntM", "PAT-LS", "TRADES")
SEARCHED = ("EntM", "ADP", "LS", "PAT", "PAT-EntM")
SURFACES = ("EntM", "PAT-EntM")


@dataclass(frozen=True, eq=False)
class Analysis(Curves):
    """The cells of EntM's analysis (sections 5.2, 6 and C), of the first network of each method of the grid.

    Attributes:
        examples: images of section 6, the first so many; random search has as many as the curves, at the first of
            their ``pixels`` (table 10).
        bent: radii in L2 at whose adversarial points Q is read (table 4); the findings are about the last.
        reach: of figures 5 and 6.
        draws: of random search.
    """

    examples: int
    bent: tuple[float, ...] = (0.5,)
    reach: float = 0.04
    draws: int = 10_000
    grid_points: int = 21

    @cached_property
    def adaptive_again(self) -> dict[int, AttackTask]:
        """The longest adaptive attack on a second network of PAT, by radius: how far two trainings are apart."""
        second = self.grid.surrogate_nets["PAT"]
        return {k: self.attack(second, {"adaptive_smoothing": at(k, self.most)}) for k in self.pixels}

    @cached_property
    def withstood(self) -> dict[str, tuple[AttackTask, AttackTask]]:
        """Table 10: PGD-10, and the same followed by random search on what it did not break."""
        steps = pgd(10, self.pixels[0])
        both = {"worst_of": {"attacks": [steps, {"random_search": {"eps": self.pixels[0] / 255, "draws": self.draws}}]}}
        return {name: (self.attack(self._net(name), steps), self.attack(self._net(name), both)) for name in SEARCHED}

    @cached_property
    def moved(self) -> dict[tuple[str, float], AttackTask]:
        """PGD20 in L2 (table 4), by method and radius: Q is read at its points."""
        given = {"norm": "l2", "steps": 20, "keep": "worst", "restarts": 5, **START}
        return {
            (name, eps): attack_task(
                self._net(name), {"pgd": {"eps": eps, "step_size": eps / 10, **given}}, limit=self.examples
            )
            for name in ANALYSED
            for eps in self.bent
        }

    @cached_property
    def analysed(self) -> dict[tuple[str, float], LocalAnalysisTask]:
        return {
            (name, eps): LocalAnalysisTask(self._net(name), limit=self.examples, moved=moved)
            for (name, eps), moved in self.moved.items()
        }

    @cached_property
    def distortion(self) -> dict[str, AttackTask]:
        """How far the nearest misclassified point is: an L2 attack without bound."""
        return {
            name: attack_task(self._net(name), "nearest_boundary", limit=self.examples, keep_points=False)
            for name in ANALYSED
        }

    @cached_property
    def surfaces(self) -> dict[str, LossSurfaceTask]:
        return {
            name: LossSurfaceTask(self._net(name), reach=self.reach, grid=self.grid_points, limit=2)
            for name in SURFACES
        }

    @cached_property
    def probed(self) -> dict[str, SanityCheckTask]:
        return {name: SanityCheckTask(self._net(name)) for name in self.grid.methods}

    @cached_property
    def again(self) -> dict[tuple[str, str], PredictTask | AttackTask]:
        """The proxies, by method and attack ("" is none): a second network of a method shows how trainings differ."""
        made: dict[tuple[str, str], PredictTask | AttackTask] = {}
        for name, net in self.grid.surrogate_nets.items():
            made[name, ""] = PredictTask(net)
            for attack in (weakest(self.grid), strongest(self.grid)):
                given = self.grid.white_box[attack]
                made[name, attack] = attack_task(net, given, limit=self.grid.limit, keep_points=False)
        return made

    @property
    def guess(self) -> float:
        """Accuracy of a guess."""
        return 1 / len(load_splits(self.grid.trained["EntM"][0].data).test.classes)

    def tasks(self) -> list[Task]:
        pairs = [task for pair in self.withstood.values() for task in pair]
        parts: Sequence[dict[Any, Any]] = (
            self.adaptive_again,
            self.analysed,
            self.distortion,
            self.surfaces,
            self.probed,
            self.again,
        )
        return [*super().tasks(), *pairs, *(task for part in parts for task in part.values())]

    def searched(self, store: Store, name: str) -> Interval:
        """Of what withstood PGD-10, the share that random search breaks; of nothing it may be any."""
        first, both = (task.result(store)["found"] for task in self.withstood[name])
        return robust_accuracy(~both[~first]) if bool((~first).any()) else Interval(0.0, 0.0, 1.0, 0)

    def distances(self, store: Store, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised margin, distortion, and Q at the last radius, of the images that are classified correctly."""
        found, far = self.analysed[name, self.bent[-1]].result(store), self.distortion[name].result(store)
        right = found["correct"] & far["found"]
        normal = normalised_margin(found["margin"].double(), found["jacobian_norm"].double())
        return normal[right], far["size"][right].double(), found["q"][right]
