"""The audit: what one classifier is worth, whoever made it, and whether its numbers can be trusted."""

from __future__ import annotations

from typing import Any, Literal

from surefooted.auditing.design import BUDGETS, Audit
from surefooted.auditing.findings import Findings
from surefooted.auditing.page import page
from surefooted.components.component import Count, Positive, Whole, component
from surefooted.core.norms import Norm
from surefooted.errors import InputError
from surefooted.pipeline.tasks import SplitName
from surefooted.studies.base import Study


@component
def audit(
    *,
    model: Any,
    data: Any = None,
    eps: Positive = 8 / 255,
    norm: Norm = "linf",
    budget: Literal["quick", "standard", "full", "smoke"] = "standard",
    part: SplitName = "test",
    limit: Whole = 0,
    levels: Count = 10,
    eot: Count = 1,
    temperature: Literal["auto", "validation", "halves"] = "auto",
    seed: Whole = 0,
) -> Study:
    """Audit of one classifier: accuracy, calibration, robustness, robustness levels, and flags; ``surefooted audit``.

    Args:
        model: what a cell takes for a victim; ``surefooted.audit`` makes one of any module.
        data: a data set with its options; by default the one that a network of ours was trained on.
        eps: the size of AutoAttack, in L∞ below 1; the ladder goes from a quarter of it to twice as much.
        budget: quick, standard or full; smoke shows that all runs, its numbers mean little.
        limit: at most so many images; 0 for the budget's number.
        levels: subsets by robustness (AR-AdaLS).
        eot: forward passes that each answer to an attack is the mean of; above 1 for classifiers that draw at random.
        temperature: fitted on the validation images, or on each half of the audited images for the other; auto takes
            the validation images only for networks of ours: a stranger may have been trained on them.
    """
    if norm == "linf" and eps >= 1:
        raise InputError(
            f"audit: eps = {eps:g} in L∞ lets every pixel be anything; pixels are in [0, 1]. Did you mean {eps:g}/255?"
        )
    made = Audit(model, data, BUDGETS[budget], eps, norm, part, limit, levels, eot, temperature, seed)
    return Study(lambda: made.tasks, lambda store: page(Findings(made, store)))


def audit_of(**arguments: Any) -> Audit:
    """The same as a description, with the arguments of ``audit`` checked and completed."""
    spec = audit(**arguments).spec
    assert spec is not None
    return Audit(**{**spec.arguments, "budget": BUDGETS[spec.arguments["budget"]]})
