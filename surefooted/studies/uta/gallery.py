"""Adversarial examples of UTA and PGD without a bound (UTA, figure 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from surefooted.components.spec import base_name
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    AttackTask,
    ComponentSpec,
    PredictTask,
    Source,
    Task,
    TrainTask,
    attack_task,
    eval_images,
    load_splits,
)
from surefooted.report import Figure, Panel
from surefooted.report.images import image_with_text
from surefooted.studies.grid import recipe_epochs
from surefooted.studies.shared_figures import to_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OBJECTIVES = {"UTA": "entropy", "PGD": "cross_entropy"}


@dataclass(frozen=True, eq=False)
class PerturbationGallery:
    """The first test images, perturbed by UTA and by PGD far beyond any usual radius.

    Attributes:
        victim: a classifier of images with one or three channels.
        images: number of images.
        steps, step_size: 1,000 steps of 0.001 in the paper.
        eps: radius; 1 in L∞ does not bound pixels in [0, 1] and equals the paper's infinity.
        data: the victim's own if None.
    """

    victim: Source
    images: int = 6
    steps: int = 1000
    step_size: float = 0.001
    eps: float = 1.0
    data: ComponentSpec | None = None

    @cached_property
    def attacks(self) -> dict[str, AttackTask]:
        """The attack tasks, by name."""
        return {name: self._attack(objective) for name, objective in _OBJECTIVES.items()}

    @cached_property
    def predictions(self) -> dict[str, PredictTask]:
        """Predictions on the images, clean and perturbed, by row of the figure."""
        clean = PredictTask(self.victim, data=self.data, limit=self.images)
        return {"Clean": clean} | {
            name: PredictTask(self.victim, source_attack=task, data=self.data) for name, task in self.attacks.items()
        }

    def tasks(self) -> list[Task]:
        """Everything that the figure reads."""
        return list(self.predictions.values())

    def figure(self, store: Store) -> Figure:
        """Clean images and their adversarial examples, each with the predicted class and its confidence."""
        shown = eval_images(self.victim, self.data, "test", self.images)
        rows = {"Clean": shown.points().x} | {name: task.result(store)["x"] for name, task in self.attacks.items()}
        pictures = {name: to_image(x) for name, x in rows.items()}
        labels = {}
        for name, task in self.predictions.items():
            confidence, predicted = task.result(store).log_p.exp().max(-1)
            labels[name] = [
                f"{shown.classes[int(k)]}\n{100 * float(p):.0f} %" for p, k in zip(confidence, predicted, strict=True)
            ]
        changes = ", ".join(
            f"{name} changes a pixel by {fmean(values):.2f}" for name, values in self.pixel_changes(store).items()
        )
        return Figure(
            "looks",
            "Adversarial examples of UTA and PGD without a bound (figure 8)",
            Panel(lambda ax: _draw_image_rows(ax, pictures, labels), size=(0.65 + 0.92 * len(shown), 3.8)),
            f"{self.steps:,} steps of {self.step_size:g} from the clean image, ε = {self.eps:g} (L∞) for pixels in "
            "[0, 1], the last iterate. Below each image are the predicted class and its confidence. The first test "
            f"images; on average {changes}. {self._victim_note()} The paper's figure is for CIFAR-10 and a ResNet.",
            "Rows of images: clean, after UTA, after PGD.",
        )

    def pixel_changes(self, store: Store) -> dict[str, list[float]]:
        """Mean absolute change of a pixel, for each image, by attack."""
        clean = eval_images(self.victim, self.data, "test", self.images).points().x
        perturbed = {name: task.result(store)["x"] for name, task in self.attacks.items()}
        return {name: (x - clean).abs().flatten(1).mean(1).tolist() for name, x in perturbed.items()}

    def _victim_note(self) -> str:
        """Data, network and epochs, if the victim was trained here."""
        if not isinstance(self.victim, TrainTask):
            return ""
        title, net = load_splits(self.victim.data).title, base_name(self.victim.net)
        return f"{title}, {net}, {recipe_epochs(self.victim.recipe)} epochs."

    def _attack(self, objective: str) -> AttackTask:
        arguments = {"eps": self.eps, "steps": self.steps, "step_size": self.step_size, "objective": objective}
        attack: Any = {"pgd": {**arguments, "start": "clean", "keep": "last"}}
        return attack_task(self.victim, attack, data=self.data, limit=self.images)


def _draw_image_rows(ax: Axes, rows: Mapping[str, Any], labels: Mapping[str, list[str]]) -> None:
    """Draw named rows of images (n, h, w) or (n, h, w, 3) in [0, 1], with a label below each."""
    ax.axis("off")
    for row, (name, images) in enumerate(rows.items()):
        y = -1.45 * row
        ax.text(-0.08, y + 0.5, name, ha="right", va="center", fontsize=10)
        for column, image in enumerate(images):
            image_with_text(ax, image, (1.08 * column, y), labels[name][column], fontsize=7.5)
    columns = max(len(images) for images in rows.values())
    ax.set(xlim=(-0.75, 1.08 * columns), ylim=(-1.45 * (len(rows) - 1) - 0.4, 1.02), aspect="equal")
