"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from surefooted.auditing.design import Audit
from surefooted.core.predictions import Predictions
from surefooted.evaluation import checks
from surefooted.evaluation.checks import Flag
from surefooted.evaluation.metrics import accuracy, confidence, ece
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.measuring import measure
from surefooted.evaluation.metrics.robustness import robust_accuracy, size_quantiles
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature, temperature_scale
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask
from surefooted.report import Finding
from surefooted.report.page import Verdict
from surefooted.studies.claims import claim_gain, mean_difference

METRICS = ("accuracy", "confidence", "overconfidence", "nll", "brier", "ece", "classwise_ece")


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
            return temperature_scale(
                self.clean, temperature
            ), f"T = {temperature:.3f}, fitted on {len(held.y)} validation images"
        p, (one, other) = cross_fit_temperature(self.clean)
        return p, f"T = {one:.3f} and {other:.3f}, fitted on either half of the images for the other"

    @cached_property
    def attacks(self) -> dict[str, tuple[float, AttackTask, Tensor]]:
        """By name for the reader: ε, cell and what was found."""
        a = self.audit
        at = f"ε = {a.eps:.4g}"
        tasks = {f"APGD-{a.budget.steps}, ε = {eps:.4g}": (eps, task) for eps, task in a.rungs.items()}
        tasks[f"APGD-{2 * a.budget.steps}, {at}"] = (a.eps, a.longer)
        tasks[f"Square, {a.budget.queries} queries, {at}"] = (a.eps, a.gradient_free)
        tasks[f"AutoAttack, {at}"] = (a.eps, a.strongest)
        tasks[f"APGD-{2 * a.budget.steps}, ε = {a.far:.4g}"] = (a.far, a.huge)
        return {name: (eps, task, task.result(self.store)["found"]) for name, (eps, task) in tasks.items()}

    @cached_property
    def sizes(self) -> Tensor:
        return self.audit.nearest.distances(self.store)

    @cached_property
    def level(self) -> Tensor:
        return levels_of(self.sizes, levels=min(self.audit.levels, len(self.sizes)))

    @cached_property
    def flags(self) -> list[Flag]:
        a = self.audit
        found = {eps: task.result(self.store)["found"] for eps, task in a.rungs.items()}
        longer, gradient_free, huge = (task.result(self.store)["found"] for task in (a.longer, a.gradient_free, a.huge))
        right = self.clean.top()[1] > 0
        # AutoAttack holds Square: against it a gradient-free attack could never win.
        given = (
            checks.chance(right, self.clean.y, classes=self.clean.log_p.shape[1]),
            checks.black_box_wins(found[a.eps] | longer, gradient_free, names=("APGD", "Square")),
            checks.huge_eps(huge, eps=a.far),
            checks.not_converged(found[a.eps], longer, steps=a.budget.steps),
            checks.rising_accuracy(found),
        )
        return [*a.sanity_check.flags(self.store, eot=a.eot), *(flag for flag in given if flag)]

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
                    "attack": task.attack,
                    "eps": eps,
                    "robust_accuracy": robust_accuracy(found)._asdict(),
                }
                for name, (eps, task, found) in self.attacks.items()
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

    def attacks_at(self, eps: float) -> Tensor:
        """Rows that any attack broke within eps."""
        return torch.stack([found for size, _, found in self.attacks.values() if size <= eps]).any(0)


def claims(f: Findings) -> tuple[Finding, ...]:
    """What can be said of the classifier, each with its interval."""
    return _trusted(f), _cooler(f), _levels(f)


def _trusted(f: Findings) -> Finding:
    serious = [flag for flag in f.flags if flag.severity == "serious"]
    verdict: Verdict = "does not hold" if serious else "unclear" if f.flags else "holds"
    raised = checks.flag_names(f.flags)
    return Finding(
        "Its robust accuracies can be trusted as far as attacks go.",
        verdict,
        f"flags: {raised}" if raised else f"none of {len(checks.FLAGS)} checks raised a flag",
        "flags",
    )


def _cooler(f: Findings) -> Finding:
    before, after = (_log_loss(p) for p in (f.clean, f.cooled[0]))
    keep = before.isfinite() & after.isfinite()
    return claim_gain(
        "Temperature scaling would improve its probabilities.",
        mean_interval((before - after)[keep]),
        f"gain in negative log-likelihood, {f.cooled[1]}",
        see="calibration",
        unit=" nats",
    )


def _levels(f: Findings) -> Finding:
    sure, right = f.clean.top()
    half = int(f.level.max() + 1) // 2
    return claim_gain(
        "It is more over-confident where its answer is easiest to change (AR-AdaLS, figure 1).",
        mean_difference((sure - right)[f.level == 0], (sure - right)[f.level >= half]),
        f"confidence less accuracy, level 1 less levels {half + 1} and above",
        see="levels",
    )


def _log_loss(p: Predictions) -> Tensor:
    return -p.log_p.double().gather(1, p.y[:, None])[:, 0]
