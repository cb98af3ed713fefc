"""Accuracy against the radius, the number of steps and λ (EntM, figures 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from surefooted.components.spec import base_name
from surefooted.pipeline.tasks import AttackTask, TrainTask, attack_task
from surefooted.studies.claims import over_images
from surefooted.studies.grid import Grid
from surefooted.studies.paper_numbers import DATA_SET_TITLES
from surefooted.studies.scope import Scope

# The methods in the paper's figures 1 and 2.
CURVE_METHODS = ("PAT", "PAT-EntM", "TRADES")
# The starting point of all attacks (section 5.1).
GAUSSIAN_START = {"start": "gaussian", "sigma": 0.005}
# For captions and findings about the first network of each method.
FIRST_NETWORK = "The first network of each method; intervals cover test-set sampling, not training seeds."
ONE_NETWORK = over_images()
AnyCurves = TypeVar("AnyCurves", bound="Curves")


@dataclass(frozen=True, eq=False)
class Curves:
    """Attacks of increasing radius and length on the first network of some methods, and a sweep of λ for PAT-EntM.

    Attributes:
        grid: the trained networks.
        radii: values k of figure 1: PGD with k steps of 2/255 in a ball of radius k/255.
        step_radii: the two values k of figure 2: radii k/255 at which the number of steps grows.
        steps: numbers of steps in figure 2.
        sweep: PAT-EntM trained with several λ (figure 3).
        images: number of attacked images, from the start of the test set.
        image_counts: names of the attributes that are numbers of attacked images.
        show_data: figures and claims name their data set; needed if the study has curves of several.
    """

    image_counts: ClassVar[tuple[str, ...]] = ("images",)

    grid: Grid
    radii: tuple[int, ...]
    step_radii: tuple[int, int]
    steps: tuple[int, ...]
    sweep: Grid
    images: int
    show_data: bool = field(default=False, kw_only=True)

    @property
    def data(self) -> str:
        """Name of the data set."""
        return base_name(self.grid.data)

    @property
    def name_suffix(self) -> str:
        """End of the figures' names."""
        return f"-{self.data}" if self.show_data else ""

    @property
    def title_suffix(self) -> str:
        """End of titles and claims."""
        return f" on {DATA_SET_TITLES.get(self.data, self.data)}" if self.show_data else ""

    @cached_property
    def radius_attacks(self) -> dict[tuple[str, int], AttackTask]:
        """Figure 1, by method and radius."""
        return {
            (name, k): self.attack(
                self._net(name), {"pgd": {"eps": k / 255, "steps": k, "step_size": 2 / 255, **GAUSSIAN_START}}
            )
            for name in CURVE_METHODS
            for k in self.radii
        }

    @cached_property
    def step_attacks(self) -> dict[tuple[str, int, int], AttackTask]:
        """Figure 2, by method, radius and number of steps."""
        return {
            (name, k, steps): self.attack(self._net(name), {"pgd": step_arguments(k, steps)})
            for name in CURVE_METHODS
            for k in self.step_radii
            for steps in self.steps
        }

    @cached_property
    def adaptive_attacks(self) -> dict[tuple[str, int, int], AttackTask]:
        """Figure 2, with labels smoothed by the worst γ, by method, radius and number of steps."""
        return {
            (name, k, steps): self.attack(self._net(name), {"adaptive_smoothing": step_arguments(k, steps)})
            for name in CURVE_METHODS
            for k in self.step_radii
            for steps in self.steps[::2]
        }

    @cached_property
    def adaptive_second_training(self) -> dict[int, AttackTask]:
        """The longest adaptive attack on a second PAT network, by radius, to estimate the difference between seeds."""
        second = self.grid.surrogate_nets["PAT"]
        return {
            k: self.attack(second, {"adaptive_smoothing": step_arguments(k, self.max_steps)}) for k in self.step_radii
        }

    @property
    def max_steps(self) -> int:
        """Number of steps of the longest adaptive attack."""
        return max(self.steps[::2])

    def attack(self, net: TrainTask, attack: Any) -> AttackTask:
        """Attack a network on the images of the curves."""
        return attack_task(net, attack, limit=self.images, keep_points=False)

    def narrow(self: AnyCurves, scope: Scope) -> AnyCurves:
        """The same attacks in another scope."""
        limits: dict[str, Any] = {} if scope.limit is None else dict.fromkeys(self.image_counts, scope.limit)
        return replace(self, grid=scope.narrow(self.grid), sweep=scope.narrow(self.sweep), **limits)

    def _net(self, name: str) -> TrainTask:
        return self.grid.trained[name][0]


def step_arguments(k: int, steps: int) -> dict[str, Any]:
    """Arguments of an attack in figure 2: radius k/255, and steps that add up to twice the radius.

    A step is at least half a grey level.
    """
    return {"eps": k / 255, "steps": steps, "step_size": max(1 / 510, 2 * k / 255 / steps), **GAUSSIAN_START}
