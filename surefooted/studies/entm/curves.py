"""What the study of EntM draws against an attack's size, its steps and λ (figures 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from surefooted.components.spec import base_name
from surefooted.pipeline.tasks import AttackTask, Task, TrainTask, attack_task
from surefooted.studies.grid import Grid
from surefooted.studies.paper_numbers import DATA_SET_TITLES

# The methods that the paper draws.
CURVES = ("PAT", "PAT-EntM", "TRADES")
# The paper's start of all attacks (section 5.1).
START = {"start": "gaussian", "sigma": 0.005}


@dataclass(frozen=True, eq=False)
class Curves:
    """What ever larger and longer attacks leave of the first network of some methods, and what λ does to PAT-EntM.

    Attributes:
        grid: where the networks are.
        radii: k of figure 1: PGD of k steps of 2/255 in a ball of k/255.
        pixels: k of figure 2: the two radii k/255 at which attacks get more steps.
        steps: of figure 2.
        sweep: λ and the network of PAT-EntM trained with it (figure 3).
        images: of the test set, the first so many.
        named: whether figures and claims say which data they are of, where the study has curves of several.
    """

    grid: Grid
    radii: tuple[int, ...]
    pixels: tuple[int, int]
    steps: tuple[int, ...]
    sweep: Grid
    images: int
    named: bool = field(default=False, kw_only=True)

    @property
    def data(self) -> str:
        return base_name(self.grid.data)

    @property
    def suffix(self) -> str:
        """Of the names of figures."""
        return f"-{self.data}" if self.named else ""

    @property
    def where(self) -> str:
        """For titles and claims."""
        return f" on {DATA_SET_TITLES.get(self.data, self.data)}" if self.named else ""

    @cached_property
    def curve(self) -> dict[tuple[str, int], AttackTask]:
        """Figure 1, by method and radius."""
        return {
            (name, k): self.attack(
                self._net(name), {"pgd": {"eps": k / 255, "steps": k, "step_size": 2 / 255, **START}}
            )
            for name in CURVES
            for k in self.radii
        }

    @cached_property
    def longer(self) -> dict[tuple[str, int, int], AttackTask]:
        """Figure 2, by method, radius and steps."""
        return {
            (name, k, steps): self.attack(self._net(name), {"pgd": at(k, steps)})
            for name in CURVES
            for k in self.pixels
            for steps in self.steps
        }

    @cached_property
    def adaptive(self) -> dict[tuple[str, int, int], AttackTask]:
        """Figure 2, under labels smoothed by the worst γ."""
        return {
            (name, k, steps): self.attack(self._net(name), {"adaptive_smoothing": at(k, steps)})
            for name in CURVES
            for k in self.pixels
            for steps in self.steps[::2]
        }

    @property
    def most(self) -> int:
        """Steps of the adaptive attack at its longest."""
        return max(self.steps[::2])

    def attack(self, net: TrainTask, attack: Any) -> AttackTask:
        """On as many images as the curves."""
        return attack_task(net, attack, limit=self.images, keep_points=False)

    def tasks(self) -> list[Task]:
        return [*self.sweep.tasks(), *self.curve.values(), *self.longer.values(), *self.adaptive.values()]

    def _net(self, name: str) -> TrainTask:
        return self.grid.trained[name][0]


def at(k: int, steps: int) -> dict[str, Any]:
    """Figure 2: so many steps, together twice as long as the radius, but none shorter than half a grey level."""
    return {"eps": k / 255, "steps": steps, "step_size": max(1 / 510, 2 * k / 255 / steps), **START}
