"""The UTA paper: does training where the network is least sure trade less accuracy for robustness than PGD does?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from surefooted.cell import Cell, data_of, training
from surefooted.checked import checked
from surefooted.machine import provenance
from surefooted.metrics.intervals import binomial_interval
from surefooted.report import Finding, Page, Section
from surefooted.store import Store
from surefooted.studies import reproduced, uta_cells, uta_grids
from surefooted.studies import uta_figures as figures
from surefooted.studies import uta_toy_figures as in_plane
from surefooted.studies.base import Study, finding
from surefooted.studies.grid import Grid
from surefooted.studies.reproduced import judged
from surefooted.studies.uta_cells import Overfitting
from surefooted.studies.uta_grids import attack, name
from surefooted.studies.uta_looks import Looks
from surefooted.studies.uta_toy import Plane, Toy, toy

MEMBERS = "several networks"
LATENT = "MNIST, in the latent space"
FIGURES = {"mnist": 12, "fashion_mnist": 11}  # of several networks
SETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "svhn": "SVHN"}


@checked
def uta(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu") -> Study:
    """UTA: tables 1 and 2 and the figures of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is MNIST in full, Fashion-MNIST with a tenth of
            the epochs, the latent space and several networks with fewer, catastrophic overfitting on Fashion-MNIST and
            the plane; some eight hours on two cores. paper has all epochs, three seeds and CIFAR-10 (figures 3 and 9).
            everything adds SVHN (table 1).
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
        made = [*self.pixels.values(), self.latent, *self.several.values(), *(self.fast or ())]
        grids = [cell for grid in made for cell in grid.cells()]
        watched = [cell for runs in self.overfitting.values() for cell in runs.cells()]
        return [*grids, *watched, *self.plane.cells(), *self.looks.cells()]


def smoke() -> Made:
    data = {"digits": {"train_limit": 150, "test_limit": 30, "validation": 0.0}}
    few: dict[str, Any] = {"limit": 10, "epochs": 2, "shorter": {"steps": 5, "targets": 2, "queries": 20}}
    pixels = uta_grids.pixels(data, "small_convnet", trained=(0.1, 0.2), **few)
    latent = uta_grids.features(data, net="small_convnet", trained=(0.1,), **few)
    watched = uta_cells.fashion(epochs=2, seeds=2, data=data, net="small_convnet", images=20, every=2)
    looks = Looks(training("vanilla", "small_convnet", data, {"recipe": {"epochs": 2}}), images=3, steps=5)
    several = {"mnist": uta_grids.pixels(data, "small_convnet", trained=(0.1,), members=2, **few)}
    return Made({"mnist": pixels}, latent, several, None, {"fashion_mnist": watched}, toy("smoke"), looks)


def cpu() -> Made:
    mnist, fashion = ({name: {"validation": 0.0}} for name in ("mnist", "fashion_mnist"))
    return Made(
        {
            "mnist": uta_grids.pixels(mnist, "mlp", epochs=50, limit=1000),
            "fashion_mnist": uta_grids.pixels(fashion, "lenet", epochs=10, limit=1000),
        },
        uta_grids.features(mnist, epochs=20, limit=1000),
        {"mnist": uta_grids.pixels(mnist, "mlp", epochs=10, limit=1000, members=5)},
        None,
        {"fashion_mnist": uta_cells.fashion(epochs=30, seeds=3, data=fashion)},
        toy(),
        Looks(training("vanilla", "lenet", fashion, {"uta_lenet": {"epochs": 10}})),
    )


def paper() -> Made:
    mnist, fashion = ({name: {"validation": 0.0}} for name in ("mnist", "fashion_mnist"))
    return Made(
        {
            "mnist": uta_grids.pixels(mnist, "mlp", epochs=50, limit=0, seeds=3),
            "fashion_mnist": uta_grids.pixels(fashion, "lenet", epochs=100, limit=0, seeds=3),
        },
        uta_grids.features(mnist, epochs=50, limit=0, seeds=3),
        {
            "mnist": uta_grids.pixels(mnist, "mlp", epochs=50, limit=0, seeds=3, members=5),
            "fashion_mnist": uta_grids.pixels(fashion, "lenet", epochs=100, limit=0, seeds=3, members=5),
        },
        (uta_grids.fast_robust(), uta_grids.fast_clean()),
        {"fashion_mnist": uta_cells.fashion(epochs=100, seeds=3, data=fashion), "cifar10": uta_cells.cifar10()},
        toy(),
        Looks(training("vanilla", "resnet18", {"cifar10": {"validation": 0.0}}, "uta_resnet18")),
    )


def everything() -> Made:
    made = paper()
    return replace(made, pixels=made.pixels | {"svhn": uta_grids.svhn()})


SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "everything": everything}


def page(made: Made, store: Store, size: str) -> Page:
    printed = {data: figures.compared(grid, store, "1", data) for data, grid in made.pixels.items()}
    printed["latent"] = figures.compared(made.latent, store, "2", "mnist")
    titled = {SETS[data]: grid for data, grid in made.pixels.items()}
    trade_offs: list[Any] = []
    for data, grid in made.pixels.items():
        trade_offs.append(figures.scores(grid, store, data, f"Accuracy and robustness, {SETS[data]} (table 1)"))
        title = f"The paper's table 1 and ours, {SETS[data]}"
        trade_offs.append(reproduced.table(f"printed-{data}", title, printed[data], grid.caption()))
    latent = (
        figures.scores(made.latent, store, "latent", "Trained in the latent space, tested in pixels (table 2)"),
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
        f"Adversarial training where the network is least sure (size {size}).",
        (*findings(made, store, printed), *in_plane.findings(plane)),
        (
            Section(
                "In the plane",
                "Sections 4.1 and 4.3, appendix A: two classes that nearly touch on one side and lie far apart on the "
                "other, attacked and trained at a radius that is too large for the narrow side.",
                (*in_plane.figures(plane), in_plane.attacks_table(plane), in_plane.trained_table(plane)),
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
                        figures.scores(grid, store, f"several-{data}", f"Several networks, {SETS[data]}")
                        for data, grid in made.several.items()
                    ),
                    figures.clean_accuracy(fives, store, "several-clean", of),
                    figures.robust_accuracy(fives, store, "several-robust", of),
                ),
            ),
            Section(
                "Latent space",
                f"Section 5.2: the 120 features of a LeNet, after their ReLU, are moved by {uta_grids.LATENT_STEPS} "
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
        provenance(),
    )


def findings(made: Made, store: Store, printed: dict[str, list[reproduced.Compared]]) -> list[Finding]:
    """The paper's claims, judged on these runs."""
    found = [
        reproduced.overall(f"The paper's scores are reproduced ({data}).", cells, f"printed-{data}")
        for data, cells in printed.items()
        if cells
    ]
    for data, grid in made.pixels.items():
        found += _traded(SETS[data], grid, store, ("figure 2", "table 1"), ("clean-accuracy", f"scores-{data}"))
    found += _traded(LATENT, made.latent, store, ("figure 13", "table 2"), ("latent-clean", "scores-latent"))
    watched = made.overfitting.items()
    return [*found, *(one for data, runs in watched for one in _no_collapse(data, runs, store))]


def _traded(told: str, grid: Grid, store: Store, of: tuple[str, str], see: tuple[str, str]) -> list[Finding]:
    """Clean accuracy at each radius of training, and who has the best score at each test radius."""
    found = []
    for eps in figures.trained_at(grid):
        gain = grid.gain(store, (name("uta", eps), ""), (name("pgd_at", eps), ""))
        text = f"{told}: trained at {eps:g}, UTA-AT is more accurate on clean images ({of[0]})."
        found.append(judged(text, gain, "clean accuracy, UTA-AT less PGD-AT", see=see[0], over=grid.over()))
    return [*found, _best(told, grid, store, of[1], see[1])]


def _best(told: str, grid: Grid, store: Store, of: str, see: str) -> Finding:
    """The tables' yellow cells: at every test radius the best score is UTA-AT's."""
    won = []
    tested = figures.tested_at(grid)
    for test in tested:
        best = {
            method: max(
                (name(method, eps) for eps in figures.trained_at(grid)),
                key=lambda which: grid.score(store, which, attack(test)).value,
            )
            for method in ("uta", "pgd_at")
        }
        won.append(grid.score_gain(store, best["uta"], best["pgd_at"], attack(test)))
    sure, lost = (sum(w.low > 0 for w in won), sum(w.high < 0 for w in won))
    gains = [f"{100 * w.value:+.1f} [{100 * w.low:+.1f}, {100 * w.high:+.1f}] at {t:g}" for w, t in zip(won, tested)]
    return Finding(
        f"{told}: at almost every test radius the best score is UTA-AT's ({of}).",
        "holds" if sure >= len(tested) - 1 else "does not hold" if lost > 1 else "unclear",
        f"on the attacked images, best score of UTA-AT less that of PGD-AT, points: {', '.join(gains)}; {grid.over()}, "
        "nor that both are the best of several",
        see,
    )


def _no_collapse(data: str, runs: Overfitting, store: Store) -> list[Finding]:
    """What is left of PGD accuracy (of the last three looks) in trainings by attacks of one step.

    Overfitting is catastrophic where that is less than half of the best look, and not surely above a guess.
    """
    splits = data_of(next(iter(runs.trained.values()))[0].data)
    told, see = SETS.get(data, splits.title), f"overfitting-{data}"
    seen = {method: [one.recorded(store)["pgd"] for one in nets] for method, nets in runs.trained.items()}
    best = {method: [float(pgd.max()) for pgd in each] for method, each in seen.items()}
    end = {method: [float(pgd[-3:].mean()) for pgd in each] for method, each in seen.items()}

    def collapsed(method: str) -> list[bool]:
        ((_, given),) = runs.record.items()
        n = min(given["images"], len(splits.test))
        sure = [binomial_interval(round(share * n), n).low > 1 / len(splits.test.classes) for share in end[method]]
        return [last < top / 2 and not above for last, top, above in zip(end[method], best[method], sure)]

    fgsm, uta = (collapsed(method) for method in (uta_cells.FGSM, uta_cells.UTA))
    fell = {
        method: [f"{100 * top:.1f} to {100 * last:.1f} %" for top, last in zip(best[method], end[method])]
        for method in seen
    }
    runs_of = "; ".join(f"{method}: {', '.join(each)}" for method, each in fell.items())
    return [
        Finding(
            f"{told}: FGSM-AT overfits catastrophically, UTA-AT of one step does not ({runs.of}).",
            "holds" if all(fgsm) and not any(uta) else "does not hold" if all(uta) or not any(fgsm) else "unclear",
            f"best PGD accuracy and that at the end, run by run: {runs_of}",
            see,
        ),
        finding(
            f"{told}: at the end of training, UTA-AT of one step is more robust than FGSM-AT ({runs.of}).",
            [kept - lost for kept, lost in zip(end[uta_cells.UTA], end[uta_cells.FGSM])],
            "PGD accuracy, UTA-AT less FGSM-AT",
            see=see,
            scale=100,
            unit=" points",
        ),
    ]
