"""Chapters of the UTA study: accuracy traded for robustness, in pixels, in features, with several networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Task
from surefooted.report import Finding, Section
from surefooted.studies import paper_comparison
from surefooted.studies.chapters import Chapter
from surefooted.studies.grid import Grid
from surefooted.studies.paper_numbers import DATA_SET_TITLES
from surefooted.studies.uta import figures, grids, tables, trade_off_findings
from surefooted.studies.uta.design import SingleMember

EPOCHS = {
    "mnist": "The paper does not say for how many epochs it trains.",
    "fashion_mnist": "The paper trains for 100 epochs.",
    "svhn": "The paper does not say for how many epochs it trains.",
}
FIGURES = {"mnist": 12, "fashion_mnist": 11}  # of several networks


@dataclass(frozen=True)
class TradeOff(Chapter):
    """PGD-AT and UTA-AT in pixels, on one data set (table 1, figures 2 and 10)."""

    data: str
    grid: Grid

    @property
    def name(self) -> str:
        return grids.labelled(self.data, self.grid.net)

    @property
    def title(self) -> str:
        return grids.titled(self.data, self.grid.net)

    def tasks(self) -> list[Task]:
        return self.grid.tasks()

    def notes(self) -> list[str]:
        return self.grid.notes()

    def section(self, store: Store) -> Section:
        grid, name, title = self.grid, self.name, self.title
        steps = "ten steps of a triangular schedule" if self.data == "svhn" else "ε / 0.01 sign steps of 0.01"
        return Section(
            f"Trade-off: {title}",
            "Section 5.1: trained at several radii, tested at others. Training perturbs from the clean point by "
            f"{steps}, projected on the ball and on [0, 1]. {EPOCHS[self.data]}"
            f"{grids.about_inputs(grid.net)}",
            (
                tables.scores(grid, store, name, f"Accuracy and robustness, {title} (table 1)"),
                tables.beside(grid, store, self.data, name, title),
                *figures.trade_off(title, grid, store, name, "figure 2", "figure 10"),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        see = f"scores-{self.name}"
        return [
            *overall(self.title, tables.compared(self.grid, store, "1", self.data), f"printed-{self.name}"),
            trade_off_findings.more_accurate(self.title, self.grid, store, "figure 2", f"clean-accuracy-{self.name}"),
            trade_off_findings.best_score(self.title, self.grid, store, "table 1", see),
            trade_off_findings.as_robust(self.title, self.grid, store, see),
            trade_off_findings.larger(self.title, self.grid, store, see),
            trade_off_findings.nothing_left(self.title, self.grid, store, f"pgd-accuracy-{self.name}"),
            trade_off_findings.seen_through(self.title, self.grid, store, f"pgd-accuracy-{self.name}"),
        ]


@dataclass(frozen=True)
class LatentTradeOff(Chapter):
    """The same in a LeNet's features, on MNIST (table 2, figure 13)."""

    grid: Grid
    name = "latent"

    @cached_property
    def alone(self) -> SingleMember:
        """Of the networks that learn together, one."""
        return SingleMember(self.grid)

    def tasks(self) -> list[Task]:
        return [*self.grid.tasks(), *self.alone.tasks()]

    def notes(self) -> list[str]:
        return self.grid.notes()

    def section(self, store: Store) -> Section:
        grid, title = self.grid, "MNIST, latent"
        return Section(
            "Trade-off: latent space",
            f"Section 5.2: the 120 features of a LeNet, after their ReLU, are moved by {grids.LATENT_STEPS} "
            "steps (our choice, the paper prints no number) that lengthen from 0.005 to max(0.005, ε / 5) and "
            "back, with ε that of training (the paper prints that of the test), and not clipped. UTA's five networks "
            "have an encoder and a perturbation each; the paper does not say how five go with one encoder, nor whether "
            "all five are tested. It trains for 100 epochs.",
            (
                tables.scores(grid, store, self.name, "Trained in the latent space, tested in pixels (table 2)"),
                tables.alone(self.alone, store),
                paper_comparison.comparison_table(
                    "printed-latent", "The paper's table 2 and ours", self._compared(store), grid.caption()
                ),
                *figures.trade_off(title, grid, store, self.name, "figure 13", "figure 13"),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        see, clean = "scores-latent", "clean-accuracy-latent"
        return [
            *overall(grids.LATENT, self._compared(store), "printed-latent"),
            trade_off_findings.more_accurate(grids.LATENT, self.grid, store, "figure 13", clean),
            trade_off_findings.best_score(grids.LATENT, self.grid, store, "table 2", see, spared=0),
            *trade_off_findings.latent(self.grid, self.alone, store, see, clean),
            trade_off_findings.seen_through(grids.LATENT, self.grid, store, "pgd-accuracy-latent"),
        ]

    def _compared(self, store: Store) -> list[paper_comparison.CellComparison]:
        return tables.compared(self.grid, store, "2", "mnist")


@dataclass(frozen=True)
class SeveralNetworks(Chapter):
    """UTA up the entropy of several networks' mean prediction (figures 11 and 12)."""

    data: str
    grid: Grid

    @property
    def name(self) -> str:
        return f"several-{self.data}"

    def tasks(self) -> list[Task]:
        return self.grid.tasks()

    def notes(self) -> list[str]:
        return self.grid.notes()

    def section(self, store: Store) -> Section:
        title, of = f"Several networks, {DATA_SET_TITLES[self.data]}", f"figure {FIGURES[self.data]}"
        return Section(
            title,
            "Appendix C.3: UTA up the entropy of the mean prediction of networks that train side by side.",
            (
                tables.scores(self.grid, store, self.name, title),
                *figures.trade_off(title, self.grid, store, self.name, of, of),
            ),
        )

    def findings(self, store: Store) -> list[Finding]:
        title, label = f"{DATA_SET_TITLES[self.data]}, several networks", self.name
        of = f"figure {FIGURES[self.data]}"
        return [
            trade_off_findings.more_accurate(title, self.grid, store, of, f"clean-accuracy-{label}"),
            trade_off_findings.nothing_left(title, self.grid, store, f"pgd-accuracy-{label}"),
            trade_off_findings.seen_through(title, self.grid, store, f"pgd-accuracy-{label}"),
        ]


def overall(title: str, compared: list[paper_comparison.CellComparison], see: str) -> list[Finding]:
    """Whether the printed scores come out, where there are some."""
    return (
        [paper_comparison.claim_reproduced(f"The paper's scores are reproduced ({title}).", compared, see)]
        if compared
        else []
    )
