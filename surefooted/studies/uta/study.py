"""The UTA paper: does training where the network is least sure trade less accuracy for robustness than PGD does?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from surefooted.cell import Cell, made_by, training
from surefooted.checked import checked
from surefooted.report import Page, Section
from surefooted.store import Store
from surefooted.studies import reproduced
from surefooted.studies.base import Study
from surefooted.studies.grid import Grid
from surefooted.studies.published import SETS
from surefooted.studies.uta import cells, figures, grids, tables, toy_figures, toy_findings, toy_tables
from surefooted.studies.uta.cells import Overfitting
from surefooted.studies.uta.findings import findings
from surefooted.studies.uta.looks import Looks
from surefooted.studies.uta.plane import Plane
from surefooted.studies.uta.toy import Toy, toy

MEMBERS = "several networks"
FIGURES = {"mnist": 12, "fashion_mnist": 11}  # of several networks


@checked
def uta(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu") -> Study:
    """UTA: tables 1 and 2 and the figures of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is MNIST in full, Fashion-MNIST with a tenth of
            the epochs, the latent space and several networks with fewer, catastrophic overfitting on Fashion-MNIST and
            the plane, under AutoAttack in its lean budget; some four hours on two cores. paper has all epochs, three
            seeds, AutoAttack in full, and CIFAR-10 (figures 3 and 9). everything adds SVHN (table 1).
    """
    made = SIZES[size]()
    return Study(made.cells, lambda store: page(made, store, size))


@dataclass(frozen=True, eq=False)
class Made:
    """Trade-offs by data set, the latent one, and trainings that are watched."""

    pixels: dict[str, Grid]
    latent: Grid
    several: dict[str, Grid]
    fast: tuple[Grid, Grid] | None
    overfitting: dict[str, Overfitting]
    plane: Toy
    looks: Looks

    def cells(self) -> list[Cell]:
        """First what the main tables need, appendices last: a study may be stopped before its end."""
        main = (*self.pixels.values(), self.latent, *self.overfitting.values(), self.plane, self.looks)
        return [cell for part in (*main, *self.several.values(), *(self.fast or ())) for cell in part.cells()]


def smoke() -> Made:
    data = {"digits": {"train_limit": 150, "test_limit": 30, "validation": 0.0}}
    few: dict[str, Any] = {"limit": 10, "epochs": 2, "shorter": {"steps": 5, "targets": 2, "queries": 20}}
    pixels = grids.pixels(data, "small_convnet", trained=(0.1, 0.2), **few)
    latent = grids.features(data, net="small_convnet", trained=(0.1,), **few)
    watched = cells.fashion(epochs=2, seeds=2, data=data, net="small_convnet", images=20, every=2)
    looks = Looks(training("vanilla", "small_convnet", data, {"recipe": {"epochs": 2}}), images=3, steps=5)
    several = {"mnist": grids.pixels(data, "small_convnet", trained=(0.1,), members=2, **few)}
    return Made({"mnist": pixels}, latent, several, None, {"fashion_mnist": watched}, toy("smoke"), looks)


def cpu() -> Made:
    mnist, fashion = ({name: {"validation": 0.0}} for name in ("mnist", "fashion_mnist"))
    # AutoAttack at a third of its cost: on LeNets within 0.2 points of the original (docs/performance.md).
    tested: Any = {"limit": 1000, "shorter": {"budget": "lean"}}
    return Made(
        {
            "mnist": grids.pixels(mnist, "mlp", epochs=50, **tested),
            "fashion_mnist": grids.pixels(fashion, "lenet", epochs=10, **tested),
        },
        grids.features(mnist, epochs=20, **tested),
        {"mnist": grids.pixels(mnist, "mlp", epochs=10, members=5, **tested)},
        None,
        {"fashion_mnist": cells.fashion(epochs=30, seeds=3, data=fashion)},
        toy(),
        Looks(training("vanilla", "lenet", fashion, {"uta_lenet": {"epochs": 10}})),
    )


def paper() -> Made:
    mnist, fashion = ({name: {"validation": 0.0}} for name in ("mnist", "fashion_mnist"))
    return Made(
        {
            "mnist": grids.pixels(mnist, "mlp", epochs=50, limit=0, seeds=3),
            "fashion_mnist": grids.pixels(fashion, "lenet", epochs=100, limit=0, seeds=3),
        },
        grids.features(mnist, epochs=50, limit=0, seeds=3),
        {
            "mnist": grids.pixels(mnist, "mlp", epochs=50, limit=0, seeds=3, members=5),
            "fashion_mnist": grids.pixels(fashion, "lenet", epochs=100, limit=0, seeds=3, members=5),
        },
        (grids.fast_robust(), grids.fast_clean()),
        {"fashion_mnist": cells.fashion(epochs=100, seeds=3, data=fashion), "cifar10": cells.cifar10()},
        toy(),
        Looks(training("vanilla", "resnet18", {"cifar10": {"validation": 0.0}}, "uta_resnet18")),
    )


def everything() -> Made:
    made = paper()
    return replace(made, pixels=made.pixels | {"svhn": grids.svhn()})


# What of the paper a size leaves out.
MISSING = {
    "smoke": "Its numbers mean nothing.",
    "cpu": "Not here: SVHN (table 1, figure 2), CIFAR-10 (figures 3 and 9; figure 8 is of Fashion-MNIST instead), "
    "several networks on Fashion-MNIST (figure 11).",
    "paper": "Not here: SVHN (size everything).",
    "everything": "",
}
SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "everything": everything}


def page(made: Made, store: Store, size: str) -> Page:
    printed = {data: tables.compared(grid, store, "1", data) for data, grid in made.pixels.items()}
    printed["latent"] = tables.compared(made.latent, store, "2", "mnist")
    titled = {SETS[data]: grid for data, grid in made.pixels.items()}
    trade_offs: list[Any] = []
    for data, grid in made.pixels.items():
        trade_offs.append(tables.scores(grid, store, data, f"Accuracy and robustness, {SETS[data]} (table 1)"))
        title = f"The paper's table 1 and ours, {SETS[data]}"
        trade_offs.append(reproduced.table(f"printed-{data}", title, printed[data], grid.caption()))
    latent = (
        tables.scores(made.latent, store, "latent", "Trained in the latent space, tested in pixels (table 2)"),
        figures.clean_accuracy({"MNIST, latent": made.latent}, store, "latent-clean", "figure 13"),
        figures.robust_accuracy({"MNIST, latent": made.latent}, store, "latent-robust", "figure 13"),
        reproduced.table("printed-latent", "The paper's table 2 and ours", printed["latent"], made.latent.caption()),
    )
    plane = Plane(made.plane, store)
    fives = {f"{SETS[data]}, {MEMBERS}": grid for data, grid in made.several.items()}
    of = " and ".join(f"figure {FIGURES[data]}" for data in made.several)
    quick = (figures.fast_figure(*made.fast, store),) if made.fast else ()
    watched = tuple(figures.overfitting(runs, store, data) for data, runs in made.overfitting.items())
    return Page(
        "UTA",
        f"Adversarial training where the network is least sure (size {size}). {MISSING[size]}",
        (*findings(made, store, printed), *toy_findings.findings(plane)),
        (
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
                "[0, 1]. The paper trains for 100 epochs on Fashion-MNIST; it does not say how many on MNIST.",
                (*trade_offs, figures.clean_accuracy(titled, store), figures.robust_accuracy(titled, store)),
            ),
            Section(
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
            ),
            Section(
                "Latent space",
                f"Section 5.2: the 120 features of a LeNet, after their ReLU, are moved by {grids.LATENT_STEPS} "
                "steps (our choice, the paper prints no number) that lengthen from 0.005 to max(0.005, ε / 5) and "
                "back, with ε that of training (the paper prints that of the test), and not clipped.",
                latent,
            ),
            Section(
                "Catastrophic overfitting",
                "Section 5.3: attacks of one step. The paper trains for 100 epochs (Fashion-MNIST).",
                (*watched, *quick),
            ),
            Section("Appearance", "Appendix C.2: attacks without bound.", (made.looks.figure(store),)),
        ),
        made_by(made.cells(), store),
    )
