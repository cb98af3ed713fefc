"""The results of an audit: what its tasks left in the store, measured and checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from surefooted.auditing.design import AuditDesign
from surefooted.auditing.ood import OODFindings
from surefooted.auditing.shift import ShiftFindings
from surefooted.auditing.suites import attacks_run, suite_name
from surefooted.components.spec import base_name
from surefooted.core.predictions import Predictions
from surefooted.evaluation import checks
from surefooted.evaluation.checks import Flag
from surefooted.evaluation.metrics import accuracy, confidence, ece
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.measuring import measure
from surefooted.evaluation.metrics.robustness import misclassified_under_attack, robust_accuracy, size_quantiles
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature, temperature_scale
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask
from surefooted.pipeline.tasks.attack import COUNTERS
from surefooted.report import Finding
from surefooted.report.page import Verdict
from surefooted.studies.claims import Sampling, claim_gain
from surefooted.studies.intervals import mean_difference
from surefooted.studies.method_comparison.design import NORM_SYMBOLS

# An audit's claims are about one given network, so test images are all that varies.
_OF_THIS_CLASSIFIER = Sampling("95 % interval over test images", None)
# Rows of images that JSON lists of each kind of trouble.
LISTED_ROWS = 20
WORST_CASE = "worst case over all attacks within ε"
METRICS = ("accuracy", "confidence", "overconfidence", "nll", "brier", "ece", "classwise_ece")


class AttackOutcome(NamedTuple):
    """One attack of the audit.

    Attributes:
        eps: its radius.
        task: the task that ran it.
        success: (N,) bool, the images that are misclassified under it. An image without a finite answer is.
    """

    eps: float
    task: AttackTask
    success: Tensor


class Headline(NamedTuple):
    """The robust accuracy that an audit reports: an image counts as robust if no attack of the audit breaks it.

    Attributes:
        accuracy: the worst case per image over all attacks within ε.
        suite: the robust accuracy under AutoAttack alone.
        missed: for each other attack, by its name, the number of images that it finds and AutoAttack does not.
    """

    accuracy: Interval
    suite: Interval
    missed: dict[str, int]


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
        runs |= {f"Square, {d.budget.queries} queries": [(eps, d.gradient_free)], self.suite: [(eps, d.autoattack)]}
        named = [(name, size, task) for name, tasks in runs.items() for size, task in tasks]
        named.append((f"APGD-{2 * d.budget.steps}", d.huge_eps, d.huge_ball))
        return {
            f"{name}, ε = {size:.4g}": AttackOutcome(
                size, task, misclassified_under_attack(task.result(self.store)["found"], self.clean)
            )
            for name, size, task in named
        }

    @property
    def suite(self) -> str:
        """AutoAttack with the name of its suite."""
        return suite_name(self.design.autoattack.attack)

    @cached_property
    def unanswered(self) -> Tensor:
        """(N,) bool, the clean images without a finite answer. They count as misclassified."""
        return ~self.clean.answered

    @cached_property
    def non_finite(self) -> dict[str, Tensor]:
        """For each set of inputs, (N,) bool: the images at which logits or gradients are NaN or infinite."""
        attack_results = [outcome.task.result(self.store) for outcome in self.attacks.values()]
        tried, gradients = (
            torch.stack([result[name] > 0 if name in result else none for result in attack_results]).any(0)
            for none in [torch.zeros_like(self.unanswered)]
            for name in COUNTERS
        )
        return {
            "clean": self.unanswered,
            "attacked": ~self.under_attack.answered & ~self.unanswered,
            "tried": tried & ~self.unanswered,
            "gradients": gradients & ~self.unanswered,
        }

    @cached_property
    def headline(self) -> Headline:
        eps, suite = self.design.options.eps, self._found_by_suite
        missed = {name: int((success & ~suite).sum()) for name, success in self._found_by_others.items()}
        return Headline(
            robust_accuracy(self.any_success_within(eps)),
            robust_accuracy(suite),
            {name: count for name, count in missed.items() if count},
        )

    @property
    def _found_by_suite(self) -> Tensor:
        return next(outcome.success for outcome in self.attacks.values() if outcome.task is self.design.autoattack)

    @property
    def _found_by_others(self) -> dict[str, Tensor]:
        """Successes within ε of all attacks but AutoAttack, by name."""
        eps, suite = self.design.options.eps, self.design.autoattack
        others = {name: o.success for name, o in self.attacks.items() if o.eps <= eps and o.task is not suite}
        return others | {f"{base_name(self.design.minimal_norm.attack)}, distance ≤ ε": self._near(eps)}

    def _near(self, eps: float) -> Tensor:
        """(N,) bool, correctly classified images within ``eps`` of the boundary: an L2 ball is inside the L∞ ball."""
        return (self.distances <= eps) & (self.clean.top()[1] > 0)

    @cached_property
    def distances(self) -> Tensor:
        """(N,) distance of each image to the decision boundary; infinite if the attack found none.

        It is 0 for an image that is misclassified, and for one without an answer.
        """
        return self.design.minimal_norm.distances(self.store).masked_fill(self.unanswered, 0.0)

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
        right = (self.clean.top()[1] > 0) & ~self.unanswered
        trouble = dict(self.non_finite)
        gradients = trouble.pop("gradients")
        places = ("clean images", f"points of {self.suite}", "images, at points that attacks tried")
        raised = (
            checks.non_finite(dict(zip(places, trouble.values())), self.clean.rows, gradients=gradients),
            checks.chance(right, self.clean.y, classes=self.clean.log_p.shape[1]),
            # Not compared with AutoAttack, which contains Square: no gradient-free attack could win against it.
            checks.black_box_wins(found[eps] | longer, square, names=("APGD", "Square")),
            checks.huge_eps(huge, eps=d.huge_eps),
            checks.not_converged(found[eps], longer, steps=d.budget.steps),
            checks.rising_accuracy(found),
            checks.weak_suite(self._found_by_suite, self._found_by_others, suite=self.suite),
        )
        return [*d.sanity_check.flags(self.store, eot=d.options.eot), *(flag for flag in raised if flag)]

    @cached_property
    def calibration(self) -> dict[str, dict[str, Interval]]:
        rows = {"clean": self.clean, "temperature": self.temperature_scaled[0], "attacked": self.under_attack}
        return {name: measure(p, METRICS, draws=self.design.budget.draws) for name, p in rows.items()}

    @cached_property
    def shift(self) -> ShiftFindings | None:
        """The results on corrupted images, if they were asked for."""
        return ShiftFindings(self.design.shift, self.store) if self.design.shift else None

    @cached_property
    def ood(self) -> OODFindings | None:
        """The detection of out-of-distribution images, if it was asked for."""
        return OODFindings(self.design.ood, self.store) if self.design.ood else None

    @cached_property
    def per_level(self) -> dict[str, list[float]]:
        return {m.__name__: by_level(m, self.clean, self.level).tolist() for m in (accuracy, confidence, ece)}

    def numbers(self) -> dict[str, Any]:
        """All results as plain data, ready for JSON."""
        d, eps = self.design, self.design.options.eps
        classes = self.clean.log_p.shape[1]
        attacks = [
            {
                "name": attack_name(name),
                "attack": outcome.task.attack,
                "runs": attacks_run(outcome.task, classes),
                "eps": outcome.eps,
                "robust_accuracy": robust_accuracy(outcome.success)._asdict(),
            }
            for name, outcome in self.attacks.items()
        ]
        headline = {
            "robust_accuracy": self.headline.accuracy._asdict(),
            "suite": self.suite,
            "suite_robust_accuracy": self.headline.suite._asdict(),
            "missed_by_suite": self.headline.missed,
        }
        attacks.append({"name": WORST_CASE, "eps": eps, "robust_accuracy": self.headline.accuracy._asdict()})
        non_finite = {
            name: {"count": int(where.sum()), "rows": self.clean.rows[where][:LISTED_ROWS].tolist()}
            for name, where in self.non_finite.items()
        }
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
            "budget": d.options.budget,
            "headline": headline,
            "calibration": calibration,
            "temperature": self.temperature_scaled[1],
            "attacks": attacks,
            "size_quartiles": size_quantiles(self.distances, self.distances.isfinite()).tolist(),
            "by_level": self.per_level,
            "non_finite": non_finite,
            "flags": [asdict(flag) for flag in self.flags],
            **({"shift": self.shift.numbers()} if self.shift else {}),
            **({"ood": self.ood.numbers()} if self.ood else {}),
        }

    def caption(self) -> str:
        d = self.design
        return f"{d.splits.title}: {len(self.clean.y)} {d.options.split} images; seed {d.options.seed}."

    def any_success_within(self, eps: float) -> Tensor:
        """(N,) bool, the images that any attack of the audit breaks within this radius."""
        within = [outcome.success for outcome in self.attacks.values() if outcome.eps <= eps]
        return torch.stack([*within, self._near(eps)]).any(0)

    def headline_text(self) -> str:
        """The headline as a sentence or two."""
        o, (accuracy, suite, missed) = self.design.options, self.headline
        text = f"Robust accuracy within {NORM_SYMBOLS[o.norm]} ε = {o.eps:.4g}: {accuracy.percent()}. "
        if not missed:
            return f"{text}No attack of this audit breaks an image that {self.suite} did not."
        finds = ", ".join(f"{name}: {count}" for name, count in missed.items())
        return (
            f"{text}This is the worst case per image over all attacks of this audit, because {self.suite} alone, with "
            f"{suite.percent()}, missed images that others found ({finds})."
        )


def attack_name(name: str) -> str:
    """The name of an attack in ``AuditFindings.attacks`` without its radius."""
    return name.rpartition(", ε")[0]


def claims(f: AuditFindings) -> tuple[Finding, ...]:
    """Three claims about the evaluation and the classifier, judged by the flags and by their intervals."""
    return _evaluation_is_sound(f), _temperature_scaling_helps(f), _overconfident_near_the_boundary(f)


def _evaluation_is_sound(f: AuditFindings) -> Finding:
    doubts = [flag for flag in f.flags if flag.severity != "note"]
    serious = any(flag.severity == "serious" for flag in doubts)
    verdict: Verdict = "does not hold" if serious else "unclear" if doubts else "holds"
    raised = checks.flag_names(doubts)
    return Finding(
        "The evaluation passes all checks for gradient masking, weak attacks and a faulty set-up.",
        verdict,
        f"flags: {raised}" if raised else f"none of {len(checks.FLAGS)} checks raised a doubt",
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
