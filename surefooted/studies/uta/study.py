"""The study of UTA: adversarial training on the points where the network is least certain, compared with PGD-AT."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from surefooted.components.component import component
from surefooted.pipeline.tasks import train_task
from surefooted.studies.base import Study
from surefooted.studies.chapters import Chapter, combine_chapters, select_chapters
from surefooted.studies.scope import Scope
from surefooted.studies.uta import design, grids
from surefooted.studies.uta.experiments import AttackAppearance, CatastrophicOverfitting, FastTraining, PlaneExperiment
from surefooted.studies.uta.gallery import PerturbationGallery
from surefooted.studies.uta.longer_training import LongerTraining
from surefooted.studies.uta.toy import toy_problem
from surefooted.studies.uta.trade_offs import LatentTradeOff, SeveralNetworks, TradeOff


@component
def uta(
    *,
    size: Literal["smoke", "cpu", "paper", "everything"] = "cpu",
    only: tuple[str, ...] = (),
    seeds: Annotated[int, Field(ge=0)] = 0,
    epochs: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=0)] | None = None,
    radii: tuple[float, ...] = (),
) -> Study:
    """UTA: tables 1 and 2 and the figures of the paper, with its numbers next to ours.

    Args:
        size: smoke checks that everything runs; its numbers are meaningless. cpu is MNIST in full, Fashion-MNIST with a
            tenth of the epochs, the latent space and normalised inputs with fewer epochs, catastrophic overfitting on
            Fashion-MNIST and the plane, with AutoAttack's lean budget; about eleven hours on two cores. paper has all
            epochs, three seeds, full AutoAttack, several networks, and CIFAR-10 (figures 3 and 9). everything adds SVHN
            (table 1).
        only: names of chapters; empty for all. mnist, fashion_mnist and svhn are table 1; mnist-normalised and
            fashion_mnist-normalised are the same with normalised inputs; latent is table 2 with features after their
            ReLU, latent-before-relu with features before it, each also with -normalised. The others are plane, looks,
            overfitting-fashion_mnist (and ...-normalised); in size cpu longer-fashion_mnist-normalised (one
            radius for 50 epochs); from size paper overfitting-cifar10, fast, several-mnist and several-fashion_mnist.
        seeds: trainings per method; 0 for as many as the size has.
        epochs: of every training but those of longer-...; 0 for as many as the size has.
        limit: number of attacked images, from the start of the test set, 0 for all; by default as many as the size has.
        radii: training radii of the trade-off tables, such as 0.1; empty for all.

    Returns:
        The study: its tasks, and the page that reads them from a store.

    Raises:
        InputError: ``only`` names a chapter that the size does not have.

    Example:
        >>> import surefooted as sf
        >>> study = sf.studies.uta(size="smoke", only=("plane",))
        >>> len(study.tasks()) > 20
        True
    """
    scope = Scope(seeds, epochs, limit)
    chapters = [chapter.narrow(scope) for chapter in select_chapters(uta_chapters(size), only)]
    if radii:
        chapters = [
            replace(c, grid=grids.select_radii(c.grid, radii)) if isinstance(c, _TRADE_OFFS) else c for c in chapters
        ]
    omissions = _OMISSIONS[size] if not only else f"Only {', '.join(chapter.name for chapter in chapters)}."
    subtitle = (
        f"Adversarial training on the points where the network is least certain (size {size}). {omissions}"
        f"{scope.describe()}"
    )
    return combine_chapters(chapters, "UTA", subtitle.strip())


def uta_chapters(size: str) -> list[Chapter]:
    """The chapters of a size."""
    return _SIZES[size]()


_TRADE_OFFS = (TradeOff, LatentTradeOff, SeveralNetworks)

# Parts of the paper that a size leaves out.
_OMISSIONS = {
    "smoke": "Its numbers are meaningless.",
    "cpu": "Not included: SVHN (table 1, figure 2), CIFAR-10 (figures 3 and 9; figure 8 uses Fashion-MNIST instead) "
    "and several networks (figures 11 and 12).",
    "paper": "Not included: SVHN (size everything).",
    "everything": "",
}

# In every size the main tables come first and the appendices last, because a study may be stopped before its end.


def _smoke() -> list[Chapter]:
    data = {"digits": {"train_limit": 150, "test_limit": 30, "validation": 0.0}}
    options: dict[str, Any] = {"limit": 10, "autoattack": {"steps": 5, "targets": 2, "queries": 20}}
    runs = design.fashion_mnist_overfitting(epochs=2, seeds=2, data=data, net="small_convnet", images=20, every=2)
    victim = ("vanilla", "small_convnet", data, {"recipe": {"epochs": 2}})
    return [
        TradeOff("mnist", grids.pixel_grid(data, "small_convnet", radii=(0.1, 0.2), epochs=2, **options)),
        CatastrophicOverfitting("fashion_mnist", runs),
        PlaneExperiment(toy_problem("smoke")),
        AttackAppearance(lambda: PerturbationGallery(train_task(*victim), images=3, steps=5)),
        LatentTradeOff(grids.latent_grid(data, net="small_convnet", radii=(0.1,), epochs=2, **options)),
        LatentTradeOff(
            grids.latent_grid(
                data, net={"mlp": grids.NORMALISED_INPUTS}, relu="before", radii=(0.1,), epochs=2, **options
            )
        ),
        TradeOff("mnist", grids.pixel_grid(data, {"mlp": grids.NORMALISED_INPUTS}, radii=(0.1,), epochs=2, **options)),
        _longer_training("mnist", data, {"mlp": grids.NORMALISED_INPUTS}, (2, 3), **options),
        SeveralNetworks("mnist", grids.pixel_grid(data, "small_convnet", radii=(0.1,), members=2, epochs=2, **options)),
    ]


def _cpu() -> list[Chapter]:
    mnist, fashion = (_all_training_images(name) for name in ("mnist", "fashion_mnist"))
    # A third of AutoAttack's cost, within 0.2 points of the original on LeNets (docs/performance.md).
    options: Any = {"limit": 1000, "autoattack": {"budget": "lean"}}
    return [
        TradeOff("mnist", grids.pixel_grid(mnist, "mlp", epochs=50, **options)),
        TradeOff("fashion_mnist", grids.pixel_grid(fashion, "lenet", epochs=10, **options)),
        CatastrophicOverfitting("fashion_mnist", _fashion_mnist_overfitting(30)),
        PlaneExperiment(toy_problem()),
        AttackAppearance(
            lambda: PerturbationGallery(train_task("vanilla", "lenet", fashion, {"uta_lenet": {"epochs": 10}}))
        ),
        *_latent_chapters(mnist, epochs=20, **options),
        TradeOff("mnist", grids.pixel_grid(mnist, {"mlp": grids.NORMALISED_INPUTS}, epochs=20, **options)),
        TradeOff("fashion_mnist", grids.pixel_grid(fashion, {"lenet": grids.NORMALISED_INPUTS}, epochs=10, **options)),
        CatastrophicOverfitting("fashion_mnist", _fashion_mnist_overfitting(30, grids.NORMALISED_INPUTS)),
        _longer_training("fashion_mnist", fashion, {"lenet": grids.NORMALISED_INPUTS}, (10, 50), **options),
    ]


def _paper() -> list[Chapter]:
    mnist, fashion = (_all_training_images(name) for name in ("mnist", "fashion_mnist"))
    options: Any = {"limit": 0, "seeds": 3}
    return [
        TradeOff("mnist", grids.pixel_grid(mnist, "mlp", epochs=50, **options)),
        TradeOff("fashion_mnist", grids.pixel_grid(fashion, "lenet", epochs=100, **options)),
        CatastrophicOverfitting("fashion_mnist", _fashion_mnist_overfitting(100)),
        CatastrophicOverfitting("cifar10", design.cifar10_overfitting()),
        PlaneExperiment(toy_problem()),
        AttackAppearance(
            lambda: PerturbationGallery(
                train_task("vanilla", "resnet18", _all_training_images("cifar10"), "uta_resnet18")
            )
        ),
        *_latent_chapters(mnist, epochs=100, **options),
        TradeOff("mnist", grids.pixel_grid(mnist, {"mlp": grids.NORMALISED_INPUTS}, epochs=50, **options)),
        TradeOff("fashion_mnist", grids.pixel_grid(fashion, {"lenet": grids.NORMALISED_INPUTS}, epochs=100, **options)),
        CatastrophicOverfitting("fashion_mnist", _fashion_mnist_overfitting(100, grids.NORMALISED_INPUTS)),
        SeveralNetworks("mnist", grids.pixel_grid(mnist, "mlp", epochs=50, members=5, **options)),
        SeveralNetworks("fashion_mnist", grids.pixel_grid(fashion, "lenet", epochs=100, members=5, **options)),
        FastTraining({k: grids.fast_grid(k) for k in grids.FAST_RADII}),
    ]


def _everything() -> list[Chapter]:
    return [*_paper(), TradeOff("svhn", grids.svhn_grid())]


def _longer_training(name: str, data: Any, net: Any, epochs: tuple[int, int], **options: Any) -> LongerTraining:
    short, long = (grids.score_grid(grids.pixel_grid(data, net, epochs=n, radii=(0.1,), **options)) for n in epochs)
    return LongerTraining(name, short, long)


def _fashion_mnist_overfitting(epochs: int, inputs: dict[str, Any] | None = None) -> design.Overfitting:
    return design.fashion_mnist_overfitting(
        epochs=epochs, seeds=3, data=_all_training_images("fashion_mnist"), net={"lenet": inputs or {}}
    )


def _latent_chapters(data: Any, *, net: str = "lenet", **options: Any) -> list[LatentTradeOff]:
    """Table 2 on both sides of the ReLU, with inputs as they are and normalised: the paper says neither."""
    return [
        LatentTradeOff(grids.latent_grid(data, net=inputs, relu=relu, **options))
        for relu in ("after", "before")
        for inputs in (net, {net: grids.NORMALISED_INPUTS})
    ]


def _all_training_images(name: str) -> dict[str, Any]:
    return {name: {"validation": 0.0}}


_SIZES = {"smoke": _smoke, "cpu": _cpu, "paper": _paper, "everything": _everything}
