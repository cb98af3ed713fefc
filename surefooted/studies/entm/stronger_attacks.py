"""Attacks that the paper does not use, at its two radii, to check that accuracies do not depend on a weak attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, Task
from surefooted.report import Column, Table
from surefooted.studies.entm.curves import CURVE_METHODS, FIRST_NETWORK, step_arguments
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.grids import pgd_attack
from surefooted.studies.grid import name_subset

# The adaptive attack has as many runs, one for each γ. PGD with as many restarts separates the two causes of its
# success.
_RUNS = 11


@dataclass(frozen=True, eq=False)
class StrongerAttacks:
    """Attacks on the first network of each method, on the images of the curves of figures 1 and 2.

    Attributes:
        analysis: provides networks, radii and images.
        autoattack_options: arguments of AutoAttack apart from ``eps``.
    """

    analysis: Analysis
    autoattack_options: Mapping[str, Any]

    @cached_property
    def first_radius_attacks(self) -> dict[str, Any]:
        """Attacks on every method, at the first radius."""
        k = self.analysis.step_radii[0]
        return {
            f"PGD40-{k}": pgd_attack(40, k),
            f"CW40-{k}": pgd_attack(40, k, objective="cw_margin"),
            autoattack_name(k): self._autoattack(k),
        }

    @cached_property
    def second_radius_attacks(self) -> dict[str, Any]:
        """Attacks on the methods of figure 2, at the second radius."""
        k, steps = self.analysis.step_radii[1], self.analysis.max_steps
        arguments = step_arguments(k, steps)
        return {
            f"PGD{steps}-{k}": {"pgd": arguments},
            f"PGD{steps}-{k}, {_RUNS} runs": {"pgd": arguments | {"restarts": _RUNS}},
            f"adaptive, {steps} steps, {k}": {"adaptive_smoothing": arguments},
            autoattack_name(k): self._autoattack(k),
        }

    @cached_property
    def attacks(self) -> dict[tuple[str, str], AttackTask]:
        """Attack tasks, by method and attack."""
        a = self.analysis
        pairs = [(name, attack) for name in a.grid.methods for attack in self.first_radius_attacks.items()]
        pairs += [(name, attack) for name in CURVE_METHODS for attack in self.second_radius_attacks.items()]
        return {(name, attack): a.attack(a.grid.trained[name][0], spec) for name, (attack, spec) in pairs}

    @cached_property
    def second_training(self) -> dict[int, AttackTask]:
        """AutoAttack on a second PAT network, by radius, to estimate the difference between seeds."""
        a = self.analysis
        return {k: a.attack(a.grid.surrogate_nets["PAT"], self._autoattack(k)) for k in a.step_radii}

    def tasks(self) -> list[Task]:
        """Everything that the table and the findings read."""
        return [*self.attacks.values(), *self.second_training.values()]

    def _autoattack(self, k: int) -> dict[str, Any]:
        return {"autoattack": {"eps": k / 255, **self.autoattack_options}}


def autoattack_name(k: int) -> str:
    """Name of AutoAttack at radius k/255."""
    return f"AutoAttack-{k}"


def stronger_attacks_table(s: StrongerAttacks, store: Store) -> Table:
    """Robust accuracy, a row per method, a column per attack."""
    attacks = {**s.first_radius_attacks, **s.second_radius_attacks}
    columns = (
        Column("method", "Method"),
        *(Column(attack, attack, "%", 1, "high", scale=100) for attack in attacks),
    )
    rows = tuple(
        {"method": name}
        | {
            attack: robust_accuracy(s.attacks[name, attack].result(store)["found"])
            for attack in attacks
            if (name, attack) in s.attacks
        }
        for name in s.analysis.grid.methods
    )
    budget = s.autoattack_options.get("budget", "full")
    caption = (
        f"Robust accuracy. {name_subset(s.analysis.images)}, 95 % Wilson intervals. -k: L∞, ε = k/255. "
        "CW40: PGD40 on the margin of the logits, whose gradient does not vanish if the network is very confident. The "
        f"adaptive attack has {_RUNS} runs, each with a different label smoothing γ; PGD with {_RUNS} runs and hard "
        "labels shows how much of its success is due to the number of runs. "
        f"AutoAttack uses its {budget} budget. {s.analysis.grid.describe_setup()} {FIRST_NETWORK}"
    )
    return Table("stronger", "Attacks that the paper does not use", columns, rows, caption)
