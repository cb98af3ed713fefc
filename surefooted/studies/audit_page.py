"""What an audit found, and the page that says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from surefooted import checks
from surefooted.api import measure
from surefooted.cell import Attacked
from surefooted.checks import Flag
from surefooted.machine import provenance
from surefooted.metrics import accuracy, confidence, ece
from surefooted.metrics.intervals import Interval, mean_interval
from surefooted.metrics.levels import by_level, levels_of
from surefooted.metrics.predictions import Predictions
from surefooted.metrics.reliability import reliability_curve
from surefooted.metrics.robustness import robust_accuracy, size_quantiles
from surefooted.report import Column, Figure, Finding, Page, Panel, Section, Table
from surefooted.report import figures as draw
from surefooted.report.page import Verdict
from surefooted.spec import split
from surefooted.store import Store
from surefooted.studies.claims import apart, judged
from surefooted.studies.compare import NORMS
from surefooted.temperature import cross_fitted, fit_temperature, scaled

if TYPE_CHECKING:
    from surefooted.studies.audit import Audit

METRICS = ("accuracy", "confidence", "overconfidence", "nll", "brier", "ece", "classwise_ece")
MODEL = "the classifier"


@dataclass(frozen=True, eq=False)
class Findings:
    """What an audit found, read from the store."""

    audit: Audit
    store: Store

    @cached_property
    def clean(self) -> Predictions:
        return self.audit.clean.result(self.store)

    @cached_property
    def under_attack(self) -> Predictions:
        return self.audit.moved.result(self.store)

    @cached_property
    def cooled(self) -> tuple[Predictions, str]:
        """The clean predictions after temperature scaling, and how the temperature was found."""
        if self.audit.held_out is not None:
            held = self.audit.held_out.result(self.store)
            temperature = fit_temperature(held)
            return scaled(self.clean, temperature), f"T = {temperature:.3f}, fitted on {len(held.y)} validation images"
        p, (one, other) = cross_fitted(self.clean)
        return p, f"T = {one:.3f} and {other:.3f}, fitted on either half of the images for the other"

    @cached_property
    def attacks(self) -> dict[str, tuple[float, Attacked, Tensor]]:
        """By name for the reader: ε, cell and what was found."""
        a = self.audit
        at = f"ε = {a.eps:.4g}"
        cells = {f"APGD-{a.budget.steps}, ε = {eps:.4g}": (eps, cell) for eps, cell in a.rungs.items()}
        cells[f"APGD-{2 * a.budget.steps}, {at}"] = (a.eps, a.longer)
        cells[f"Square, {a.budget.queries} queries, {at}"] = (a.eps, a.blind)
        cells[f"AutoAttack, {at}"] = (a.eps, a.strongest)
        cells[f"APGD-{2 * a.budget.steps}, ε = {a.far:.4g}"] = (a.far, a.huge)
        return {name: (eps, cell, cell.result(self.store)["found"]) for name, (eps, cell) in cells.items()}

    @cached_property
    def sizes(self) -> Tensor:
        return self.audit.nearest.sizes(self.store)

    @cached_property
    def level(self) -> Tensor:
        return levels_of(self.sizes, levels=min(self.audit.levels, len(self.sizes)))

    @cached_property
    def flags(self) -> list[Flag]:
        a = self.audit
        found = {eps: cell.result(self.store)["found"] for eps, cell in a.rungs.items()}
        longer, blind, huge = (cell.result(self.store)["found"] for cell in (a.longer, a.blind, a.huge))
        # AutoAttack holds Square: against it a gradient-free attack could never win.
        given = (
            checks.black_box_wins(found[a.eps] | longer, blind, names=("APGD", "Square")),
            checks.huge_eps(huge, eps=a.far),
            checks.not_converged(found[a.eps], longer, steps=a.budget.steps),
            checks.ladder(found),
        )
        return [*a.probed.flags(self.store, eot=a.eot), *(flag for flag in given if flag)]

    @cached_property
    def calibration(self) -> dict[str, dict[str, Interval]]:
        rows = {"clean": self.clean, "temperature": self.cooled[0], "attacked": self.under_attack}
        return {name: measure(p, METRICS, draws=self.audit.budget.draws) for name, p in rows.items()}

    @cached_property
    def per_level(self) -> dict[str, list[float]]:
        return {m.__name__: by_level(m, self.clean, self.level).tolist() for m in (accuracy, confidence, ece)}

    def numbers(self) -> dict[str, Any]:
        """All of it as plain data."""
        a = self.audit
        return {
            "classifier": str(a.model),
            "data": a.splits.title,
            "split": a.part,
            "n": len(self.clean.y),
            "norm": a.norm,
            "eps": a.eps,
            "seed": a.seed,
            "calibration": {
                name: {metric: value._asdict() for metric, value in row.items()}
                for name, row in self.calibration.items()
            },
            "temperature": self.cooled[1],
            "attacks": [
                {
                    "name": name.rpartition(", ε")[0],
                    "attack": cell.attack,
                    "eps": eps,
                    "robust_accuracy": robust_accuracy(found)._asdict(),
                }
                for name, (eps, cell, found) in self.attacks.items()
            ]
            + [
                {
                    "name": "worst case of all within eps",
                    "eps": a.eps,
                    "robust_accuracy": robust_accuracy(self.attacks_at(a.eps))._asdict(),
                }
            ],
            "size_quartiles": size_quantiles(self.sizes, self.sizes.isfinite()).tolist(),
            "by_level": self.per_level,
            "flags": [asdict(flag) for flag in self.flags],
        }

    def caption(self) -> str:
        a = self.audit
        return f"{a.splits.title}: {len(self.clean.y)} {a.part} images; seed {a.seed}."

    def page(self) -> Page:
        a = self.audit
        return Page(
            f"Audit of {a.model}",
            f"Is it as sure as it should be, does it keep its footing within {NORMS[a.norm]} ε = {a.eps:.4g}, and can "
            "these numbers be trusted?",
            (self._trusted(), self._cooler(), self._levels()),
            (
                Section("Can these numbers be trusted?", "", (self._flag_table(),)),
                Section("Calibration", "", (self._calibration_table(), self._reliability())),
                Section("Robustness", "", (self._robustness_table(), self._curve())),
                Section(
                    "Robustness and calibration",
                    "Where the answer is easy to change: how often is the classifier right there, and how sure is it?",
                    (self._level_figure(), self._size_figure()),
                ),
            ),
            {"attacks": {name: cell.attack for name, (_, cell, _) in self.attacks.items()}, **provenance()},
        )

    def _trusted(self) -> Finding:
        serious = [flag for flag in self.flags if flag.severity == "serious"]
        verdict: Verdict = "does not hold" if serious else "unclear" if self.flags else "holds"
        raised = checks.named(self.flags)
        return Finding(
            "The robust accuracies below can be trusted as far as attacks go.",
            verdict,
            f"flags: {raised}" if raised else f"none of {len(checks.FLAGS)} checks raised a flag",
            "flags",
        )

    def _cooler(self) -> Finding:
        before, after = (_log_loss(p) for p in (self.clean, self.cooled[0]))
        keep = before.isfinite() & after.isfinite()
        return judged(
            "Temperature scaling would improve its probabilities.",
            mean_interval((before - after)[keep]),
            f"gain in negative log-likelihood, {self.cooled[1]}",
            see="calibration",
            unit=" nats",
        )

    def _levels(self) -> Finding:
        sure, right = self.clean.top()
        half = int(self.level.max() + 1) // 2
        return judged(
            "It is more over-confident where its answer is easiest to change (AR-AdaLS, figure 1).",
            apart((sure - right)[self.level == 0], (sure - right)[self.level >= half]),
            f"confidence less accuracy, level 1 less levels {half + 1} and above",
            see="levels",
        )

    def _flag_table(self) -> Table:
        columns = (
            Column("flag", "Flag"),
            Column("severity", "Severity"),
            Column("seen", "What was seen"),
            Column("cure", "What to do"),
        )
        rows = [{**asdict(flag), "flag": flag.name.replace("_", " ")} for flag in self.flags]
        for row in rows:
            del row["name"]
        none = {"flag": "none", "seen": f"none of {len(checks.FLAGS)} checks tripped"}
        return Table("flags", "Flags", columns, tuple(rows or [none]), self.caption())

    def _calibration_table(self) -> Table:
        columns = (
            Column("which", "Predictions"),
            Column("accuracy", "Accuracy", "%", 1, scale=100),
            Column("confidence", "Confidence", "%", 1, scale=100),
            Column("overconfidence", "Confidence − accuracy", "%", 2, "", "above 0: over-confident", scale=100),
            Column("nll", "NLL", "nats", 3),
            Column("brier", "Brier", "", 3),
            Column("ece", "ECE", "%", 2, "", "15 equal-width bins, right-closed", scale=100),
            Column("classwise_ece", "Classwise ECE", "%", 2, scale=100),
        )
        names = {
            "clean": "as they are",
            "temperature": "after temperature scaling",
            "attacked": "at the points that AutoAttack kept",
        }
        rows = tuple({"which": names[name], **values} for name, values in self.calibration.items())
        caption = (
            f"95 % bootstrap intervals over images ({self.audit.budget.draws} draws). Temperature: {self.cooled[1]}. "
            f"AutoAttack: {NORMS[self.audit.norm]}, ε = {self.audit.eps:.4g}; a row retires when it is misclassified. "
            + self.caption()
        )
        return Table("calibration", "Calibration", columns, rows, caption)

    def _robustness_table(self) -> Table:
        columns = (
            Column("attack", "Attack"),
            Column("eps", "ε", "", 4),
            Column("robust", "Robust accuracy", "%", 1, scale=100),
            Column("queries", "Mean queries an image", "", 1),
        )
        rows = [
            {
                "attack": name.rpartition(", ε")[0],
                "eps": eps,
                "robust": robust_accuracy(found),
                "queries": float(cell.result(self.store)["queries"].double().mean()),
            }
            for name, (eps, cell, found) in self.attacks.items()
        ]
        rows.append(
            {
                "attack": "worst case of all within ε",
                "eps": self.audit.eps,
                "robust": robust_accuracy(self.attacks_at(self.audit.eps)),
            }
        )
        norm = NORMS[self.audit.norm]
        caption = (
            f"{norm}; 95 % Wilson intervals; a row retires when it is misclassified. {self._missing()}{self.caption()}"
        )
        return Table("robust-accuracy", "Robust accuracy", columns, tuple(rows), caption)

    def _missing(self) -> str:
        """What AutoAttack cannot do on few classes."""
        classes = len(self.audit.splits.test.classes)
        return f"On {classes} classes AutoAttack's targeted APGD gives way to APGD on the margin. " * (classes < 4)

    def _curve(self) -> Figure:
        share = [accuracy(self.clean), *(robust_accuracy(self.attacks_at(eps)).value for eps in self.audit.rungs)]
        bounds = [robust_accuracy(self.attacks_at(eps)) for eps in self.audit.rungs]
        first = self.calibration["clean"]["accuracy"]
        curve = draw.Line(
            [0.0, *self.audit.rungs],
            share,
            [first.low, *(b.low for b in bounds)],
            [first.high, *(b.high for b in bounds)],
        )
        return Figure(
            "accuracy-vs-eps",
            "Accuracy under attack",
            Panel(lambda ax: draw.accuracy_vs_eps(ax, {MODEL: curve}), size=(6.4, 4.2)),
            f"The worst of all attacks at each {NORMS[self.audit.norm]} ε, with 95 % intervals. {self.caption()}",
            "Accuracy of the classifier against the size of the perturbation.",
        )

    def attacks_at(self, eps: float) -> Tensor:
        """Rows that any attack broke within eps."""
        return torch.stack([found for size, _, found in self.attacks.values() if size <= eps]).any(0)

    def _reliability(self) -> Figure:
        def bins(p: Predictions) -> draw.Bins:
            curve = reliability_curve(p)
            return draw.Bins(curve.confidence.tolist(), curve.accuracy.tolist(), curve.count.tolist())

        shown = {"as it is": self.clean, "after temperature scaling": self.cooled[0]}
        curves = {name: bins(p) for name, p in shown.items()}

        def panel(name: str) -> Panel:
            one = {name: curves[name]}
            return Panel(lambda ax: draw.reliability_diagram(ax, one, names=list(curves)), name, (3.6, 3.4))

        return Figure(
            "reliability",
            "Reliability diagram",
            tuple(panel(name) for name in curves),
            "Accuracy by confidence of the predicted class, 15 equal-width bins; below, the share of images. Points "
            f"below the diagonal are over-confident. {self.cooled[1]}. {self.caption()}",
            "Reliability diagrams before and after temperature scaling.",
        )

    def _level_figure(self) -> Figure:
        x = list(range(1, int(self.level.max()) + 2))
        one = [{MODEL: draw.Line(x, values)} for values in self.per_level.values()]
        return Figure(
            "levels",
            "Accuracy, confidence and calibration by adversarial-robustness level",
            Panel(lambda ax: draw.by_level(ax, *one)),
            f"Level 1 holds the images whose answer is easiest to change ({split(self.audit.nearest.attack)[0]}, L2, "
            f"from the classifier's own prediction). A level has {len(self.level) // len(x)} images or one more: its "
            f"ECE is biased upward. {self.caption()}",
            "Accuracy, confidence and calibration error over robustness levels.",
        )

    def _size_figure(self) -> Figure:
        return Figure(
            "sizes",
            "How far images are from another answer",
            Panel(lambda ax: draw.size_distribution(ax, {MODEL: self.sizes.tolist()}), size=(6.4, 4.2)),
            f"Share of images whose answer changes within ‖δ‖₂, by {split(self.audit.nearest.attack)[0]}. "
            + self.caption(),
            "Cumulative distribution of the size of minimal perturbations.",
        )


def _log_loss(p: Predictions) -> Tensor:
    return -p.log_p.double().gather(1, p.y[:, None])[:, 0]
