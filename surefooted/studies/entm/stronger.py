"""Attacks that the paper does not have, at its two radii: is a number the network's, or the attack's?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, Task
from surefooted.report import Column, Table
from surefooted.studies.entm.analysis_tables import FIRST
from surefooted.studies.entm.curves import CURVES, at
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.grids import pgd

# As many runs as the adaptive attack has labels: what of its finds is the labels', what the runs'?
RUNS = 11


@dataclass(frozen=True, eq=False)
class StrongerAttacks:
    """On the first network of each method, and on as many images as the curves of figures 1 and 2.

    Attributes:
        analysis: has the networks, radii and images.
        suite: options of AutoAttack.
    """

    analysis: Analysis
    suite: Mapping[str, Any]

    @cached_property
    def every(self) -> dict[str, Any]:
        """Attacks on every method, at the first radius."""
        k = self.analysis.pixels[0]
        return {
            f"PGD40-{k}": pgd(40, k),
            f"CW40-{k}": pgd(40, k, objective="cw_margin"),
            autoattack(k): {"autoattack": {"eps": k / 255, **self.suite}},
        }

    @cached_property
    def further(self) -> dict[str, Any]:
        """Attacks on the methods of figure 2, at the second."""
        k, steps = self.analysis.pixels[1], self.analysis.most
        return {
            f"PGD{steps}-{k}": {"pgd": at(k, steps)},
            f"PGD{steps}-{k}, {RUNS} runs": {"pgd": at(k, steps) | {"restarts": RUNS}},
            f"adaptive, {steps} steps, {k}": {"adaptive_smoothing": at(k, steps)},
            autoattack(k): {"autoattack": {"eps": k / 255, **self.suite}},
        }

    @cached_property
    def attacked(self) -> dict[tuple[str, str], AttackTask]:
        """By method and attack."""
        a = self.analysis
        pairs = [(name, one) for name in a.grid.methods for one in self.every.items()]
        pairs += [(name, one) for name in CURVES for one in self.further.items()]
        return {(name, attack): a.attack(a.grid.trained[name][0], given) for name, (attack, given) in pairs}

    @cached_property
    def again(self) -> dict[int, AttackTask]:
        """AutoAttack on a second network of PAT, by radius: how far two trainings are apart."""
        a, given = self.analysis, self.every | self.further
        return {k: a.attack(a.grid.surrogate_nets["PAT"], given[autoattack(k)]) for k in a.pixels}

    def tasks(self) -> list[Task]:
        return [*self.attacked.values(), *self.again.values()]


def autoattack(k: int) -> str:
    return f"AutoAttack-{k}"


def table(s: StrongerAttacks, store: Store) -> Table:
    """A row a method, a column an attack."""
    attacks = {**s.every, **s.further}
    columns = (
        Column("method", "Method"),
        *(Column(attack, attack, "%", 1, "high", scale=100) for attack in attacks),
    )
    rows = tuple(
        {"method": name}
        | {
            attack: robust_accuracy(s.attacked[name, attack].result(store)["found"])
            for attack in attacks
            if (name, attack) in s.attacked
        }
        for name in s.analysis.grid.methods
    )
    budget = s.suite.get("budget", "full")
    caption = (
        f"Robust accuracy on the first {s.analysis.images} test images, 95 % Wilson intervals; -k: L∞, ε = k/255. "
        "CW40: PGD40 on the margin of the logits, which does not vanish where a network is sure. The adaptive attack "
        f"has {RUNS} runs, each with labels smoothed otherwise; as many runs of PGD with hard labels tell what of its "
        f"finds is the labels'. AutoAttack in its {budget} budget. {s.analysis.grid.describe_setup()} {FIRST}"
    )
    return Table("stronger", "Attacks that the paper does not have", columns, rows, caption)
