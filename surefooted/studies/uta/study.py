"""The UTA paper: does training where the network is least sure trade less accuracy for robustness than PGD does?"""

from __future__ import annotations

from typing import Any, Literal

from surefooted.components.component import component
from surefooted.pipeline.tasks import train_task
from surefooted.studies.base import Study
from surefooted.studies.chapters import Chapter, combine_chapters, select_chapters
from surefooted.studies.uta import design, grids
from surefooted.studies.uta.experiments import Appearance, Collapse, InThePlane, Quick
from surefooted.studies.uta.gallery import PerturbationGallery
from surefooted.studies.uta.longer_training import LongerTraining
from surefooted.studies.uta.toy import toy
from surefooted.studies.uta.trade_offs import LatentTradeOff, SeveralNetworks, TradeOff


@component
def uta(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu", only: tuple[str, ...] = ()) -> Study:
    """UTA: tables 1 and 2 and the figures of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is MNIST in full, Fashion-MNIST with a tenth of
            the epochs, the latent space and normalised inputs with fewer, catastrophic overfitting on Fashion-MNIST and
            the plane, under AutoAttack in its lean budget; some eleven hours on two cores. paper has all epochs, three
            seeds, AutoAttack in full, several networks, and CIFAR-10 (figures 3 and 9). everything adds SVHN (table 1).
        only: chapters, by name; all where there are none. mnist, fashion_mnist and svhn are table 1's, mnist-normalised
            and fashion_mnist-normalised are the same with normalised inputs, latent is table 2; further plane, looks,
            overfitting-fashion_mnist (and ...-normalised), in size cpu longer-fashion_mnist-normalised (one radius
            for 50 epochs), from size paper overfitting-cifar10, fast, several-mnist and several-fashion_mnist.
    """
    chapters = select_chapters(SIZES[size](), only)
    left = MISSING[size] if not only else f"Only {', '.join(one.name for one in chapters)}."
    return combine_chapters(
        chapters, "UTA", f"Adversarial training where the network is least sure (size {size}). {left}".strip()
    )


# What of the paper a size leaves out.
MISSING = {
    "smoke": "Its numbers mean nothing.",
    "cpu": "Not here: SVHN (table 1, figure 2), CIFAR-10 (figures 3 and 9; figure 8 is of Fashion-MNIST instead), "
    "several networks (figures 11 and 12).",
    "paper": "Not here: SVHN (size everything).",
    "everything": "",
}

# First what the main tables need, appendices last: a study may be stopped before its end.


def smoke() -> list[Chapter]:
    data = {"digits": {"train_limit": 150, "test_limit": 30, "validation": 0.0}}
    few: dict[str, Any] = {"limit": 10, "shorter": {"steps": 5, "targets": 2, "queries": 20}}
    watched = design.fashion(epochs=2, seeds=2, data=data, net="small_convnet", images=20, every=2)
    victim = ("vanilla", "small_convnet", data, {"recipe": {"epochs": 2}})
    return [
        TradeOff("mnist", grids.pixels(data, "small_convnet", trained=(0.1, 0.2), epochs=2, **few)),
        Collapse("fashion_mnist", watched),
        InThePlane(toy("smoke")),
        Appearance(lambda: PerturbationGallery(train_task(*victim), images=3, steps=5)),
        LatentTradeOff(grids.features(data, net="small_convnet", trained=(0.1,), epochs=2, **few)),
        TradeOff("mnist", grids.pixels(data, {"mlp": grids.NORMALISED}, trained=(0.1,), epochs=2, **few)),
        _longer("mnist", data, {"mlp": grids.NORMALISED}, (2, 3), **few),
        SeveralNetworks("mnist", grids.pixels(data, "small_convnet", trained=(0.1,), members=2, epochs=2, **few)),
    ]


def cpu() -> list[Chapter]:
    mnist, fashion = (_data(name) for name in ("mnist", "fashion_mnist"))
    # AutoAttack at a third of its cost: on LeNets within 0.2 points of the original (docs/performance.md).
    tested: Any = {"limit": 1000, "shorter": {"budget": "lean"}}
    return [
        TradeOff("mnist", grids.pixels(mnist, "mlp", epochs=50, **tested)),
        TradeOff("fashion_mnist", grids.pixels(fashion, "lenet", epochs=10, **tested)),
        Collapse("fashion_mnist", _watched(30)),
        InThePlane(toy()),
        Appearance(lambda: PerturbationGallery(train_task("vanilla", "lenet", fashion, {"uta_lenet": {"epochs": 10}}))),
        LatentTradeOff(grids.features(mnist, epochs=20, **tested)),
        TradeOff("mnist", grids.pixels(mnist, {"mlp": grids.NORMALISED}, epochs=20, **tested)),
        TradeOff("fashion_mnist", grids.pixels(fashion, {"lenet": grids.NORMALISED}, epochs=10, **tested)),
        Collapse("fashion_mnist", _watched(30, grids.NORMALISED)),
        _longer("fashion_mnist", fashion, {"lenet": grids.NORMALISED}, (10, 50), **tested),
    ]


def paper() -> list[Chapter]:
    mnist, fashion = (_data(name) for name in ("mnist", "fashion_mnist"))
    full: Any = {"limit": 0, "seeds": 3}
    return [
        TradeOff("mnist", grids.pixels(mnist, "mlp", epochs=50, **full)),
        TradeOff("fashion_mnist", grids.pixels(fashion, "lenet", epochs=100, **full)),
        Collapse("fashion_mnist", _watched(100)),
        Collapse("cifar10", design.cifar10()),
        InThePlane(toy()),
        Appearance(lambda: PerturbationGallery(train_task("vanilla", "resnet18", _data("cifar10"), "uta_resnet18"))),
        LatentTradeOff(grids.features(mnist, epochs=100, **full)),
        TradeOff("mnist", grids.pixels(mnist, {"mlp": grids.NORMALISED}, epochs=50, **full)),
        TradeOff("fashion_mnist", grids.pixels(fashion, {"lenet": grids.NORMALISED}, epochs=100, **full)),
        Collapse("fashion_mnist", _watched(100, grids.NORMALISED)),
        SeveralNetworks("mnist", grids.pixels(mnist, "mlp", epochs=50, members=5, **full)),
        SeveralNetworks("fashion_mnist", grids.pixels(fashion, "lenet", epochs=100, members=5, **full)),
        Quick({k: grids.fast(k) for k in grids.FAST}),
    ]


def everything() -> list[Chapter]:
    return [*paper(), TradeOff("svhn", grids.svhn())]


def _longer(name: str, data: Any, net: Any, epochs: tuple[int, int], **tested: Any) -> LongerTraining:
    few, more = (grids.scored(grids.pixels(data, net, epochs=n, trained=(0.1,), **tested)) for n in epochs)
    return LongerTraining(name, few, more)


def _watched(epochs: int, inputs: dict[str, Any] | None = None) -> design.Overfitting:
    return design.fashion(epochs=epochs, seeds=3, data=_data("fashion_mnist"), net={"lenet": inputs or {}})


def _data(name: str) -> dict[str, Any]:
    return {name: {"validation": 0.0}}


SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "everything": everything}
