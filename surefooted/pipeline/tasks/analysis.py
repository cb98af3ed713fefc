"""The tasks that analyse a victim locally: margins, Jacobians and linearity per image, and loss surfaces of a few."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surefooted.components.spec import build, complete
from surefooted.core.files import write_tensors
from surefooted.data.images import Images
from surefooted.data.order import Order
from surefooted.errors import ArgumentError, DataError
from surefooted.evaluation.analysis.jacobian import sensitivity
from surefooted.evaluation.analysis.linearity import nonlinearity
from surefooted.evaluation.analysis.surfaces import loss_surface
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attack import AttackTask
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, trainings_of
from surefooted.pipeline.tasks.datasets import data_fields, order_fields
from surefooted.pipeline.tasks.evaluation import eval_images, load_for_eval, run_in_chunks
from surefooted.pipeline.workers import OnProgress

# Images between two writings: the most that a kill loses.
CHUNK = {"cpu": 128, "cuda": 2048}
# Images whose Jacobians are computed at once.
JACOBIAN_BATCH = {"cpu": 64, "cuda": 256}


@dataclass(frozen=True, eq=False)
class LocalAnalysisTask(Task):
    """Decision margin and Jacobian norm of a victim on a split; with an attack, also non-linearity up to its points.

    Attributes:
        source_attack: an attack on the same images that keeps its points; None for no non-linearity.
        seed: seed of a victim that draws at random.
        order: order of the images, of which ``limit`` takes the first.
    """

    victim: Source
    split: SplitName = "test"
    limit: int = 0
    data: ComponentSpec | None = None
    source_attack: AttackTask | None = None
    seed: int = 0
    order: Order = "split"

    kind = "analysed"

    def __post_init__(self) -> None:
        if self.source_attack is not None and not self.source_attack.keep_points:
            raise ArgumentError("Non-linearity is measured at the points of the attack. Set its `keep_points=True`.")

    def arguments(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "part": self.split,
            "limit": self.limit,
            "moved": self.source_attack.key if self.source_attack else None,
            "seed": self.seed,
            **order_fields(self.order),
            **data_fields(self.data),
        }

    @property
    def requires(self) -> tuple[Task, ...]:
        return (*trainings_of(self.victim), *((self.source_attack,) if self.source_attack else ()))

    @property
    def label(self) -> str:
        return f"analyse {self.victim} ({self.split})"

    def images(self) -> Images:
        return eval_images(self.victim, self.data, self.split, self.limit, self.order)

    def total_ticks(self) -> int:
        return len(self.images())

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        device, images = runtime.device(), self.images()
        net = load_for_eval(self.victim, store, device)
        attacked = self._attacked(store, images)

        def analyse(rows: slice) -> dict[str, Tensor]:
            part = images.take(rows)
            local = sensitivity(net, part, batch=_on(device, JACOBIAN_BATCH), seed=self.seed)
            tensors = {
                "rows": part.rows,
                "y": part.y,
                "correct": local.correct,
                "margin": local.margin,
                "jacobian_norm": local.norm,
            }
            if attacked:
                tensors["q"] = nonlinearity(net, part, attacked["x"][rows], seed=self.seed).q
                tensors |= {name: attacked[name][rows] for name in ("found", "size")}
            tick(len(part))
            return tensors

        tensors = run_in_chunks(work, len(images), _on(device, CHUNK), analyse, tick)
        write_tensors(into / "analysed.safetensors", tensors, {})

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name: rows, y, correct, margin, jacobian_norm; with ``moved`` also q, found, size.

        q is NaN where the attack did not move the image; size is in the attack's norm.
        """
        return self.tensors(store, "analysed.safetensors")

    def _attacked(self, store: Store, images: Images) -> dict[str, Tensor]:
        if self.source_attack is None:
            return {}
        attacked = self.source_attack.result(store)
        if not torch.equal(attacked["rows"], images.rows.cpu()):
            raise DataError(
                f"The attack is on {len(attacked['rows'])} images, the analysis on {len(images)} others. Give both the "
                "same `split`, `limit`, `order` and `data`."
            )
        return attacked


@dataclass(frozen=True, eq=False)
class LossSurfaceTask(Task):
    """A score and the decision margin around the first images of a split (EntM, figures 5 and 6).

    Attributes:
        limit: number of images; the paper shows 8.
        score, reach, grid, seed: as for ``surefooted.evaluation.analysis.loss_surface``.
        order: order of the images, of which ``limit`` takes the first.
    """

    victim: Source
    split: SplitName = "test"
    limit: int = 8
    data: ComponentSpec | None = None
    score: str | ComponentSpec = "cross_entropy"
    reach: float = 0.04
    grid: int = 21
    seed: int = 0
    order: Order = "split"

    kind = "surface"

    def arguments(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "part": self.split,
            "limit": self.limit,
            "score": complete("score", self.score),
            "reach": self.reach,
            "grid": self.grid,
            "seed": self.seed,
            **order_fields(self.order),
            **data_fields(self.data),
        }

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    @property
    def label(self) -> str:
        return f"surface of {self.victim} ({self.split})"

    def images(self) -> Images:
        return eval_images(self.victim, self.data, self.split, self.limit, self.order)

    def total_ticks(self) -> int:
        return len(self.images())

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        images, net = self.images(), load_for_eval(self.victim, store, runtime.device())
        options = {"score": build("score", self.score), "reach": self.reach, "grid": self.grid}

        def look(rows: slice) -> dict[str, Tensor]:
            part = images.take(rows)
            values = loss_surface(net, part, **options, seed=self.seed)
            # Every row repeats the offsets: chunks are joined row by row.
            offsets = values.offsets.expand(len(part), -1)
            tick(len(part))
            return {"rows": part.rows, "y": part.y, **values._asdict(), "offsets": offsets}

        tensors = run_in_chunks(work, len(images), 1, look, tick)
        write_tensors(into / "surface.safetensors", tensors | {"offsets": tensors["offsets"][0]}, {})

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name: rows, y (N,); offsets (G,); score and margin (N, G, G), along e1, then e2."""
        return self.tensors(store, "surface.safetensors")


def _on(device: torch.device, sizes: dict[str, int]) -> int:
    return sizes.get(device.type, sizes["cuda"])
