"""The results of an audit: what its tasks left in the store, measured and checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from surefooted.auditing.design import AuditDesign
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
from surefooted.studies.claims import Sampling, claim_gain, mean_difference

# An audit's claims are about one given network, so test images are all that varies.
_OF_THIS_CLASSIFIER = Sampling("95 % interval over test images", None)
METRICS = ("accuracy", "confidence", "overconfidence", "nll", "brier", "ece", "classwise_ece")


class AttackOutcome(NamedTuple):
    """One attack of the audit.

    Attributes:
        eps: its radius.
        task: the task that ran it.
        success: (N,) bool, the images on which it succeeded.
    """

    eps: float
    task: AttackTask
    success: Tensor


@dataclass(frozen=True, eq=False)
class AuditFindings:
    """The results of an audit, read from the store.

    Attributes:
        design: the audit, whose tasks are all in the store.
        store: the store.
    """

    design: AuditDesign
    store: Store

    @cached_property
    def clean(self) -> Predictions:
        return self.design.clean.result(self.store)

    @cached_property
    def under_attack(self) -> Predictions:
        return self.design.under_attack.result(self.store)

    @cached_property
    def temperature_scaled(self) -> tuple[Predictions, str]:
        """The clean predictions after temperature scaling, and a note on how the temperature was fitted."""
        if self.design.validation is not None:
            validation = self.design.validation.result(self.store)
            temperature = fit_temperature(validation)
            note = f"T = {temperature:.3f}, fitted on {len(validation.y)} validation images"
            return temperature_scale(self.clean, temperature), note
        p, (first, second) = cross_fit_temperature(self.clean)
        return p, f"T = {first:.3f} and {second:.3f}, each fitted on one half of the images and applied to the other"

    @cached_property
    def attacks(self) -> dict[str, AttackOutcome]:
        """Every attack at a fixed radius, by its name for the reader."""
        d, eps = self.design, self.design.options.eps
        runs = {f"APGD-{d.budget.steps}": d.sweep.items(), f"APGD-{2 * d.budget.steps}": [(eps, d.double_steps)]}
        runs |= {f"Square, {d.budget.queries} queries": [(eps, d.gradient_free)], "AutoAttack": [(eps, d.autoattack)]}
        named = [(name, size, task) for name, tasks in runs.items() for size, task in tasks]
        named.append((f"APGD-{2 * d.budget.steps}", d.huge_eps, d.huge_ball))
        return {
            f"{name}, ε = {size:.4g}": AttackOutcome(size, task, task.result(self.store)["found"])
            for name, size, task in named
        }

    @cached_property
    def distances(self) -> Tensor:
        """(N,) distance of each image to the decision boundary; infinite if the attack found none."""
        return self.design.minimal_norm.distances(self.store)

    @cached_property
    def level(self) -> Tensor:
        """(N,) robustness level of each image; 0 is the least robust."""
        return levels_of(self.distances, levels=min(self.design.options.levels, len(self.distances)))

    @cached_property
    def flags(self) -> list[Flag]:
        d, eps = self.design, self.design.options.eps
        found = {radius: task.result(self.store)["found"] for radius, task in d.sweep.items()}
        longer, square, huge = (
            task.result(self.store)["found"] for task in (d.double_steps, d.gradient_free, d.huge_ball)
        )
        right = self.clean.top()[1] > 0
        raised = (
            checks.chance(right, self.clean.y, classes=self.clean.log_p.shape[1]),
            # Not compared with AutoAttack, which contains Square: no gradient-free attack could win against it.
            checks.black_box_wins(found[eps] | longer, square, names=("APGD", "Square")),
            checks.huge_eps(huge, eps=d.huge_eps),
            checks.not_converged(found[eps], longer, steps=d.budget.steps),
            checks.rising_accuracy(found),
        )
        return [*d.sanity_check.flags(self.store, eot=d.options.eot), *(flag for flag in raised if flag)]

    @cached_property
    def calibration(self) -> dict[str, dict[str, Interval]]:
        rows = {"clean": self.clean, "temperature": self.temperature_scaled[0], "attacked": self.under_attack}
        return {name: measure(p, METRICS, draws=self.design.budget.draws) for name, p in rows.items()}

    @cached_property
    def per_level(self) -> dict[str, list[float]]:
        return {m.__name__: by_level(m, self.clean, self.level).tolist() for m in (accuracy, confidence, ece)}

    def numbers(self) -> dict[str, Any]:
        """All results as plain data, ready for JSON."""
        d, eps = self.design, self.design.options.eps
        attacks = [
            {
                "name": attack_name(name),
                "attack": outcome.task.attack,
                "eps": outcome.eps,
                "robust_accuracy": robust_accuracy(outcome.success)._asdict(),
            }
            for name, outcome in self.attacks.items()
        ]
        worst = robust_accuracy(self.any_success_within(eps))._asdict()
        attacks.append({"name": "worst case of all within eps", "eps": eps, "robust_accuracy": worst})
        calibration = {
            name: {metric: value._asdict() for metric, value in row.items()} for name, row in self.calibration.items()
        }
        return {
            "classifier": str(d.model),
            "data": d.splits.title,
            "split": d.options.split,
            "n": len(self.clean.y),
            "norm": d.options.norm,
            "eps": eps,
            "seed": d.options.seed,
            "calibration": calibration,
            "temperature": self.temperature_scaled[1],
            "attacks": attacks,
            "size_quartiles": size_quantiles(self.distances, self.distances.isfinite()).tolist(),
            "by_level": self.per_level,
            "flags": [asdict(flag) for flag in self.flags],
        }

    def caption(self) -> str:
        d = self.design
        return f"{d.splits.title}: {len(self.clean.y)} {d.options.split} images; seed {d.options.seed}."

    def any_success_within(self, eps: float) -> Tensor:
        """(N,) bool, the images on which any attack of at most this radius succeeded."""
        return torch.stack([outcome.success for outcome in self.attacks.values() if outcome.eps <= eps]).any(0)


def attack_name(name: str) -> str:
    """The name of an attack in ``AuditFindings.attacks`` without its radius."""
    return name.rpartition(", ε")[0]


def claims(f: AuditFindings) -> tuple[Finding, ...]:
    """Three claims about the classifier, judged by their intervals."""
    return _no_sign_of_masking(f), _temperature_scaling_helps(f), _overconfident_near_the_boundary(f)


def _no_sign_of_masking(f: AuditFindings) -> Finding:
    serious = any(flag.severity == "serious" for flag in f.flags)
    verdict: Verdict = "does not hold" if serious else "unclear" if f.flags else "holds"
    raised = checks.flag_names(f.flags)
    return Finding(
        "No sign of gradient masking or of a faulty evaluation.",
        verdict,
        f"flags: {raised}" if raised else f"none of {len(checks.FLAGS)} checks raised a flag",
        "flags",
    )


def _temperature_scaling_helps(f: AuditFindings) -> Finding:
    scaled, note = f.temperature_scaled
    before, after = _log_loss(f.clean), _log_loss(scaled)
    finite = before.isfinite() & after.isfinite()
    return claim_gain(
        "Temperature scaling improves the probabilities.",
        mean_interval((before - after)[finite]),
        f"reduction in negative log-likelihood, {note}",
        _OF_THIS_CLASSIFIER,
        see="calibration",
        unit=" nats",
    )


def _overconfident_near_the_boundary(f: AuditFindings) -> Finding:
    sure, right = f.clean.top()
    count = int(f.level.max()) + 1
    half = count // 2
    upper = f"levels {half + 1}–{count}" if half + 1 < count else f"level {count}"
    return claim_gain(
        "The classifier is more over-confident on images close to the decision boundary (AR-AdaLS, figure 1).",
        mean_difference((sure - right)[f.level == 0], (sure - right)[f.level >= half]),
        f"overconfidence (confidence − accuracy), level 1 minus {upper}",
        _OF_THIS_CLASSIFIER,
        see="levels",
    )


def _log_loss(p: Predictions) -> Tensor:
    return -p.log_p.double().gather(1, p.y[:, None])[:, 0]
