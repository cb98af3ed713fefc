"""The study of EntM: entropy maximisation in training, without and with adversarial training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from surefooted.components.component import component
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import collect_provenance
from surefooted.report import Page, Section
from surefooted.studies import paper_comparison
from surefooted.studies.base import Study
from surefooted.studies.entm import analysis_tables, figures, grids, tables
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.findings import paper_findings
from surefooted.studies.entm.setup import Setup
from surefooted.studies.entm.stronger_attacks import StrongerAttacks, stronger_attacks_table
from surefooted.studies.grid import SINGLE_TRAINING_NOTE, Grid

# Values k of figures 1 and 2 (radii k/255 and numbers of steps) and λ of figure 3.
_RADII = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150)
_STEPS = (8, 16, 32, 64, 128, 256)
_LAMBDAS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


@component
def entm(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu") -> Study:
    """EntM: tables 1 to 4 and 6 to 13 and figures 1 to 6 of the paper, with its numbers next to ours.

    Args:
        size: smoke checks that everything runs; its numbers are meaningless. cpu is MNIST in full: the paper's table 9,
            and the analysis that the paper does on CIFAR-10, with one network per method and one run per attack (the
            paper has three of both); about seven hours on two cores. paper is CIFAR-10 with ResNet-18 (tables 1, 4, 6,
            10 and 12; label it by your copy of the data) and MNIST with three seeds: days without a GPU. everything
            adds CIFAR-100 (with figures 1 to 3), SVHN (tables 2, 3, 7, 8 and 13) and Wide ResNet-34-10 (table 11).

    Returns:
        The study: its tasks, and the page that reads them from a store.

    Reference:
        The paper is cited in ``surefooted.training.methods.entropy``.

    Example:
        >>> import surefooted as sf
        >>> study = sf.studies.entm(size="smoke")
        >>> study.spec.name, study.spec.arguments
        ('entm', {'size': 'smoke'})
    """
    setup = make_setup(size)
    return Study(setup.tasks, lambda store: _page(setup, store, size))


def make_setup(size: str) -> Setup:
    """Everything that a size of the study computes."""
    return _SIZES[size]()


def _smoke() -> Setup:
    data = {"digits": {"train_limit": 150, "test_limit": 40, "validation": 0.0}}
    grid = grids.mnist_grid(epochs=2, data=data, net="small_convnet", starts=2)
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
    return Setup(_mnist_grids(grid), analysis, stronger, (other,))


def _cpu() -> Setup:
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
    return Setup(_mnist_grids(grid), analysis, StrongerAttacks(analysis, {"budget": "lean"}))


def _paper() -> Setup:
    grid = grids.resnet18_grid("cifar10")
    analysis = Analysis(grid, **_cifar_curves(grid), analysis_images=2000)
    cifar10 = {"cifar10": (grid, grids.RESNET18_DATA["cifar10"].tables)}
    return Setup(cifar10 | _mnist_grids(grids.mnist_grid(seeds=3)), analysis, StrongerAttacks(analysis, {}))


def _everything() -> Setup:
    setup = _paper()
    analysis = replace(setup.analysis, show_data=True)
    resnet18 = {data: (grids.resnet18_grid(data), grids.RESNET18_DATA[data].tables) for data in ("cifar100", "svhn")}
    wide = {f"{data}-wide": (grids.wide_resnet_grid(data), ("11",)) for data in ("cifar10", "cifar100")}
    cifar100, _ = resnet18["cifar100"]
    curves = Curves(cifar100, **_cifar_curves(cifar100), show_data=True)
    return Setup(setup.grids | resnet18 | wide, analysis, StrongerAttacks(analysis, {}), (curves,))


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


def _mnist_grids(grid: Grid) -> dict[str, tuple[Grid, tuple[str, ...]]]:
    """Table 9, under attacks that stay in [0, 1] and under attacks that may leave it."""
    return {"mnist": (grid, ("9",)), "mnist-unclipped": (grids.unclipped_grid(grid), ("9",))}


def _lambda_sweep(
    grid: Grid, *, lambdas: tuple[float, ...], epochs: int | None, limit: int, attack: str = "PGD40-48"
) -> Grid:
    """PAT-EntM with several weights λ (section 5.3), under an attack of the grid."""
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


def _page(setup: Setup, store: Store, size: str) -> Page:
    analysis = setup.analysis
    comparisons = {
        data: tables.compare_accuracies(grid, store, data.partition("-")[0], printed)
        for data, (grid, printed) in setup.grids.items()
    }
    robustness = []
    for data, (grid, printed) in setup.grids.items():
        title = f"The paper's numbers ({tables.table_numbers(printed)}) and ours, {tables.grid_title(data)}"
        caption = f"{tables.PRINTED_NOTE}{grid.caption()}"
        robustness += [
            tables.robustness_table(grid, store, data, printed),
            paper_comparison.comparison_table(f"printed-{data}", title, comparisons[data], caption),
        ]
    return Page(
        "EntM",
        "Entropy maximisation and label smoothing, without and with adversarial training "
        + " ".join(filter(None, (f"(size {size}).", _OMISSIONS[size], SINGLE_TRAINING_NOTE))),
        tuple(paper_findings(setup, store, comparisons)),
        (
            Section("Robustness", "Every method under the paper's attacks.", tuple(robustness)),
            Section(
                "Gradient masking",
                "Signs that robustness is only apparent: accuracy does not fall to 0 at large radii, attacks do not "
                "converge, random search or another network's gradients are more effective than a network's own.",
                (
                    analysis_tables.gradient_masking_table(analysis, store),
                    analysis_tables.random_search_table(analysis, store),
                    stronger_attacks_table(setup.stronger, store),
                    *(figures.radius_figure(curves, store) for curves in setup.curves),
                    *(figures.step_figure(curves, store) for curves in setup.curves),
                ),
            ),
            Section(
                "Weight of the entropy",
                "Section 5.3.",
                tuple(figures.lambda_figure(curves, store) for curves in setup.curves),
            ),
            Section(
                "Why EntM works",
                "Section 6: entropy shrinks the Jacobian, which helps only if the network stays close to linear.",
                (
                    analysis_tables.analysis_table(analysis, store),
                    figures.margin_figure(analysis, store),
                    figures.surface_figure(analysis, store),
                ),
            ),
        ),
        collect_provenance(setup.tasks(), store),
    )
