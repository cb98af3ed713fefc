"""Detection of out-of-distribution images by a classifier's own uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import RenderableType

from surefooted.data.order import Order
from surefooted.errors import ArgumentError, DataError
from surefooted.evaluation.metrics.detection import Detection, detection
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    ComponentSpec,
    Source,
    SplitName,
    UncertaintyTask,
    choose_order,
    eval_images,
    load_splits,
    training_data,
)
from surefooted.report import Column, Section, Table
from surefooted.report.terminal import escape, make_table

# Measures of ``uncertainties`` by the words of the literature; the others are named as they are.
MEASURES = {
    "max_probability": "1 − max probability (MSP)",
    "total_entropy": "entropy of the prediction",
    "margin": "1 − margin of the two largest probabilities",
    "expected_entropy": "mean entropy of the members",
    "mutual_information": "mutual information",
    "sample_variance": "variance of the members",
}


@dataclass(frozen=True, eq=False)
class OODDesign:
    """The tasks of detecting out-of-distribution images.

    Attributes:
        model: the classifier.
        data: its data set; None for the one that a Surefooted network was trained on.
        ood: data set of out-of-distribution images, whose labels are not used.
        split, limit, order: the images of both.
        seed: seed of a stochastic classifier.
    """

    model: Source
    data: ComponentSpec | None
    ood: ComponentSpec
    split: SplitName = "test"
    limit: int = 0
    order: str = "official"
    seed: int = 0

    @cached_property
    def inside(self) -> UncertaintyTask:
        return self._task(self.data)

    @cached_property
    def outside(self) -> UncertaintyTask:
        return self._task(self.ood)

    @property
    def tasks(self) -> list[UncertaintyTask]:
        return [self.inside, self.outside]

    def check(self) -> None:
        """Refuse labels without confidence, and images of another shape than those of the classifier.

        Raises:
            ArgumentError: if the classifier answers labels only.
            DataError: if the shapes differ, or both sets are one.
        """
        if getattr(self.model, "labels_only", False):
            raise ArgumentError(
                "`ood` needs the classifier's confidence, but it answers labels only. Leave it out, or give a "
                "classifier that returns logits or probabilities."
            )
        own = self.data or training_data(self.model)
        shapes = [eval_images(self.model, one, self.split, self.limit).shape for one in (self.data, self.ood)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"The images of `ood` have shape {shapes[1]}, those of the classifier {shapes[0]}. Name a data set of "
                "that shape."
            )
        if own and load_splits(own).checksum == load_splits(self.ood).checksum:
            raise DataError("`ood` is the data set of the classifier itself; name another.")

    def _task(self, data: ComponentSpec | None) -> UncertaintyTask:
        order: Order = choose_order(self.model, data, self.split, self.limit, self.order)
        return UncertaintyTask(self.model, self.split, data, self.limit, self.seed, order)


@dataclass(frozen=True, eq=False)
class OODFindings:
    """How well each uncertainty separates out-of-distribution images, read from the store.

    Attributes:
        design: the tasks, which are all in the store.
        store: the store.
    """

    design: OODDesign
    store: Store

    @cached_property
    def measures(self) -> dict[str, Detection]:
        """AUROC, false positive rate and average precision of each uncertainty."""
        inside, outside = (task.result(self.store) for task in self.design.tasks)
        return {name: detection(inside[name], outside[name]) for name in MEASURES if name in inside}

    def numbers(self) -> dict[str, Any]:
        """All results as plain data."""
        return {
            "data": load_splits(self.design.ood).title,
            "measures": {name: one._asdict() for name, one in self.measures.items()},
        }

    def caption(self) -> str:
        n, d = next(iter(self.measures.values())), self.design
        return (
            f"{n.n_outside} {d.split} images of {load_splits(d.ood).title} (out of distribution, the positive class) "
            f"against {n.n_inside} images of the classifier's own data. AUROC: 0.5 is chance; 95 % intervals after "
            "Newcombe. FPR95: share of the classifier's own images that are rejected where 95 % of the others are. "
            f"{f'{n.no_answer} images have no answer and count as errors. ' if n.no_answer else ''}"
        ).strip()

    def lines(self) -> list[RenderableType]:
        """The results for a terminal."""
        table = make_table("out-of-distribution detection by", "AUROC", "FPR95", "AUPR")
        for name, one in self.measures.items():
            auroc = f"{one.auroc:.4f} [{one.low:.4f}, {one.high:.4f}]"
            table.add_row(MEASURES[name], escape(auroc), f"{100 * one.fpr:.1f} %", f"{one.aupr:.4f}")
        return [table, f"[dim]{escape(self.caption())}[/]"]


def ood_section(f: OODFindings) -> Section:
    """The section of a report on out-of-distribution detection."""
    columns = (
        Column("measure", "Uncertainty"),
        Column("auroc", "AUROC", "", 4, "high"),
        Column("fpr", "FPR95", "%", 1, "low", scale=100),
        Column("aupr", "AUPR", "", 4, "high"),
    )
    rows = tuple(
        {
            "measure": MEASURES[name],
            "auroc": Interval(one.auroc, one.low, one.high, one.n_inside + one.n_outside),
            "fpr": one.fpr,
            "aupr": one.aupr,
        }
        for name, one in f.measures.items()
    )
    table = Table("ood", "Out-of-distribution detection", columns, rows, f.caption())
    return Section(
        "Out-of-distribution images",
        f"Does the classifier's uncertainty tell its own images from those of {load_splits(f.design.ood).title}?",
        (table,),
    )
