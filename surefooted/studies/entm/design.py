"""Tasks of EntM's analysis: gradient masking (section 5.2, appendix C) and why EntM works (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from surefooted.evaluation.analysis import normalised_margin
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    LocalAnalysisTask,
    LossSurfaceTask,
    SanityCheckTask,
    Task,
    attack_task,
)
from surefooted.studies.entm.curves import GAUSSIAN_START, Curves
from surefooted.studies.entm.grids import pgd_attack, weakest_pgd

# The methods that section 6 analyses, table 10 lists and figures 5 and 6 show.
ANALYSIS_METHODS = ("Normal", "EntM", "LS", "PAT", "PAT-EntM", "PAT-LS", "TRADES")
RANDOM_SEARCH_METHODS = ("EntM", "ADP", "LS", "PAT", "PAT-EntM")
SURFACE_METHODS = ("EntM", "PAT-EntM")


@dataclass(frozen=True, eq=False)
class Analysis(Curves):
    """EntM's analysis of the first network of each method of the grid (sections 5.2 and 6, appendix C).

    Random search (table 10) runs on the images of the curves, at the first of ``step_radii``.

    Attributes:
        analysis_images: number of test images in section 6, from the start of the test set.
        l2_radii: radii in L2 at whose adversarial examples the non-linearity Q is measured (table 4); findings use the
            last.
        surface_radius: largest offset in figures 5 and 6.
        search_draws: draws of the random search per image.
        surface_points: points along each axis of the loss surfaces.
    """

    image_counts: ClassVar[tuple[str, ...]] = ("images", "analysis_images")

    analysis_images: int
    l2_radii: tuple[float, ...] = (0.5,)
    surface_radius: float = 0.04
    search_draws: int = 10_000
    surface_points: int = 21

    @cached_property
    def random_search_attacks(self) -> dict[str, tuple[AttackTask, AttackTask]]:
        """Table 10: PGD-10, and PGD-10 followed by random search on the images that it did not break."""
        k = self.step_radii[0]
        pgd = pgd_attack(10, k)
        search = {"random_search": {"eps": k / 255, "draws": self.search_draws}}
        both = {"worst_of": {"attacks": [pgd, search]}}
        return {
            name: (self.attack(self._net(name), pgd), self.attack(self._net(name), both))
            for name in RANDOM_SEARCH_METHODS
        }

    @cached_property
    def l2_attacks(self) -> dict[tuple[str, float], AttackTask]:
        """PGD20 in L2, by method and radius; table 4 measures Q at its points."""
        arguments = {"norm": "l2", "steps": 20, "keep": "worst", "restarts": 5, **GAUSSIAN_START}
        return {
            (name, eps): attack_task(
                self._net(name), {"pgd": {"eps": eps, "step_size": eps / 10, **arguments}}, limit=self.analysis_images
            )
            for name in ANALYSIS_METHODS
            for eps in self.l2_radii
        }

    @cached_property
    def local_analyses(self) -> dict[tuple[str, float], LocalAnalysisTask]:
        """Margin, Jacobian and non-linearity of each image, by method and radius."""
        return {
            (name, eps): LocalAnalysisTask(self._net(name), limit=self.analysis_images, source_attack=moved)
            for (name, eps), moved in self.l2_attacks.items()
        }

    @cached_property
    def distortion_attacks(self) -> dict[str, AttackTask]:
        """Distance to the decision boundary: an L2 attack without a bound."""
        return {
            name: attack_task(self._net(name), "nearest_boundary", limit=self.analysis_images, keep_points=False)
            for name in ANALYSIS_METHODS
        }

    @cached_property
    def loss_surfaces(self) -> dict[str, LossSurfaceTask]:
        """Loss surfaces around two images (figures 5 and 6), by method."""
        return {
            name: LossSurfaceTask(self._net(name), reach=self.surface_radius, grid=self.surface_points, limit=2)
            for name in SURFACE_METHODS
        }

    @cached_property
    def sanity_checks(self) -> dict[str, SanityCheckTask]:
        """Checks for gradient masking, by method."""
        return {name: SanityCheckTask(self._net(name)) for name in self.grid.methods}

    def masking_tasks(self) -> list[Task]:
        """What the tables on gradient masking read."""
        white, black = self.masking_attacks
        grid = replace(
            self.grid,
            white_box={white: self.grid.white_box[white]},
            black_box={black: self.grid.black_box[black]},
        )
        pairs = [task for pair in self.random_search_attacks.values() for task in pair]
        return [*grid.tasks(), *pairs, *self.sanity_checks.values()]

    def mechanism_tasks(self) -> list[Task]:
        """What table 4 and figures 4 to 6 read."""
        parts: Sequence[dict[Any, Any]] = (self.local_analyses, self.distortion_attacks, self.loss_surfaces)
        return [task for part in parts for task in part.values()]

    @property
    def masking_attacks(self) -> tuple[str, str]:
        """The weakest PGD attack with a network's own gradients, and the same with those of a surrogate."""
        white = weakest_pgd(self.grid)
        return white, f"black-box {white}"

    def random_search_success(self, store: Store, name: str) -> Interval:
        """Share of the images robust to PGD-10 that random search breaks.

        If there are no such images, the interval is [0, 1].
        """
        first, both = (task.result(store)["found"] for task in self.random_search_attacks[name])
        return robust_accuracy(~both[~first]) if bool((~first).any()) else Interval(0.0, 0.0, 1.0, 0)

    def geometry(self, store: Store, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised margin, distortion, and Q at the last radius, of the correctly classified images."""
        local = self.local_analyses[name, self.l2_radii[-1]].result(store)
        nearest = self.distortion_attacks[name].result(store)
        correct = local["correct"] & nearest["found"]
        margin = normalised_margin(local["margin"].double(), local["jacobian_norm"].double())
        return margin[correct], nearest["size"][correct].double(), local["q"][correct]
