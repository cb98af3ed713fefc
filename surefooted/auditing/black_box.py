"""The design of a black box's audit: gradient-free attacks within a budget of queries per image."""

from __future__ import annotations

from functools import cached_property

from surefooted.auditing.design import EPS_FACTORS, AuditDesign, AuditRun
from surefooted.components.spec import parse_spec
from surefooted.errors import ArgumentError
from surefooted.pipeline.tasks import AttackTask, PredictTask, Task

# Queries per image that no search may spend, in an audit of eight images or more: clean and attacked predictions,
# sanity checks, and the answers that confirm what an attack found.
RESERVED_QUERIES = 16
LEAST_QUERIES = 40
# HopSkipJump's first estimate of a normal takes this share of its queries, and at most the paper's 100.
_DIRECTIONS_SHARE, _MOST_DIRECTIONS = 1 / 20, 100

# The checks that need no gradients.
CHECKS = ("randomised", "train_mode", "softmax_twice", "non_finite", "chance")
LIMITS = (
    "The audit saw answers only, so it used attacks that need no gradients. Its robust accuracies are upper bounds: "
    "gradients, more queries, or adversarial examples transferred from a surrogate may break more images. Masked "
    "gradients, random defences and preprocessing behind the answers cannot be seen."
)
LABELS_LIMITS = " Labels come without confidence, so calibration cannot be measured."


class BlackBoxDesign(AuditDesign):
    """The tasks of an audit that may ask for answers only.

    Where the answers are scores, Square spends half of the queries within ε, and HopSkipJump half on the distance to
    the decision boundary. Where they are labels, HopSkipJump spends all.
    """

    black_box = True

    @property
    def tasks(self) -> list[Task]:
        validation = [self.validation] if self.validation else []
        searches = [run.task for run in self.runs]
        extra = [*(self.ood.tasks if self.ood else ()), *(self.shift.tasks if self.shift else ())]
        attacked = [self.under_attack] if self.scores else []
        return [self.sanity_check, self.clean, *validation, *searches, *attacked, *extra]

    @property
    def scores(self) -> bool:
        return not getattr(self.model, "labels_only", False)

    @property
    def queries(self) -> int:
        """Queries per image, at most."""
        queries = self.options.queries or self.budget.black_box_queries
        if queries < LEAST_QUERIES:
            raise ArgumentError(f"`queries` is {queries}; the audit of a black box needs at least {LEAST_QUERIES}.")
        return queries

    @property
    def queries_per_search(self) -> int:
        return (self.queries - RESERVED_QUERIES) // (2 if self.scores else 1)

    @cached_property
    def runs(self) -> tuple[AuditRun, ...]:
        searches = [self.gradient_free] if self.scores else []
        return tuple(AuditRun(_NAMES[_name(task)], self.options.eps, task) for task in (*searches, self.minimal_norm))

    @property
    def radii(self) -> list[float]:
        return [min(k * self.options.eps, self.huge_eps) for k in EPS_FACTORS]

    @property
    def main_attack(self) -> AttackTask:
        return self.gradient_free if self.scores else self.minimal_norm

    @property
    def suite(self) -> str:
        return f"{_NAMES[_name(self.main_attack)]} ({self.queries_per_search:,} queries)"

    @cached_property
    def gradient_free(self) -> AttackTask:
        queries = self.queries_per_search - 1  # Square asks for the clean point beyond its own
        return self._attack({"square": {**self._ball(self.options.eps), "queries": queries}}, points=True)

    @cached_property
    def minimal_norm(self) -> AttackTask:
        """HopSkipJump in the audit's norm: one search gives the success at every radius."""
        queries = self.queries_per_search
        directions = max(1, min(int(queries * _DIRECTIONS_SHARE), _MOST_DIRECTIONS))
        arguments = {"norm": self.options.norm, "queries": queries, "directions": directions}
        return self._attack({"hop_skip_jump": {**arguments, "away_from": "prediction"}})

    @cached_property
    def under_attack(self) -> PredictTask:
        """Predictions at Square's points."""
        return PredictTask(self.model, self.options.split, self.gradient_free, self.data, self.limit)

    @property
    def limits(self) -> str:
        return LIMITS + ("" if self.scores else LABELS_LIMITS)


_NAMES = {"square": "Square", "hop_skip_jump": "HopSkipJump"}


def _name(task: AttackTask) -> str:
    return parse_spec(task.attack)[0]
