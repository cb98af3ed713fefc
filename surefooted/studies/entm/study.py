"""The study of EntM: entropy maximisation in training, without and with adversarial training."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from surefooted.components.component import component
from surefooted.studies.base import Study
from surefooted.studies.chapters import Chapter, combine_chapters, select_chapters
from surefooted.studies.entm import grids
from surefooted.studies.entm.chapters import (
    EntropyWeight,
    GradientMasking,
    Mechanism,
    RadiusCurve,
    RobustnessTable,
    StepCurve,
)
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.stronger_attacks import StrongerAttacks
from surefooted.studies.grid import Grid
from surefooted.studies.scope import Scope

# Values k of figures 1 and 2 (radii k/255 and numbers of steps) and λ of figure 3.
_RADII = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150)
_STEPS = (8, 16, 32, 64, 128, 256)
_LAMBDAS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


@component
def entm(
    *,
    size: Literal["smoke", "cpu", "paper", "everything"] = "cpu",
    only: tuple[str, ...] = (),
    seeds: Annotated[int, Field(ge=0)] = 0,
    epochs: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=0)] | None = None,
) -> Study:
    """EntM: tables 1 to 4 and 6 to 13 and figures 1 to 6 of the paper, with its numbers next to ours.

    Args:
        size: smoke checks that everything runs; its numbers are meaningless. cpu is MNIST in full: the paper's table 9,
            and the analysis that the paper does on CIFAR-10, with one network per method and one run per attack (the
            paper has three of both); about seven hours on two cores. paper is CIFAR-10 with ResNet-18 (tables 1, 4, 6,
            10 and 12; label it by your copy of the data) and MNIST with three seeds: days without a GPU. everything
            adds CIFAR-100 (with figures 1 to 3), SVHN (tables 2, 3, 7, 8 and 13) and Wide ResNet-34-10 (table 11).
        only: names of chapters; empty for all. mnist and mnist-unclipped are table 9, with attacks that stay in [0, 1]
            and attacks that may leave it; masking is table 10 and stronger attacks; radius, steps and lambda are
            figures 1 to 3; mechanism is table 4 and figures 4 to 6. From size paper cifar10 is tables 1, 6 and 12; in
            size everything cifar100, svhn, cifar10-wide and cifar100-wide, and figures 1 to 3 for each data set
            (radius-cifar10, ...).
        seeds: trainings per method in the tables; 0 for as many as the size has. Curves and analysis use the first.
        epochs: of every training, those of lambda too; 0 for as many as the size has.
        limit: number of attacked images, from the start of the test set, 0 for all; by default as many as the size has.

    Returns:
        The study: its tasks, and the page that reads them from a store.

    Raises:
        InputError: ``only`` names a chapter that the size does not have.

    Reference:
        The paper is cited in ``surefooted.training.methods.entropy``.

    Example:
        >>> import surefooted as sf
        >>> study = sf.studies.entm(size="smoke", only=("lambda",))
        >>> sorted({task.kind for task in study.tasks()})  # of two networks, clean and attacked
        ['attacked', 'predicted']
    """
    scope = Scope(seeds, epochs, limit)
    chapters = [chapter.narrow(scope) for chapter in select_chapters(entm_chapters(size), only)]
    omissions = _OMISSIONS[size] if not only else f"Only {', '.join(chapter.name for chapter in chapters)}."
    subtitle = (
        "Entropy maximisation and label smoothing, without and with adversarial training "
        f"(size {size}). {omissions}{scope.describe()}"
    )
    return combine_chapters(chapters, "EntM", subtitle.strip())


def entm_chapters(size: str) -> list[Chapter]:
    """The chapters of a size."""
    return _SIZES[size]()


def _smoke() -> list[Chapter]:
    data = {"digits": {"train_limit": 150, "test_limit": 40, "validation": 0.0}}
    grid = grids.mnist_grid(epochs=2, data=data, net="small_convnet", steps=(2, 4), starts=2)
    sweep = _lambda_sweep(grid, lambdas=(0.0, 2.0), epochs=2, limit=0)
    analysis = Analysis(
        grid,
        radii=(16, 48),
        step_radii=(16, 32),
        steps=(4, 8),
        sweep=sweep,
        images=20,
        analysis_images=30,
        l2_radii=(0.5, 2.0),
        search_draws=20,
        surface_points=5,
    )
    other = Curves(grid, radii=(16,), step_radii=(16, 32), steps=(4,), sweep=sweep, images=20, show_data=True)
    stronger = StrongerAttacks(analysis, {"steps": 5, "targets": 2, "queries": 20})
    return [*_mnist_tables(grid, "general", "mnist"), *_analysis_chapters(stronger, other)]


def _cpu() -> list[Chapter]:
    grid = grids.mnist_grid()
    # A quarter of the epochs: seven more trainings in full would take as long as everything else together.
    sweep = _lambda_sweep(grid, lambdas=_LAMBDAS, epochs=10, limit=2000)
    # MNIST images are farther apart than CIFAR images, so the radius of training, 48/255, replaces 8/255. A radius of 2
    # in L2 is added to 0.5, which hardly affects even Normal.
    analysis = Analysis(
        grid,
        radii=_RADII,
        step_radii=(48, 64),
        steps=_STEPS,
        sweep=sweep,
        images=1000,
        analysis_images=2000,
        l2_radii=(0.5, 2.0),
        surface_radius=1.25 * 48 / 255,
    )
    # A third of AutoAttack's cost, within 0.2 points of the original on LeNets (docs/performance.md).
    stronger = StrongerAttacks(analysis, {"budget": "lean"})
    return [*_mnist_tables(grid, "general", "mnist"), *_analysis_chapters(stronger)]


def _paper() -> list[Chapter]:
    grid = grids.resnet18_grid("cifar10")
    return [*_cifar10_tables(grid), *_analysis_chapters(StrongerAttacks(_cifar10_analysis(grid), {}))]


def _everything() -> list[Chapter]:
    grid, cifar100 = (grids.resnet18_grid(data) for data in ("cifar10", "cifar100"))
    analysis = replace(_cifar10_analysis(grid), show_data=True)
    return [
        *_cifar10_tables(grid),
        RobustnessTable("cifar100", cifar100, grids.RESNET18_DATA["cifar100"].tables),
        RobustnessTable("svhn", grids.resnet18_grid("svhn"), grids.RESNET18_DATA["svhn"].tables),
        *(RobustnessTable(f"{data}-wide", grids.wide_resnet_grid(data), ("11",)) for data in ("cifar10", "cifar100")),
        *_analysis_chapters(StrongerAttacks(analysis, {}), Curves(cifar100, **_cifar_curves(cifar100), show_data=True)),
    ]


def _cifar10_tables(grid: Grid) -> list[Chapter]:
    """The tables of CIFAR-10, and table 9 with as many seeds as the paper has."""
    cifar10 = RobustnessTable("cifar10", grid, grids.RESNET18_DATA["cifar10"].tables, ("general", "cifar10"))
    return [cifar10, *_mnist_tables(grids.mnist_grid(seeds=3), "mnist")]


def _cifar10_analysis(grid: Grid) -> Analysis:
    return Analysis(grid, **_cifar_curves(grid), analysis_images=2000)


def _analysis_chapters(stronger: StrongerAttacks, *other: Curves) -> list[Chapter]:
    """What the paper shows beside its tables. Curves can be of several data sets."""
    curves = (stronger.analysis, *other)
    return [
        GradientMasking(stronger),
        *(RadiusCurve(one) for one in curves),
        *(StepCurve(one) for one in curves),
        *(EntropyWeight(one) for one in curves),
        Mechanism(stronger.analysis),
    ]


def _cifar_curves(grid: Grid) -> dict[str, Any]:
    """Arguments of the curves on CIFAR."""
    sweep = _lambda_sweep(grid, lambdas=_LAMBDAS, epochs=None, limit=0, attack="PGD40-8")
    return {"radii": _RADII, "step_radii": (8, 16), "steps": _STEPS, "sweep": sweep, "images": 1000}


# Parts of the paper that a size leaves out.
_OMISSIONS = {
    "smoke": "Its numbers are meaningless.",
    "cpu": "Not included: CIFAR-10, CIFAR-100, SVHN and Wide ResNet (tables 1 to 3, 6 to 8 and 11 to 13). Tables 4 and "
    "10 and figures 1 to 6 use MNIST instead of CIFAR.",
    "paper": "Not included: CIFAR-100, SVHN and Wide ResNet (size everything; also figures 1 to 3 for CIFAR-100).",
    "everything": "",
}
_SIZES = {"smoke": _smoke, "cpu": _cpu, "paper": _paper, "everything": _everything}


def _mnist_tables(grid: Grid, *claims: str) -> list[Chapter]:
    """Table 9, under attacks that stay in [0, 1] and under attacks that may leave it."""
    unclipped = RobustnessTable("mnist-unclipped", grids.unclipped_grid(grid), ("9",))
    return [RobustnessTable("mnist", grid, ("9",), claims), unclipped]


def _lambda_sweep(grid: Grid, *, lambdas: tuple[float, ...], epochs: int | None, limit: int, attack: str = "") -> Grid:
    """PAT-EntM with several weights λ (section 5.3), under an attack of the grid, by default its strongest PGD."""
    attack = attack or grids.strongest_pgd(grid)
    adversary = {k: v for k, v in grid.methods["PAT-EntM"]["pat_entm"].items() if k != "lam"}
    ((name, arguments),) = grid.recipe.items()
    recipe: Any = {name: arguments if epochs is None else arguments | {"epochs": epochs}}
    return Grid(
        {f"{lam:g}": {"pat_entm": {"lam": lam, **adversary}} if lam else {"pat": adversary} for lam in lambdas},
        net=grid.net,
        data=grid.data,
        recipe=recipe,
        seeds=1,
        white_box={attack: grid.white_box[attack]},
        limit=limit,
    )
