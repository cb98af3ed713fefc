"""The design of an audit: its options, its budget and the tasks that it computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod, sqrt
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from surefooted.auditing.ood import OODDesign
from surefooted.auditing.shift import CorruptionDesign, corruption_types
from surefooted.auditing.suites import suite_name
from surefooted.components.component import Count, Positive, Whole, call_error, respell
from surefooted.core.norms import Norm
from surefooted.data.images import Splits
from surefooted.data.order import Order, parse_order
from surefooted.errors import ArgumentError
from surefooted.models.external import ExternalModel, InMemoryModel, ModelOptions
from surefooted.pipeline.tasks import (
    AttackTask,
    ComponentSpec,
    PredictTask,
    SanityCheckTask,
    Source,
    SplitName,
    Task,
    attack_task,
    choose_order,
    load_splits,
    resolve_data,
    training_data,
)
from surefooted.studies.ranking import CARLINI_WAGNER, NEAREST_BOUNDARY, NEAREST_BOUNDARY_QUICK

# Radii of the sweep, as multiples of the audit's own ε.
EPS_FACTORS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class AuditBudget:
    """How much an audit computes.

    Attributes:
        images: maximum number of images; 0 for all.
        steps: APGD steps at each radius of the sweep. The check of convergence takes twice as many.
        autoattack: arguments of AutoAttack.
        queries: queries of Square per image; it attacks all images, for comparison with the gradient-based attacks.
        nearest: minimal-norm attack that ranks the images; the full budget uses Carlini–Wagner, as AR-AdaLS does.
        draws: bootstrap draws.
        black_box_queries: queries per image in the audit of a black box.
    """

    images: int
    steps: int
    autoattack: ComponentSpec
    queries: int
    nearest: ComponentSpec
    draws: int = 1000
    black_box_queries: int = 4000


BUDGETS = {
    "quick": AuditBudget(256, 20, {"budget": "quick"}, 200, NEAREST_BOUNDARY, black_box_queries=1000),
    "standard": AuditBudget(1000, 40, {"budget": "lean"}, 1000, NEAREST_BOUNDARY),
    "full": AuditBudget(0, 100, {}, 5000, CARLINI_WAGNER, black_box_queries=10_000),
    # For tests: it exercises every part, and its numbers mean little.
    "smoke": AuditBudget(64, 10, {"steps": 5, "targets": 2, "queries": 40}, 40, NEAREST_BOUNDARY_QUICK, 100, 120),
}


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AuditOptions:
    """The options of an audit. Each may be given to ``surefooted.audit`` by its name.

    Attributes:
        eps: perturbation radius ε, for pixels in [0, 1]. A sweep from ε/4 to 2ε is also run.
        norm: ``linf`` or ``l2``.
        budget: ``quick`` (256 images, AutoAttack's suite quick), ``standard`` (1,000 images, suite lean) or ``full``
            (all images, suite full, as published); ``smoke`` only exercises every part, and its numbers mean little.
        split: split to audit: ``train``, ``validation`` or ``test``.
        limit: maximum number of images; 0 for the budget's number.
        order: order of the images, of which the first are audited: ``official`` (the data set's own), ``random``,
            ``random:SEED``, or ``split`` (as ``split_seed`` draws it).
        levels: number of robustness levels (equal-sized groups of images by distance to the decision boundary).
        eot: forward passes averaged per prediction under attack; use 20 for stochastic models.
        temperature: images to fit the temperature on: the ``validation`` split, or both ``halves`` of the audited
            images in turn; ``auto`` uses the validation split of a Surefooted network only, because an external model
            may have been trained on it.
        seed: key of every random draw.
        mean: per-channel mean that an external model's normalisation subtracts; empty for none.
        std: per-channel standard deviation that an external model's normalisation uses; empty for none.
        outputs: what an external model returns: ``logits`` (None), ``probabilities``, ``log_probabilities``,
            ``sigmoid`` (one logit of a binary classifier) or ``labels``. A black box needs it.
        weights: safetensors file with the weights of a factory's module.
        corruptions: types of corruption to evaluate under as well, as for ``surefooted.corrupt``; empty for none.
        ood: data set of out-of-distribution images for the classifier's uncertainty to detect; None for none.
        layout: how a black box reads images: ``nchw``, ``nhwc`` or ``flat``.
        pixels: the numbers that a black box reads: ``float32`` in [0, 1] or ``uint8``.
        queries: queries per image in the audit of a black box; 0 for the budget's number.

    Example:
        >>> AuditOptions(eps=0.1).norm
        'linf'
    """

    eps: Positive = 8 / 255
    norm: Norm = "linf"
    budget: Literal["quick", "standard", "full", "smoke"] = "standard"
    split: SplitName = "test"
    limit: Whole = 0
    order: str = "official"
    levels: Count = 10
    eot: Count = 1
    temperature: Literal["auto", "validation", "halves"] = "auto"
    seed: Whole = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: str | None = None
    weights: Path | None = None
    corruptions: str = ""
    ood: Any = None
    layout: str = "nchw"
    pixels: str = "float32"
    queries: Whole = 0

    @property
    def model(self) -> ModelOptions:
        """How an external model is to be read."""
        return ModelOptions(self.mean, self.std, self.outputs, self.weights, self.layout, self.pixels)


def audit_options(**arguments: Any) -> AuditOptions:
    """Check the options of an audit and fill in the defaults.

    Raises:
        ArgumentError: for an unknown option or a wrong value; one message lists all faults.

    Example:
        >>> audit_options(eps="0.1").eps
        0.1
    """
    try:
        options = AuditOptions(**arguments)
    except ValidationError as error:
        if respelt := respell(error, AuditOptions, arguments):
            return audit_options(**(arguments | respelt))
        raise ArgumentError(call_error(error, AuditOptions).within("")) from None
    parse_order(options.order)
    if options.norm == "linf" and options.eps >= 1:
        eps = f"{options.eps:g}"
        raise ArgumentError(
            f"`eps` is {eps}, but pixels are in [0, 1]: an L∞ ball of that radius contains every image. "
            f"Did you mean {eps}/255?"
        )
    return options


class AuditRun(NamedTuple):
    """An attack of an audit at a fixed radius.

    Attributes:
        name: for the reader.
        eps: the radius.
        task: the task that runs it.
    """

    name: str
    eps: float
    task: AttackTask


@dataclass(frozen=True, eq=False)
class AuditDesign:
    """The tasks of an audit.

    Attributes:
        model: the classifier.
        data: its data set; None for the one that a Surefooted network was trained on.
        options: what to compute.
    """

    model: Source
    data: ComponentSpec | None
    options: AuditOptions

    black_box: ClassVar[bool] = False

    @property
    def tasks(self) -> list[Task]:
        """All tasks, from the cheapest to the most expensive."""
        validation = [self.validation] if self.validation else []
        return [
            *(self.sanity_check, self.clean, *validation, *self.sweep.values(), self.double_steps, self.huge_ball),
            *(self.minimal_norm, self.gradient_free, self.autoattack, self.under_attack),
            *(self.ood.tasks if self.ood else ()),
            *(self.shift.tasks if self.shift else ()),
        ]

    @cached_property
    def shift(self) -> CorruptionDesign | None:
        """The evaluation on corrupted images, if it was asked for."""
        o = self.options
        if not o.corruptions:
            return None
        types = corruption_types(o.corruptions, self.splits.test.shape[0])
        images: dict[str, Any] = {"split": o.split, "limit": self.limit, "order": self.order, "seed": o.seed}
        return CorruptionDesign(self.model, self.data, types, draws=self.budget.draws, **images)

    @cached_property
    def ood(self) -> OODDesign | None:
        """The detection of out-of-distribution images, if it was asked for."""
        o = self.options
        if o.ood is None:
            return None
        ood = resolve_data(o.ood) or {}
        return OODDesign(self.model, self.data, ood, o.split, self.limit, o.order, o.seed)

    @property
    def runs(self) -> tuple[AuditRun, ...]:
        """The attacks at a fixed radius, as the report lists them."""
        steps, eps = self.budget.steps, self.options.eps
        return (
            *(AuditRun(f"APGD-{steps}", size, task) for size, task in self.sweep.items()),
            AuditRun(f"APGD-{2 * steps}", eps, self.double_steps),
            AuditRun(f"Square, {self.budget.queries} queries", eps, self.gradient_free),
            AuditRun(self.suite, eps, self.autoattack),
            AuditRun(f"APGD-{2 * steps}", self.huge_eps, self.huge_ball),
        )

    @property
    def radii(self) -> list[float]:
        """The radii of the sweep."""
        return list(self.sweep)

    @property
    def main_attack(self) -> AttackTask:
        """The attack whose robust accuracy the headline starts from."""
        return self.autoattack

    @property
    def suite(self) -> str:
        """The main attack by name: AutoAttack with the name of its suite."""
        return suite_name(self.autoattack.attack)

    @property
    def scores(self) -> bool:
        """Whether the model gives probabilities, and not labels alone."""
        return True

    @property
    def budget(self) -> AuditBudget:
        return BUDGETS[self.options.budget]

    @property
    def limit(self) -> int:
        """Maximum number of images; 0 for all."""
        return self.options.limit or self.budget.images

    @cached_property
    def splits(self) -> Splits:
        given = self.data or training_data(self.model)
        if given is None:
            raise ArgumentError("The data set cannot be inferred from these weights; pass `data`.")
        return load_splits(given)

    @cached_property
    def order(self) -> Order:
        """Order of the images."""
        return choose_order(self.model, self.data, self.options.split, self.limit, self.options.order)

    @cached_property
    def sanity_check(self) -> SanityCheckTask:
        return SanityCheckTask(self.model, self.options.split, self.data)

    @cached_property
    def clean(self) -> PredictTask:
        return PredictTask(self.model, self.options.split, None, self.data, self.limit, order=self.order)

    @cached_property
    def validation(self) -> PredictTask | None:
        """Validation predictions to fit the temperature on; None if halves of the audited images are used."""
        wanted = self.options.temperature
        available = self.options.split != "validation" and len(self.splits.validation) > 0
        if wanted == "validation" and not available:
            reason = "they are being audited" if self.options.split == "validation" else "there are none"
            raise ArgumentError(
                f"The temperature cannot be fitted on validation images: {reason}. "
                "Set `temperature=halves`, or hold some images out with `data.validation=0.1`."
            )
        ours = not isinstance(self.model, ExternalModel | InMemoryModel)
        if available and (wanted == "validation" or (wanted == "auto" and ours)):
            return PredictTask(self.model, "validation", None, self.data)
        return None

    @cached_property
    def sweep(self) -> dict[float, AttackTask]:
        """APGD at each radius. No ball is larger than one that contains every image."""
        radii = (min(k * self.options.eps, self.huge_eps) for k in EPS_FACTORS)
        return {eps: self._apgd(eps, self.budget.steps) for eps in radii}

    @cached_property
    def double_steps(self) -> AttackTask:
        """APGD with twice as many steps: had it converged, it succeeds on the same images."""
        return self._apgd(self.options.eps, 2 * self.budget.steps)

    @cached_property
    def huge_ball(self) -> AttackTask:
        """APGD in a ball that contains every image: no classifier withstands it."""
        return self._apgd(self.huge_eps, 2 * self.budget.steps)

    @property
    def huge_eps(self) -> float:
        return 1.0 if self.options.norm == "linf" else sqrt(prod(self.splits.test.shape))

    @cached_property
    def autoattack(self) -> AttackTask:
        """AutoAttack; its version for stochastic classifiers has no smaller budget."""
        eot = self.options.eot
        arguments: ComponentSpec = {"version": "rand", "eot": eot} if eot > 1 else self.budget.autoattack
        return self._attack({"autoattack": {**self._ball(self.options.eps), **arguments}}, points=True)

    @cached_property
    def under_attack(self) -> PredictTask:
        """Predictions at AutoAttack's points."""
        return PredictTask(self.model, self.options.split, self.autoattack, self.data, self.limit)

    @cached_property
    def gradient_free(self) -> AttackTask:
        return self._attack({"square": {**self._ball(self.options.eps), "queries": self.budget.queries}})

    @cached_property
    def minimal_norm(self) -> AttackTask:
        """Estimates each image's distance to the decision boundary."""
        return self._attack(self.budget.nearest)

    def _apgd(self, eps: float, steps: int) -> AttackTask:
        return self._attack({"apgd": {**self._ball(eps), "steps": steps, "eot": self.options.eot}})

    def _attack(self, attack: ComponentSpec, *, points: bool = False) -> AttackTask:
        o = self.options
        images: dict[str, Any] = {"data": self.data, "limit": self.limit, "order": self.order}
        return attack_task(self.model, attack, o.split, **images, seed=o.seed, keep_points=points)

    def _ball(self, eps: float) -> ComponentSpec:
        return {"norm": self.options.norm, "eps": eps}
