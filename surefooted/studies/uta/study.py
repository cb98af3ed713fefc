"""The UTA paper: does training where the network is least sure trade less accuracy for robustness than PGD does?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from surefooted.cell import Cell, training
from surefooted.checked import checked
from surefooted.studies.base import Study
from surefooted.studies.grid import Grid
from surefooted.studies.published import SETS
from surefooted.studies.uta import cells, grids
from surefooted.studies.uta.cells import Alone, Overfitting
from surefooted.studies.uta.looks import Looks
from surefooted.studies.uta.page import page
from surefooted.studies.uta.toy import Toy, toy

NORMALISED = {"normalise": "channel"}


@checked
def uta(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu") -> Study:
    """UTA: tables 1 and 2 and the figures of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is MNIST in full, Fashion-MNIST with a tenth of
            the epochs, the latent space and normalised inputs with fewer, catastrophic overfitting on Fashion-MNIST and
            the plane, under AutoAttack in its lean budget; some eight hours on two cores. paper has all epochs, three
            seeds, AutoAttack in full, several networks, and CIFAR-10 (figures 3 and 9). everything adds SVHN (table 1).
    """
    made = SIZES[size]()
    return Study(made.cells, lambda store: page(made, store, size))


@dataclass(frozen=True, eq=False)
class Made:
    """Trade-offs by data set, the latent one, and trainings that are watched.

    ``normalised`` is ``pixels`` again with inputs that the network normalises first, which the paper does not mention:
    it decides whether PGD-AT learns at all at large radii.
    """

    pixels: dict[str, Grid]
    normalised: dict[str, Grid]
    latent: Grid
    several: dict[str, Grid]
    fast: dict[int, Grid]
    overfitting: dict[str, Overfitting]
    plane: Toy
    looks: Looks

    def cells(self) -> list[Cell]:
        """First what the main tables need, appendices last: a study may be stopped before its end."""
        parts: list[Grid | Overfitting | Toy | Looks | Alone] = [
            *self.pixels.values(),
            *self.overfitting.values(),
            self.plane,
            self.looks,
            self.latent,
            self.alone,
            *self.normalised.values(),
            *self.several.values(),
            *self.fast.values(),
        ]
        return [cell for part in parts for cell in part.cells()]

    @cached_property
    def alone(self) -> Alone:
        """Of several networks that learn the latent space together, one."""
        return Alone(self.latent)

    @property
    def table(self) -> dict[str, tuple[str, str, Grid]]:
        """Grids of the paper's table 1, by label: their titles and data sets."""
        plain = {data: (SETS[data], data, grid) for data, grid in self.pixels.items()}
        return plain | {
            f"{data}-normalised": (f"{SETS[data]}, inputs normalised", data, grid)
            for data, grid in self.normalised.items()
        }


def smoke() -> Made:
    data = {"digits": {"train_limit": 150, "test_limit": 30, "validation": 0.0}}
    few: dict[str, Any] = {"limit": 10, "epochs": 2, "shorter": {"steps": 5, "targets": 2, "queries": 20}}
    pixels = grids.pixels(data, "small_convnet", trained=(0.1, 0.2), **few)
    normalised = grids.pixels(data, {"mlp": NORMALISED}, trained=(0.1,), **few)
    latent = grids.features(data, net="small_convnet", trained=(0.1,), **few)
    watched = cells.fashion(epochs=2, seeds=2, data=data, net="small_convnet", images=20, every=2)
    looks = Looks(training("vanilla", "small_convnet", data, {"recipe": {"epochs": 2}}), images=3, steps=5)
    several = {"mnist": grids.pixels(data, "small_convnet", trained=(0.1,), members=2, **few)}
    watching = {"fashion_mnist": watched}
    return Made({"mnist": pixels}, {"mnist": normalised}, latent, several, {}, watching, toy("smoke"), looks)


def cpu() -> Made:
    mnist, fashion = ({name: {"validation": 0.0}} for name in ("mnist", "fashion_mnist"))
    # AutoAttack at a third of its cost: on LeNets within 0.2 points of the original (docs/performance.md).
    tested: Any = {"limit": 1000, "shorter": {"budget": "lean"}}
    return Made(
        {
            "mnist": grids.pixels(mnist, "mlp", epochs=50, **tested),
            "fashion_mnist": grids.pixels(fashion, "lenet", epochs=10, **tested),
        },
        {"mnist": grids.pixels(mnist, {"mlp": NORMALISED}, epochs=20, **tested)},
        grids.features(mnist, epochs=20, **tested),
        {},
        {},
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
        {
            "mnist": grids.pixels(mnist, {"mlp": NORMALISED}, epochs=50, limit=0, seeds=3),
            "fashion_mnist": grids.pixels(fashion, {"lenet": NORMALISED}, epochs=100, limit=0, seeds=3),
        },
        grids.features(mnist, epochs=100, limit=0, seeds=3),
        {
            "mnist": grids.pixels(mnist, "mlp", epochs=50, limit=0, seeds=3, members=5),
            "fashion_mnist": grids.pixels(fashion, "lenet", epochs=100, limit=0, seeds=3, members=5),
        },
        {k: grids.fast(k) for k in grids.FAST},
        {"fashion_mnist": cells.fashion(epochs=100, seeds=3, data=fashion), "cifar10": cells.cifar10()},
        toy(),
        Looks(training("vanilla", "resnet18", {"cifar10": {"validation": 0.0}}, "uta_resnet18")),
    )


def everything() -> Made:
    made = paper()
    return replace(made, pixels=made.pixels | {"svhn": grids.svhn()})


SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "everything": everything}
