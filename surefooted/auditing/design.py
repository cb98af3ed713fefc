"""What an audit computes, at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod, sqrt
from typing import Any, Literal

from surefooted.core.norms import Norm
from surefooted.data.images import Splits
from surefooted.errors import InputError
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.pipeline.tasks import (
    AttackTask,
    ComponentSpec,
    PredictTask,
    SanityCheckTask,
    Source,
    SplitName,
    Task,
    attack_task,
    load_splits,
    training_data,
)
from surefooted.studies.ranking import CARLINI_WAGNER, NEAREST_BOUNDARY, NEAREST_BOUNDARY_QUICK

RUNGS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class AuditBudget:
    """How much an audit asks.

    Attributes:
        images: at most so many; 0 for all.
        steps: of APGD along the ladder of ε; the check of convergence takes twice as many.
        strongest: options of AutoAttack.
        queries: of Square, on all rows, to compare with the attacks that follow gradients.
        nearest: the minimal-norm attack that ranks examples; the full budget has AR-AdaLS's own.
        draws: of the bootstrap.
    """

    images: int
    steps: int
    strongest: ComponentSpec
    queries: int
    nearest: ComponentSpec
    draws: int = 1000


BUDGETS = {
    "quick": AuditBudget(256, 20, {"budget": "quick"}, 200, NEAREST_BOUNDARY),
    "standard": AuditBudget(1000, 40, {"budget": "lean"}, 1000, NEAREST_BOUNDARY),
    "full": AuditBudget(0, 100, {}, 5000, CARLINI_WAGNER),
    # Shows that all runs; its numbers mean little.
    "smoke": AuditBudget(64, 10, {"steps": 5, "targets": 2, "queries": 40}, 40, NEAREST_BOUNDARY_QUICK, 100),
}


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit computes; arguments as in ``audit``."""

    model: Source
    data: ComponentSpec | None
    budget: AuditBudget
    eps: float
    norm: Norm
    part: SplitName = "test"
    limit: int = 0
    levels: int = 10
    eot: int = 1
    temperature: Literal["auto", "validation", "halves"] = "auto"
    seed: int = 0

    @property
    def tasks(self) -> list[Task]:
        """From the cheapest to the most expensive."""
        held = [self.held_out] if self.held_out else []
        return [
            *(self.sanity_check, self.clean, *held, *self.rungs.values(), self.longer, self.huge),
            *(self.nearest, self.gradient_free, self.strongest, self.moved),
        ]

    @property
    def images(self) -> int:
        return self.limit or self.budget.images

    @cached_property
    def splits(self) -> Splits:
        given = self.data or training_data(self.model)
        if given is None:
            raise InputError("which data? A classifier that is not ours does not say; name a data set (--data).")
        return load_splits(given)

    @cached_property
    def sanity_check(self) -> SanityCheckTask:
        return SanityCheckTask(self.model, self.part, self.data)

    @cached_property
    def clean(self) -> PredictTask:
        return PredictTask(self.model, self.part, None, self.data, self.images)

    @cached_property
    def held_out(self) -> PredictTask | None:
        """Validation predictions to fit the temperature on; None where halves of the audited images are used."""
        apart = self.part != "validation" and len(self.splits.validation) > 0
        if self.temperature == "validation" and not apart:
            raise InputError(
                "the temperature cannot be fitted on validation images: "
                + ("they are what is audited" if self.part == "validation" else "there are none")
                + "; use temperature halves, or hold some out (--data.validation 0.1)."
            )
        # A classifier that is not ours may have learnt what we call validation.
        ours = not isinstance(self.model, ExternalModel | InMemoryModel)
        if apart and (self.temperature == "validation" or (self.temperature == "auto" and ours)):
            return PredictTask(self.model, "validation", None, self.data)
        return None

    @cached_property
    def rungs(self) -> dict[float, AttackTask]:
        """The ladder: APGD at each ε."""
        return {rung * self.eps: self._climb(rung * self.eps, self.budget.steps) for rung in RUNGS}

    @cached_property
    def longer(self) -> AttackTask:
        return self._climb(self.eps, 2 * self.budget.steps)

    @cached_property
    def huge(self) -> AttackTask:
        """A ball that holds all images."""
        return self._climb(self.far, 2 * self.budget.steps)

    @property
    def far(self) -> float:
        return 1.0 if self.norm == "linf" else sqrt(prod(self.splits.test.shape))

    @cached_property
    def strongest(self) -> AttackTask:
        """AutoAttack; of its version for random classifiers there is no smaller budget."""
        options: ComponentSpec = {"version": "rand", "eot": self.eot} if self.eot > 1 else self.budget.strongest
        return self._attack({"autoattack": {**self._ball(self.eps), **options}}, points=True)

    @cached_property
    def moved(self) -> PredictTask:
        return PredictTask(self.model, self.part, self.strongest, self.data, self.images)

    @cached_property
    def gradient_free(self) -> AttackTask:
        return self._attack({"square": {**self._ball(self.eps), "queries": self.budget.queries}})

    @cached_property
    def nearest(self) -> AttackTask:
        return self._attack(self.budget.nearest)

    def _climb(self, eps: float, steps: int) -> AttackTask:
        return self._attack({"apgd": {**self._ball(eps), "steps": steps, "eot": self.eot}})

    def _attack(self, attack: ComponentSpec, *, points: bool = False) -> AttackTask:
        options: dict[str, Any] = {"data": self.data, "limit": self.images, "seed": self.seed, "keep_points": points}
        return attack_task(self.model, attack, self.part, **options)

    def _ball(self, eps: float) -> ComponentSpec:
        return {"norm": self.norm, "eps": eps}
