"""A classifier under distribution shift: accuracy and calibration on corrupted images, by type and severity."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Any

import torch
from jaxtyping import Int
from rich.console import RenderableType
from torch import Tensor

from surefooted.components.spec import build, complete
from surefooted.core.predictions import Predictions
from surefooted.data import corruptions
from surefooted.data.order import Order
from surefooted.errors import ArgumentError, DataError, DataNotice, did_you_mean
from surefooted.evaluation.metrics import accuracy, ece, overconfidence
from surefooted.evaluation.metrics.functional import GapFunctional, Metric, as_functional, split_partial
from surefooted.evaluation.metrics.intervals import (
    Interval,
    binomial_interval,
    central_quantiles,
    invert_gaps,
    resamples,
)
from surefooted.evaluation.metrics.measuring import metric_interval
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    ComponentSpec,
    CorruptionTask,
    PredictTask,
    Source,
    SplitName,
    StreamedShiftTask,
    Task,
    eval_images,
    load_splits,
    training_data,
)
from surefooted.pipeline.tasks.corruption import INTENSITIES
from surefooted.report import Column, Figure, Panel, Section, Table
from surefooted.report.boxes import box_plot
from surefooted.report.figures import Line
from surefooted.report.terminal import escape, make_table

# The types of ImageNet-C and of the usual mean over CIFAR-10-C; the others were published for validation.
BENCHMARK = corruptions.__all__[:15]
MODEL = "the classifier"


def corruption_types(text: str, channels: int) -> tuple[str, ...]:
    """The types of corruption that a text names.

    Args:
        text: ``benchmark`` (the 15 types of ImageNet-C), ``all`` (these and 4 more of CIFAR-10-C), or names separated
            by commas.
        channels: channels of the images. Of a group, types that change colours are left out for grey images, with a
            notice.

    Raises:
        ArgumentError: for an unknown or repeated name.

    Example:
        >>> corruption_types("fog, snow", 3), len(corruption_types("benchmark", 3))
        (('fog', 'snow'), 15)
    """
    groups = {"benchmark": BENCHMARK, "all": corruptions.__all__}
    names = list(groups.get(text.strip()) or [name.strip() for name in text.split(",")])
    for name in names:
        if name not in corruptions.__all__:
            hint = did_you_mean(name, [*groups, *corruptions.__all__])
            raise ArgumentError(f"`corruptions`: there is no type of corruption {name!r}.{hint}")
        if names.count(name) > 1:
            raise ArgumentError(f"`corruptions`: {name!r} is given twice; give it once.")
    if text.strip() in groups and channels == 1:
        colour = [name for name in names if build("corruption", name).colour_only]
        names = [name for name in names if name not in colour]
        if colour:
            warnings.warn(f"Images are grey: {', '.join(colour)} is left out.", DataNotice, stacklevel=2)
    return tuple(names)


@dataclass(frozen=True, eq=False)
class CorruptionDesign:
    """The tasks of an evaluation under distribution shift.

    Attributes:
        model: the classifier.
        data: its data set; None for the one that a Surefooted network was trained on.
        types: types of corruption.
        split, limit, order: the images.
        seed: key of the random draws of the corruptions.
        draws: bootstrap draws.
    """

    model: Source
    data: ComponentSpec | None
    types: tuple[str, ...]
    split: SplitName = "test"
    limit: int = 0
    order: Order = "split"
    seed: int = 0
    draws: int = 1000

    @cached_property
    def data_spec(self) -> ComponentSpec:
        known = self.data or training_data(self.model)
        if known is None:
            raise DataError("The data set is not known: name one with `data`.")
        return known

    @cached_property
    def clean(self) -> PredictTask:
        return PredictTask(self.model, self.split, None, self.data, self.limit, order=self.order)

    @cached_property
    def shifted(self) -> dict[str, StreamedShiftTask]:
        """Predictions under each type of corruption."""
        images: dict[str, Any] = {"split": self.split, "limit": self.limit, "seed": self.seed, "order": self.order}
        return {
            name: StreamedShiftTask(self.model, CorruptionTask(self.data_spec, name, **images)) for name in self.types
        }

    @property
    def tasks(self) -> list[Task]:
        return [self.clean, *self.shifted.values()]

    @cached_property
    def labels_only(self) -> bool:
        """Whether the classifier answers labels without confidence: only its accuracy can be measured."""
        return bool(getattr(self.model, "labels_only", False))

    def check(self) -> None:
        """Refuse, before anything is computed, images that the classifier was trained on or that are too small."""
        images = eval_images(self.model, self.data, self.split, self.limit, self.order)
        points = images.points(slice(0, 1))
        for name in self.types:
            build("corruption", name)(points.x, points.rows)


@dataclass(frozen=True, eq=False)
class ShiftFindings:
    """The results of an evaluation under distribution shift, read from the store.

    Attributes:
        design: the evaluation, whose tasks are all in the store.
        store: the store.
    """

    design: CorruptionDesign
    store: Store

    @cached_property
    def clean(self) -> Predictions:
        return self.design.clean.result(self.store)

    @cached_property
    def shifted(self) -> dict[str, list[Predictions]]:
        """Predictions by type, at each severity."""
        return {name: task.result(self.store) for name, task in self.design.shifted.items()}

    @property
    def labels_only(self) -> bool:
        return self.design.labels_only

    @cached_property
    def by_severity(self) -> dict[str, list[Interval]]:
        """Each metric on clean images, then at each severity, averaged over types."""
        metrics = (accuracy,) if self.labels_only else (accuracy, overconfidence, ece)
        return {
            metric.__name__: [
                metric_interval(metric, self.clean, draws=self.design.draws),
                *(self._mean(metric, [levels[k] for levels in self.shifted.values()]) for k in range(len(INTENSITIES))),
            ]
            for metric in metrics
        }

    @cached_property
    def by_type(self) -> dict[str, dict[str, Interval]]:
        """Accuracy and ECE of each type, averaged over severities."""
        metrics = {"accuracy": accuracy} if self.labels_only else {"accuracy": accuracy, "ece": ece}
        return {
            name: {key: self._mean(metric, levels) for key, metric in metrics.items()}
            for name, levels in self.shifted.items()
        }

    @cached_property
    def accuracies(self) -> dict[str, list[Interval]]:
        """Accuracy of each type at each severity."""
        return {name: [metric_interval(accuracy, p) for p in levels] for name, levels in self.shifted.items()}

    @cached_property
    def mean_error(self) -> Interval:
        """The mean corruption error: the error rate, averaged over types and severities."""
        found = self._mean(accuracy, [p for levels in self.shifted.values() for p in levels])
        return found._replace(value=1 - found.value, low=1 - found.high, high=1 - found.low)

    @cached_property
    def mean_ece(self) -> Interval | None:
        """ECE, averaged over types and severities; None for labels without confidence."""
        return None if self.labels_only else self._mean(ece, [p for levels in self.shifted.values() for p in levels])

    def _mean(self, metric: Metric, parts: Sequence[Predictions]) -> Interval:
        return mean_over_parts(metric, parts, draws=self.design.draws)

    def numbers(self) -> dict[str, Any]:
        """All results as plain data."""
        d = self.design
        return {
            "corruptions": [complete("corruption", name) for name in d.types],
            "severities": list(INTENSITIES),
            "n": len(self.clean.y),
            "seed": d.seed,
            "mean_corruption_error": self.mean_error._asdict(),
            **({"mean_ece": self.mean_ece._asdict()} if self.mean_ece else {}),
            "by_severity": {name: [one._asdict() for one in values] for name, values in self.by_severity.items()},
            "by_type": {
                name: {key: one._asdict() for key, one in values.items()} for name, values in self.by_type.items()
            },
            "accuracy": {name: [one._asdict() for one in values] for name, values in self.accuracies.items()},
        }

    def caption(self) -> str:
        d = self.design
        return (
            f"{load_splits(d.data_spec).title}: {len(self.clean.y)} {d.split} images; {len(d.types)} types, each at "
            f"severities 1 to 5; seed {d.seed}. Intervals: 95 %, over images, resampled together with all their "
            "corruptions."
        )

    def headline(self) -> str:
        """The result in a sentence."""
        clean = self.by_severity["accuracy"][0]
        error = (
            f"Mean corruption error: {self.mean_error.percent()}; error on clean images: "
            f"{100 * (1 - clean.value):.2f} %."
        )
        if self.mean_ece is None:
            return f"{error} Labels come without confidence, so calibration cannot be measured."
        return (
            f"{error} ECE under corruption: {self.mean_ece.percent()}; on clean images: "
            f"{self.by_severity['ece'][0].percent()}."
        )

    def lines(self) -> list[RenderableType]:
        """The results for a terminal."""
        calibration = () if self.labels_only else ("confidence − accuracy", "ECE")
        first = make_table("severity", "accuracy", *calibration)
        for k, label in enumerate(("clean", *map(str, INTENSITIES))):
            values = (one[k] for one in self.by_severity.values())
            first.add_row(label, *(escape(value.percent()) for value in values))
        means_of = ("accuracy, mean",) if self.labels_only else ("accuracy, mean", "ECE, mean")
        second = make_table("type", *(f"{k}" for k in INTENSITIES), *means_of)
        for name, levels in self.accuracies.items():
            means = (escape(value.percent()) for value in self.by_type[name].values())
            second.add_row(name, *(f"{100 * one.value:.1f}" for one in levels), *means)
        return [f"[bold]{escape(self.headline())}[/]", first, second, f"[dim]{escape(self.caption())}[/]"]


def mean_over_parts(
    metric: Metric, parts: Sequence[Predictions], *, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """A metric averaged over predictions on versions of the same images, with a bootstrap interval over the images.

    Images are resampled together with all their versions. The interval of a calibration error is that of
    ``calibration_interval``, of any other metric the percentile interval. If all predictions are right, or all wrong,
    so are all resamples: accuracy then has Wilson's interval for one prediction per image, which is conservative.

    Args:
        metric: a metric.
        parts: predictions on the same images in the same order.
        draws: number of bootstrap resamples.
        seed: seed of the resamples.
        level: confidence level.

    Example:
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1]] * 20).log(), torch.tensor([0] * 15 + [1] * 5))
        >>> found = mean_over_parts(accuracy, [p, p], draws=200)
        >>> found.low < found.value == 0.75 < found.high
        True
    """
    rows = parts[0].rows
    examples, unit = torch.unique(rows, return_inverse=True)
    n, value = len(examples), float(sum(metric(p) for p in parts) / len(parts))
    functionals = [as_functional(metric, p) for p in parts]
    gaps = [f for f in functionals if isinstance(f, GapFunctional)]
    if len(gaps) == len(parts):
        return invert_gaps(_mean_of_errors(gaps, rows), value, rows, draws=draws, level=level, seed=seed)
    if getattr(split_partial(metric)[0], "interval", "") == "wilson" and value in (0, 1):
        return binomial_interval(round(value) * n, n, level=level)
    weights = resamples(n, draws, seed, rows.device)
    values = torch.cat([torch.stack([f(w[:, unit]) for f in functionals]).mean(0) for w in weights])
    if values.isnan().any() or n == 1:
        return Interval(value, nan, nan, n)
    low, high = central_quantiles(values, level)
    return Interval(value, min(low, value), max(high, value), n)


def _mean_of_errors(functionals: Sequence[GapFunctional], rows: Int[Tensor, " n"]) -> GapFunctional:
    """The mean of calibration errors, as a functional of the gaps of all of them."""
    equal = torch.ones(1, len(rows), dtype=torch.float64, device=rows.device)
    sizes = [len(f.gaps(equal)) for f in functionals]
    return GapFunctional(
        lambda weights: torch.stack([f(weights) for f in functionals]).mean(0),
        lambda weights: torch.cat([f.gaps(weights) for f in functionals]),
        lambda gaps: torch.stack([f.norm(part) for f, part in zip(functionals, torch.split(gaps, sizes))]).mean(0),
    )


def shift_section(f: ShiftFindings) -> Section:
    """The section of a report on distribution shift."""
    return Section("Distribution shift", f.headline(), (_severity_table(f), _figure(f), _type_table(f)))


def _severity_table(f: ShiftFindings) -> Table:
    columns = (
        Column("severity", "Severity"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
        Column("ece", "ECE", "%", 2, "", "15 equal-width bins, right-closed", scale=100),
    )
    labels = ("clean", *map(str, INTENSITIES))
    rows = tuple(
        {"severity": label, **{name: values[k] for name, values in f.by_severity.items()}}
        for k, label in enumerate(labels)
    )
    shown = tuple(column for column in columns if column.key in rows[0])
    return Table("shift-severity", f"{_measured(f)} by severity", shown, rows, f.caption())


def _measured(f: ShiftFindings) -> str:
    return "Accuracy" if f.labels_only else "Accuracy and calibration"


def _type_table(f: ShiftFindings) -> Table:
    columns = (
        Column("type", "Corruption"),
        Column("accuracy", "Accuracy", "%", 1, scale=100),
        Column("ece", "ECE", "%", 2, scale=100),
        *(Column(f"accuracy_{k}", f"Accuracy, {k}", "%", 1, scale=100) for k in INTENSITIES),
    )
    rows = tuple(
        {
            "type": name.replace("_", " "),
            **{f"accuracy_{k}": one for k, one in zip(INTENSITIES, f.accuracies[name])},
            **f.by_type[name],
        }
        for name in f.shifted
    )
    shown = tuple(column for column in columns if column.key in rows[0])
    caption = (
        f"{'Accuracy' if f.labels_only else 'Accuracy and ECE'} averaged over severities, and accuracy at each "
        "severity (95 % Wilson intervals). The mean corruption error is 1 minus the mean of this table's accuracies; "
        "it is not divided by that of AlexNet. "
        "Corruptions are Surefooted's own, with the constants of CIFAR-10-C for images of up to 64 pixels and of "
        f"ImageNet-C for larger ones. {f.caption()}"
    )
    return Table("shift-types", f"{_measured(f)} by corruption", shown, rows, caption)


def _figure(f: ShiftFindings) -> Figure:
    ticks = ("clean", *map(str, INTENSITIES))

    def panel(metric: Callable[..., float], title: str) -> Panel:
        levels = [[metric(p) for p in parts] for parts in zip(*f.shifted.values())]
        groups = {MODEL: [[metric(f.clean)], *levels]}
        line = Line(list(range(len(ticks))), [sum(group) / len(group) for group in groups[MODEL]])
        return Panel(
            lambda ax: box_plot(ax, groups, ticks=ticks, ylabel=title, xlabel="Severity"), "", (4.6, 3.6), {title: line}
        )

    panels = [panel(accuracy, "Accuracy")] if f.labels_only else [panel(accuracy, "Accuracy"), panel(ece, "ECE")]
    return Figure(
        "shift",
        "Accuracy under corruption" if f.labels_only else "Accuracy and calibration error under corruption",
        tuple(panels),
        f"Quartiles over types of corruption, whiskers from least to greatest. {f.caption()}",
        f"{'Accuracy' if f.labels_only else 'Accuracy and ECE'} against the severity of the corruption.",
    )
