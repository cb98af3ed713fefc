"""The results of an audit: what its tasks left in the store, measured and checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from surefooted.auditing.black_box import BlackBoxDesign
from surefooted.auditing.design import AuditDesign
from surefooted.auditing.ood import OODFindings
from surefooted.auditing.shift import ShiftFindings
from surefooted.auditing.suites import attacks_run
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
from surefooted.pipeline.tasks import AttackTask, recorded_seconds
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
    def under_attack(self) -> Predictions | None:
        """Predictions at the points of the main attack; None for a model that returns labels alone."""
        return self.design.under_attack.result(self.store) if self.design.scores else None

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
        return {
            f"{name}, ε = {eps:.4g}": AttackOutcome(
                eps, task, misclassified_under_attack(self._success(eps, task), self.clean)
            )
            for name, eps, task in self.design.runs
        }

    def _success(self, eps: float, task: AttackTask) -> Tensor:
        """(N,) bool, the images that a task breaks within ``eps``; a search for the nearest point looks farther."""
        if task is self.design.minimal_norm:
            return self._near(eps) | self._misclassified
        return task.result(self.store)["found"]

    @property
    def _misclassified(self) -> Tensor:
        """(N,) bool, the clean images that are not classified correctly."""
        return ~(self.clean.top()[1] > 0)

    @property
    def suite(self) -> str:
        """The main attack by name."""
        return self.design.suite

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
            "attacked": (
                torch.zeros_like(self.unanswered)
                if self.under_attack is None
                else ~self.under_attack.answered & ~self.unanswered
            ),
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
        return next(outcome.success for outcome in self.attacks.values() if outcome.task is self.design.main_attack)

    @property
    def _found_by_others(self) -> dict[str, Tensor]:
        """Successes within ε of all attacks but the main one, by name."""
        eps, suite = self.design.options.eps, self.design.main_attack
        others = {name: o.success for name, o in self.attacks.items() if o.eps <= eps and o.task is not suite}
        if self.design.black_box:
            return others  # the search for the nearest point is among them
        return others | {f"{base_name(self.design.minimal_norm.attack)}, distance ≤ ε": self._near(eps)}

    def _near(self, eps: float) -> Tensor:
        """(N,) bool, correctly classified images within ``eps`` of the boundary.

        An L2 ball is inside the L∞ ball, so that a distance in L2 serves both norms.
        """
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
        return [*self.design.sanity_check.flags(self.store, eot=self.design.options.eot), *self._search_flags()]

    def _search_flags(self) -> list[Flag]:
        """What the predictions and the attacks show."""
        d = self.design
        right = (self.clean.top()[1] > 0) & ~self.unanswered
        trouble = dict(self.non_finite)
        gradients = trouble.pop("gradients")
        places = ("clean images", f"points of {self.suite}", "images, at points that attacks tried")
        raised = [
            checks.non_finite(dict(zip(places, trouble.values())), self.clean.rows, gradients=gradients),
            checks.chance(right, self.clean.y, classes=self.clean.log_p.shape[1]),
            *(() if d.black_box else self._gradient_flags()),
        ]
        return [flag for flag in raised if flag]

    def _gradient_flags(self) -> list[Flag | None]:
        """What attacks with gradients show in comparison with each other and with those without."""
        d, eps = self.design, self.design.options.eps
        found = {radius: task.result(self.store)["found"] for radius, task in d.sweep.items()}
        longer, square, huge = (
            task.result(self.store)["found"] for task in (d.double_steps, d.gradient_free, d.huge_ball)
        )
        return [
            # Not compared with AutoAttack, which contains Square: no gradient-free attack could win against it.
            checks.black_box_wins(found[eps] | longer, square, names=("APGD", "Square")),
            checks.huge_eps(huge, eps=d.huge_eps),
            checks.not_converged(found[eps], longer, steps=d.budget.steps),
            checks.rising_accuracy(found),
            checks.weak_suite(self._found_by_suite, self._found_by_others, suite=self.suite),
        ]

    @cached_property
    def calibration(self) -> dict[str, dict[str, Interval]]:
        draws = self.design.budget.draws
        if self.under_attack is None:
            return {"clean": measure(self.clean, ("accuracy",), draws=draws)}
        rows = {"clean": self.clean, "temperature": self.temperature_scaled[0], "attacked": self.under_attack}
        return {name: measure(p, METRICS, draws=draws) for name, p in rows.items()}

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
        metrics = (accuracy, confidence, ece) if self.design.scores else (accuracy,)
        return {m.__name__: by_level(m, self.clean, self.level).tolist() for m in metrics}

    @cached_property
    def prices(self) -> list[dict[str, Any]]:
        """Of each attack, its queries per image and the seconds that they took."""
        prices = []
        for name, _, task in self.design.runs:
            queries = task.result(self.store)["queries"].double()
            prices.append(
                {
                    "attack": name,
                    "mean": float(queries.mean()),
                    "most": int(queries.max()),
                    "total": int(queries.sum()),
                    "seconds": recorded_seconds(task, self.store),
                }
            )
        return prices

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
            "precision": getattr(d.model, "precision", "float32"),
            "headline": headline,
            "calibration": calibration,
            "temperature": self.temperature_scaled[1] if d.scores else "labels only: no confidence to scale",
            "attacks": attacks,
            "size_quartiles": size_quantiles(self.distances, self.distances.isfinite()).tolist(),
            "by_level": self.per_level,
            "non_finite": non_finite,
            "flags": [asdict(flag) for flag in self.flags],
            **({"shift": self.shift.numbers()} if self.shift else {}),
            **({"ood": self.ood.numbers()} if self.ood else {}),
            **(self._black_box_numbers(d) if isinstance(d, BlackBoxDesign) else {}),
        }

    def _black_box_numbers(self, design: BlackBoxDesign) -> dict[str, Any]:
        return {"queries": design.queries, "prices": self.prices, "limits": design.limits}

    def caption(self) -> str:
        d = self.design
        return f"{d.splits.title}: {len(self.clean.y)} {d.options.split} images; seed {d.options.seed}."

    def any_success_within(self, eps: float) -> Tensor:
        """(N,) bool, the images that any attack of the audit breaks within this radius."""
        within = [outcome.success for outcome in self.attacks.values() if outcome.eps <= eps]
        return torch.stack([*within, self._near(eps), self._misclassified | self.unanswered]).any(0)

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
    """Claims about the evaluation and the classifier, judged by the flags and by their intervals."""
    if not f.design.scores:
        return (_evaluation_is_sound(f),)
    return _evaluation_is_sound(f), _temperature_scaling_helps(f), _overconfident_near_the_boundary(f)


def _evaluation_is_sound(f: AuditFindings) -> Finding:
    doubts = [flag for flag in f.flags if flag.severity != "note"]
    serious = any(flag.severity == "serious" for flag in doubts)
    verdict: Verdict = "does not hold" if serious else "unclear" if doubts else "holds"
    raised = checks.flag_names(doubts)
    if f.design.black_box:
        bound = "gradient-free attacks on a black box give an upper bound only"
        return Finding(
            "The robust accuracy can be trusted.",
            "does not hold" if serious else "unclear",
            f"flags: {raised}; {bound}" if raised else bound,
            "flags" if raised else "queries",
        )
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
