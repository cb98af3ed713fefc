"""Chapters of the UTA study: trade-off of accuracy and robustness in pixels, in features, with several networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies import paper_comparison
from surefooted.studies.chapters import Chapter
from surefooted.studies.claims import Sampling
from surefooted.studies.grid import Grid
from surefooted.studies.paper_numbers import DATA_SET_TITLES
from surefooted.studies.scope import Scope
from surefooted.studies.uta import figures, grids, tables, trade_off_findings
from surefooted.studies.uta.design import SingleMember

# The paper's number of epochs, by data set.
EPOCHS_NOTE = {
    "mnist": "The paper does not state its number of epochs.",
    "fashion_mnist": "The paper trains for 100 epochs.",
    "svhn": "The paper does not state its number of epochs.",
}
# The paper's figures with several networks, by data set.
_FIGURES = {"mnist": "figure 12", "fashion_mnist": "figure 11"}


@dataclass(frozen=True)
class TradeOff(Chapter):
    """PGD-AT and UTA-AT in pixels, on one data set (table 1, figures 2 and 10)."""

    data: str
    grid: Grid

    @property
    def name(self) -> str:
        return grids.chapter_name(self.data, self.grid.net)

    @property
    def title(self) -> str:
        """Data set and inputs."""
        return grids.chapter_title(self.data, self.grid.net)

    def tasks(self) -> list[Task]:
        return self.grid.tasks()

    def notes(self) -> list[str]:
        return self.grid.notes()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, grid=scope.narrow(self.grid))

    def section(self, store: Store) -> Section:
        grid, name, title = self.grid, self.name, self.title
        steps = "ten steps of a triangular schedule" if self.data == "svhn" else "ε / 0.01 sign steps of 0.01"
        return Section(
            f"Trade-off: {title}",
            "Section 5.1: training at several radii, evaluation at others. Training starts from the clean image and "
            f"takes {steps}, projected onto the ball and onto [0, 1]. {EPOCHS_NOTE[self.data]}"
            f"{grids.inputs_note(grid.net)}",
            (
                tables.score_table(grid, store, name, f"Accuracy and robustness, {title} (table 1)"),
                tables.score_comparison(grid, store, self.data, name, title),
                *figures.trade_off_figures(title, grid, store, name, clean="figure 2", under_pgd="figure 10"),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        title, grid, compared = self.title, self.grid, tables.compare_scores(self.grid, store, "1", self.data)
        scores, clean, under_pgd = (f"{item}-{self.name}" for item in ("scores", "clean-accuracy", "pgd-accuracy"))
        return [
            *reproduction_findings(title, compared, grid.sampling(), f"printed-{self.name}"),
            trade_off_findings.clean_accuracy_finding(title, grid, store, "figure 2", clean),
            trade_off_findings.best_score_finding(title, grid, store, "table 1", scores),
            trade_off_findings.robust_accuracy_finding(title, grid, store, scores),
            trade_off_findings.larger_radius_finding(title, grid, store, scores),
            trade_off_findings.overlap_radius_finding(title, grid, store, under_pgd),
            trade_off_findings.pgd_reliability_finding(title, grid, store, under_pgd),
        ]


@dataclass(frozen=True)
class LatentTradeOff(Chapter):
    """PGD-AT and UTA-AT in the features of a LeNet, on MNIST (table 2, figure 13)."""

    grid: Grid

    @property
    def name(self) -> str:
        return grids.latent_name(self.grid)

    @property
    def title(self) -> str:
        """Data set, place of the features and inputs."""
        return grids.latent_title(self.grid)

    @cached_property
    def single_member(self) -> SingleMember:
        """One of the networks that are trained together."""
        return SingleMember(self.grid)

    def tasks(self) -> list[Task]:
        return [*self.grid.tasks(), *self.single_member.tasks()]

    def notes(self) -> list[str]:
        return self.grid.notes()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, grid=scope.narrow(self.grid))

    def section(self, store: Store) -> Section:
        grid, title, name = self.grid, self.title, self.name
        return Section(
            f"Trade-off: {title.removeprefix('MNIST, ')}",
            f"Section 5.2: training perturbs the 120 features of a LeNet, {grids.latent_place(grid)} their ReLU (the "
            f"paper does not say on which side), with {grids.LATENT_STEPS} "
            "steps (our choice, the paper prints no number). Their length grows from 0.005 to max(0.005, ε / 5) and "
            "falls back; ε is the training radius (the paper prints the test radius). Features are not clipped. UTA's "
            "five networks have an encoder and a perturbation each; the paper does not say how five networks share an "
            f"encoder, nor whether all five are evaluated. It trains for 100 epochs.{grids.inputs_note(grid.net)}",
            (
                tables.score_table(grid, store, name, "Trained in the latent space, evaluated in pixels (table 2)"),
                tables.single_member_table(self.single_member, store, f"{name}-alone"),
                paper_comparison.comparison_table(
                    f"printed-{name}", "The paper's table 2 and our scores", self._compared(store), grid.caption()
                ),
                *figures.trade_off_figures(title, grid, store, name, clean="figure 13", under_pgd="figure 13"),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        title, grid, name = self.title, self.grid, self.name
        see, clean = f"scores-{name}", f"clean-accuracy-{name}"
        return [
            *reproduction_findings(title, self._compared(store), grid.sampling(), f"printed-{name}"),
            trade_off_findings.clean_accuracy_finding(title, grid, store, "figure 13", clean),
            trade_off_findings.best_score_finding(title, grid, store, "table 2", see, exceptions=0),
            *trade_off_findings.latent_findings(title, grid, self.single_member, store, name),
            trade_off_findings.pgd_reliability_finding(title, grid, store, f"pgd-accuracy-{name}"),
        ]

    def _compared(self, store: Store) -> list[paper_comparison.CellComparison]:
        return tables.compare_scores(self.grid, store, "2", "mnist")


@dataclass(frozen=True)
class SeveralNetworks(Chapter):
    """UTA on the entropy of the mean prediction of several networks (figures 11 and 12)."""

    data: str
    grid: Grid

    @property
    def name(self) -> str:
        return f"several-{self.data}"

    @property
    def title(self) -> str:
        """Data set, for readers."""
        return f"{DATA_SET_TITLES[self.data]}, several networks"

    def tasks(self) -> list[Task]:
        return self.grid.tasks()

    def notes(self) -> list[str]:
        return self.grid.notes()

    def narrow(self, scope: Scope) -> Chapter:
        return replace(self, grid=scope.narrow(self.grid))

    def section(self, store: Store) -> Section:
        figure = _FIGURES[self.data]
        return Section(
            f"Several networks: {DATA_SET_TITLES[self.data]}",
            "Appendix C.3: UTA maximises the entropy of the mean prediction of networks that are trained together.",
            (
                tables.score_table(self.grid, store, self.name, self.title),
                *figures.trade_off_figures(self.title, self.grid, store, self.name, clean=figure, under_pgd=figure),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        title, grid = self.title, self.grid
        clean, under_pgd = f"clean-accuracy-{self.name}", f"pgd-accuracy-{self.name}"
        return [
            trade_off_findings.clean_accuracy_finding(title, grid, store, _FIGURES[self.data], clean),
            trade_off_findings.overlap_radius_finding(title, grid, store, under_pgd),
            trade_off_findings.pgd_reliability_finding(title, grid, store, under_pgd),
        ]


def reproduction_findings(
    title: str, compared: list[paper_comparison.CellComparison], sampling: Sampling, see: str
) -> list[Finding]:
    """The finding on the paper's printed scores, if there are any."""
    text = f"The paper's scores are reproduced ({title})."
    return [paper_comparison.claim_reproduced(text, compared, sampling, see)] if compared else []
