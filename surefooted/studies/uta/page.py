"""The page of the UTA study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surefooted.cell import made_by
from surefooted.report import Figure, Page, Section, Table
from surefooted.store import Store
from surefooted.studies import reproduced
from surefooted.studies.published import SETS
from surefooted.studies.uta import figures, grids, tables, toy_figures, toy_findings, toy_tables
from surefooted.studies.uta.findings import findings
from surefooted.studies.uta.plane import Plane

if TYPE_CHECKING:
    from surefooted.studies.uta.study import Made

MEMBERS = "several networks"
FIGURES = {"mnist": 12, "fashion_mnist": 11}  # of several networks

# What of the paper a size leaves out.
MISSING = {
    "smoke": "Its numbers mean nothing.",
    "cpu": "Not here: SVHN (table 1, figure 2), CIFAR-10 (figures 3 and 9; figure 8 is of Fashion-MNIST instead), "
    "several networks (figures 11 and 12).",
    "paper": "Not here: SVHN (size everything).",
    "everything": "",
}


def page(made: Made, store: Store, size: str) -> Page:
    printed = {label: tables.compared(grid, store, "1", data) for label, (_, data, grid) in made.table.items()}
    printed["latent"] = tables.compared(made.latent, store, "2", "mnist")
    plane = Plane(made.plane, store)
    quick = (figures.fast_figure(made.fast, store),) if made.fast else ()
    watched = tuple(figures.overfitting(runs, store, data) for data, runs in made.overfitting.items())
    sections = (
        Section(
            "In the plane",
            "Sections 4.1 and 4.3, appendix A: two classes that nearly touch on one side and lie far apart on the "
            "other, attacked and trained at a radius that is too large for the narrow side.",
            (*toy_figures.figures(plane), toy_tables.attacks_table(plane), toy_tables.trained_table(plane)),
        ),
        Section(
            "Trade-off",
            "Section 5.1: trained at several radii, tested at others. Training perturbs from the clean point by "
            "ε / 0.01 sign steps of 0.01 (SVHN: ten, by a triangular schedule), projected on the ball and on "
            "[0, 1]. The paper trains for 100 epochs on Fashion-MNIST; it does not say how many on MNIST, nor whether "
            "networks normalise their inputs: where the tables say so, they take out the training pixels' mean and "
            "standard deviation, and attacks still move pixels by ε.",
            _trade_off(made, store, printed),
        ),
        *([_several(made, store)] if made.several else []),
        Section(
            "Latent space",
            f"Section 5.2: the 120 features of a LeNet, after their ReLU, are moved by {grids.LATENT_STEPS} "
            "steps (our choice, the paper prints no number) that lengthen from 0.005 to max(0.005, ε / 5) and "
            "back, with ε that of training (the paper prints that of the test), and not clipped. UTA's five networks "
            "have an encoder and a perturbation each; the paper does not say how five go with one encoder, nor whether "
            "all five are tested. It trains for 100 epochs.",
            (
                tables.scores(made.latent, store, "latent", "Trained in the latent space, tested in pixels (table 2)"),
                tables.alone(made.alone, store),
                figures.clean_accuracy({"MNIST, latent": made.latent}, store, "latent-clean", "figure 13"),
                figures.robust_accuracy({"MNIST, latent": made.latent}, store, "latent-robust", "figure 13"),
                reproduced.table(
                    "printed-latent", "The paper's table 2 and ours", printed["latent"], made.latent.caption()
                ),
            ),
        ),
        Section(
            "Catastrophic overfitting",
            "Section 5.3: attacks of one step. The paper trains for 100 epochs (Fashion-MNIST).",
            (*watched, *quick),
        ),
        Section("Appearance", "Appendix C.2: attacks without bound.", (made.looks.figure(store),)),
    )
    return Page(
        "UTA",
        f"Adversarial training where the network is least sure (size {size}). {MISSING[size]}",
        (*findings(made, store, printed), *toy_findings.findings(plane)),
        sections,
        made_by(made.cells(), store),
    )


def _trade_off(made: Made, store: Store, printed: dict[str, list[reproduced.Compared]]) -> tuple[Table | Figure, ...]:
    found: list[Table | Figure] = []
    for label, (title, _, grid) in made.table.items():
        found.append(tables.scores(grid, store, label, f"Accuracy and robustness, {title} (table 1)"))
        compared = f"The paper's table 1 and ours, {title}"
        found.append(reproduced.table(f"printed-{label}", compared, printed[label], grid.caption()))
    titled = {title: grid for title, _, grid in made.table.values()}
    return (*found, figures.clean_accuracy(titled, store), figures.robust_accuracy(titled, store))


def _several(made: Made, store: Store) -> Section:
    fives = {f"{SETS[data]}, {MEMBERS}": grid for data, grid in made.several.items()}
    of = " and ".join(f"figure {FIGURES[data]}" for data in made.several)
    return Section(
        "Several networks",
        "Appendix C.3: UTA up the entropy of the mean prediction of networks that train side by side.",
        (
            *(
                tables.scores(grid, store, f"several-{data}", f"Several networks, {SETS[data]}")
                for data, grid in made.several.items()
            ),
            figures.clean_accuracy(fives, store, "several-clean", of),
            figures.robust_accuracy(fives, store, "several-robust", of),
        ),
    )
