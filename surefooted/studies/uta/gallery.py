"""What UTA and PGD make of images when nothing holds them back (UTA, figure 8)."""

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

RAISES = {"UTA": "entropy", "PGD": "cross_entropy"}


@dataclass(frozen=True, eq=False)
class PerturbationGallery:
    """The first test images of a trained classifier, moved by both attacks far beyond any ε.

    Attributes:
        victim: a training of images of one or three channels.
        images: how many are shown.
        steps, step_size: 1,000 of 0.001 in the paper.
        eps: 1 in L∞ is no bound on pixels, as the paper's infinity.
    """

    victim: Source
    images: int = 6
    steps: int = 1000
    step_size: float = 0.001
    eps: float = 1.0
    data: ComponentSpec | None = None

    @cached_property
    def moved(self) -> dict[str, AttackTask]:
        return {name: self._moved(objective) for name, objective in RAISES.items()}

    @cached_property
    def answers(self) -> dict[str, PredictTask]:
        """What the classifier says of the images shown, clean and moved."""
        clean = PredictTask(self.victim, data=self.data, limit=self.images)
        return {"Clean": clean} | {
            name: PredictTask(self.victim, moved=task, data=self.data) for name, task in self.moved.items()
        }

    def tasks(self) -> list[Task]:
        return list(self.answers.values())

    def figure(self, store: Store) -> Figure:
        """Clean images, and under each what UTA and PGD made of it, with the answer given to it."""
        shown = eval_images(self.victim, self.data, "test", self.images)
        rows = {"Clean": shown.points().x} | {name: task.result(store)["x"] for name, task in self.moved.items()}
        pictures = {name: to_image(x) for name, x in rows.items()}
        under = {}
        for name, task in self.answers.items():
            value, label = task.result(store).log_p.exp().max(-1)
            under[name] = [f"{shown.classes[int(k)]}\n{100 * float(v):.0f} %" for v, k in zip(value, label)]
        count = len(shown)
        far = ", ".join(f"{name} moves a pixel by {fmean(values):.2f}" for name, values in self.sizes(store).items())
        return Figure(
            "looks",
            "What UTA and PGD look like with nothing to hold them back (figure 8)",
            Panel(lambda ax: image_rows(ax, pictures, under), size=(0.65 + 0.92 * count, 3.8)),
            f"{self.steps:,} steps of {self.step_size:g} from the clean image, ε = {self.eps:g} (L∞) on pixels in "
            f"[0, 1], the last iterate. Under each image the answer and its confidence. The first test images; {far}. "
            f"{self._about()} The paper's are of CIFAR-10 and a ResNet.",
            "Rows of images: clean, after UTA, after PGD.",
        )

    def sizes(self, store: Store) -> dict[str, list[float]]:
        """How far each attack moves the pixels of each image, the mean of |δ|."""
        clean = eval_images(self.victim, self.data, "test", self.images).points().x
        moved = {name: task.result(store)["x"] for name, task in self.moved.items()}
        return {name: (x - clean).abs().flatten(1).mean(1).tolist() for name, x in moved.items()}

    def _about(self) -> str:
        """Data and network, where they are known."""
        if not isinstance(self.victim, TrainTask):
            return ""
        title, net = load_splits(self.victim.data).title, base_name(self.victim.net)
        return f"{title}, {net}, {recipe_epochs(self.victim.recipe)} epochs."

    def _moved(self, objective: str) -> AttackTask:
        given = {"eps": self.eps, "steps": self.steps, "step_size": self.step_size, "objective": objective}
        attack: Any = {"pgd": {**given, "start": "clean", "keep": "last"}}
        return attack_task(self.victim, attack, data=self.data, limit=self.images)


def image_rows(ax: Axes, rows: Mapping[str, Any], under: Mapping[str, list[str]]) -> None:
    """Named rows of images (n, h, w) or (n, h, w, 3) in [0, 1], with a text under each."""
    ax.axis("off")
    for row, (name, images) in enumerate(rows.items()):
        y = -1.45 * row
        ax.text(-0.08, y + 0.5, name, ha="right", va="center", fontsize=10)
        for column, image in enumerate(images):
            image_with_text(ax, image, (1.08 * column, y), under[name][column], fontsize=7.5)
    most = max(len(images) for images in rows.values())
    ax.set(xlim=(-0.75, 1.08 * most), ylim=(-1.45 * (len(rows) - 1) - 0.4, 1.02), aspect="equal")
