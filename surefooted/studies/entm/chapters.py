"""Chapters of the EntM study: robustness tables, gradient masking, curves, λ, and why EntM works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies.chapters import Chapter
from surefooted.studies.entm import (
    analysis_tables,
    attack_findings,
    figures,
    mechanism_findings,
    table_findings,
    tables,
)
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.grids import second_trainings
from surefooted.studies.entm.stronger_attacks import StrongerAttacks, stronger_attacks_table
from surefooted.studies.grid import SINGLE_TRAINING_NOTE, Grid
from surefooted.studies.paper_comparison import CellComparison, claim_reproduced, comparison_table
from surefooted.studies.scope import Scope


@dataclass(frozen=True)
class RobustnessTable(Chapter):
    """Every method under the paper's attacks, on one data set.

    Attributes:
        data: data set, and variant of the network or of the attacks, such as ``cifar10-wide``.
        grid: methods and attacks.
        printed: the paper's tables that print its numbers.
        claims: which claims are judged on this grid, by their names in ``table_findings.CLAIMS``.
    """

    data: str
    grid: Grid
    printed: tuple[str, ...]
    claims: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.data

    def tasks(self) -> list[Task]:
        second = second_trainings(self.grid).values() if self.claims and self.grid.seeds == 1 else ()
        return [*self.grid.tasks(), *second]

    def notes(self) -> list[str]:
        return self.grid.notes()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, grid=scope.narrow(self.grid))

    def section(self, store: Store) -> Section:
        numbers, title = tables.table_numbers(self.printed), tables.grid_title(self.data)
        return Section(
            f"Robustness: {title}",
            "Every method under the paper's attacks.",
            (
                tables.robustness_table(self.grid, store, self.data, self.printed),
                comparison_table(
                    f"printed-{self.data}",
                    f"The paper's numbers ({numbers}) and ours, {title}",
                    self._compared(store),
                    f"{tables.PRINTED_NOTE}{self.grid.caption()}",
                ),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        text = f"The numbers of the paper's table are reproduced ({tables.grid_title(self.data)})."
        compared = self._compared(store)
        reproduced = (
            [claim_reproduced(text, compared, self.grid.sampling(), f"printed-{self.data}")] if compared else []
        )
        return reproduced + [
            finding
            for group in self.claims
            for finding in table_findings.CLAIMS[group](table_findings.GridClaims(self.grid, self.data, store))
        ]

    def _compared(self, store: Store) -> list[CellComparison]:
        return tables.compare_accuracies(self.grid, store, self.data.partition("-")[0], self.printed)


@dataclass(frozen=True)
class GradientMasking(Chapter):
    """Signs that robustness is only apparent (section 5.2, appendix C)."""

    stronger: StrongerAttacks
    name = "masking"

    @property
    def analysis(self) -> Analysis:
        """Random search and the checks, on the same networks."""
        return self.stronger.analysis

    def tasks(self) -> list[Task]:
        return [*self.analysis.masking_tasks(), *self.stronger.tasks()]

    def notes(self) -> list[str]:
        return [SINGLE_TRAINING_NOTE]

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, stronger=replace(self.stronger, analysis=self.analysis.narrow(scope)))

    def section(self, store: Store) -> Section:
        return Section(
            "Gradient masking",
            "Signs that robustness is only apparent: random search or another network's gradients are more effective "
            "than a network's own.",
            (
                analysis_tables.gradient_masking_table(self.analysis, store),
                analysis_tables.random_search_table(self.analysis, store),
                stronger_attacks_table(self.stronger, store),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        masking = [attack_findings.masking_finding(self.analysis, store, name) for name in ("EntM", "LS")]
        return [*masking, *attack_findings.strong_attack_findings(self.stronger, store)]


@dataclass(frozen=True)
class CurveChapter(Chapter):
    """One of figures 1 to 3."""

    curves: Curves
    figure: ClassVar[str]

    @property
    def name(self) -> str:
        return f"{self.figure}{self.curves.name_suffix}"

    def notes(self) -> list[str]:
        return [SINGLE_TRAINING_NOTE]

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, curves=self.curves.narrow(scope))


class RadiusCurve(CurveChapter):
    """Accuracy against the radius (figure 1)."""

    figure = "radius"

    def tasks(self) -> list[Task]:
        return list(self.curves.radius_attacks.values())

    def section(self, store: Store) -> Section:
        return Section(
            f"Accuracy against the radius{self.curves.title_suffix}",
            "If accuracy does not fall to 0 at large radii, the defence masks its gradients.",
            (figures.radius_figure(self.curves, store),),
        )

    def findings(self, store: Store) -> list[Finding]:
        leads = [attack_findings.radius_finding(self.curves, store, other) for other in ("PAT", "TRADES")]
        return [*leads, attack_findings.zero_accuracy_finding(self.curves, store)]


class StepCurve(CurveChapter):
    """Accuracy against the number of steps (figure 2)."""

    figure = "steps"

    def tasks(self) -> list[Task]:
        curves = self.curves
        parts = (curves.step_attacks, curves.adaptive_attacks, curves.adaptive_second_training)
        return [task for part in parts for task in part.values()]

    def section(self, store: Store) -> Section:
        return Section(
            f"Accuracy against the number of steps{self.curves.title_suffix}",
            "If accuracy still falls at the largest number of steps, shorter attacks have not converged.",
            (figures.step_figure(self.curves, store),),
        )

    def findings(self, store: Store) -> list[Finding]:
        return attack_findings.adaptive_findings(self.curves, store)


class EntropyWeight(CurveChapter):
    """Accuracy against the weight λ of the entropy (section 5.3, figure 3)."""

    figure = "lambda"

    def tasks(self) -> list[Task]:
        return self.curves.sweep.tasks()

    def section(self, store: Store) -> Section:
        title = f"Weight of the entropy{self.curves.title_suffix}"
        return Section(title, "Section 5.3.", (figures.lambda_figure(self.curves, store),))

    def findings(self, store: Store) -> list[Finding]:
        return mechanism_findings.lambda_findings(self.curves, store)


@dataclass(frozen=True)
class Mechanism(Chapter):
    """Why EntM works (section 6, figures 4 to 6)."""

    analysis: Analysis
    name = "mechanism"

    def tasks(self) -> list[Task]:
        return self.analysis.mechanism_tasks()

    def notes(self) -> list[str]:
        return [SINGLE_TRAINING_NOTE]

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, analysis=self.analysis.narrow(scope))

    def section(self, store: Store) -> Section:
        return Section(
            "Why EntM works",
            "Section 6: entropy shrinks the Jacobian, which helps only if the network stays close to linear.",
            (
                analysis_tables.analysis_table(self.analysis, store),
                figures.margin_figure(self.analysis, store),
                figures.surface_figure(self.analysis, store),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        return mechanism_findings.geometry_findings(self.analysis, store)
