"""The EntM paper: does training for uncertain answers make networks robust, alone and beside adversarial training?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from surefooted.cell import Cell
from surefooted.checked import checked
from surefooted.machine import provenance
from surefooted.metrics.intervals import mean_interval
from surefooted.report import Finding, Page, Section
from surefooted.store import Store
from surefooted.studies import entm_figures as figures
from surefooted.studies import entm_grids as grids
from surefooted.studies import entm_tables as tables
from surefooted.studies import reproduced
from surefooted.studies.base import Study
from surefooted.studies.entm_cells import Analysis
from surefooted.studies.grid import Grid
from surefooted.studies.reproduced import judged

MNIST = {"mnist": {"validation": 0.0}}
LAMBDAS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


@checked
def entm(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu") -> Study:
    """EntM: tables 1 to 4, 6 to 10, 12, 13 and figures 1 to 6 of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is MNIST in full: the paper's table 9, and the
            analysis that the paper does on CIFAR-10; some seven hours on two cores. paper is CIFAR-10 with ResNet-18
            (tables 1, 4, 6, 10, 12; label it by your copy of the data) and MNIST with three seeds: days without a GPU.
            everything adds CIFAR-100, SVHN (tables 2, 3, 7, 8, 13) and Wide ResNet-34-10 (table 11).
    """
    made = SIZES[size]()
    return Study(made.cells, lambda store: page(made, store, size))


@dataclass(frozen=True, eq=False)
class Made:
    """Grids by the data set of their printed tables; the analysis is on the networks of the first."""

    grids: dict[str, tuple[Grid, tuple[str, ...]]]
    analysis: Analysis

    def cells(self) -> list[Cell]:
        return [*(cell for grid, _ in self.grids.values() for cell in grid.cells()), *self.analysis.cells()]


def smoke() -> Made:
    data = {"digits": {"train_limit": 150, "test_limit": 40, "validation": 0.0}}
    grid = grids.mnist(epochs=2, data=data, net="small_convnet", starts=2)
    sweep = _sweep(grid, lambdas=(0.0, 2.0), epochs=2, limit=0)
    analysis = Analysis(grid, (16, 48), (16, 32), (4, 8), sweep, 20, 30, draws=20, grid_points=5)
    return Made({"mnist": (grid, ("9",))}, analysis)


def cpu() -> Made:
    grid = grids.mnist()
    # A quarter of the epochs: seven more trainings of the full length would take as long as all the rest.
    sweep = _sweep(grid, lambdas=LAMBDAS, epochs=10, limit=2000)
    radii = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150)
    analysis = Analysis(grid, radii, (32, 48), (8, 16, 32, 64, 128, 256), sweep, 1000, 2000)
    return Made({"mnist": (grid, ("9",))}, analysis)


def paper() -> Made:
    grid = grids.resnet18("cifar10")
    sweep = _sweep(grid, lambdas=LAMBDAS, epochs=None, limit=0, attack="PGD40-8")
    radii = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150)
    analysis = Analysis(grid, radii, (8, 16), (8, 16, 32, 64, 128, 256), sweep, 1000, 2000)
    printed = {"cifar10": (grid, grids.RESNET18["cifar10"][0]), "mnist": (grids.mnist(seeds=3), ("9",))}
    return Made(printed, analysis)


def everything() -> Made:
    made = paper()
    more = {data: (grids.resnet18(data), grids.RESNET18[data][0]) for data in ("cifar100", "svhn")}
    wide = {f"{data}-wide": (grids.wide(data), ("11",)) for data in ("cifar10", "cifar100")}
    return Made(made.grids | more | wide, made.analysis)


SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "everything": everything}


def _sweep(grid: Grid, *, lambdas: tuple[float, ...], epochs: int | None, limit: int, attack: str = "PGD40-32") -> Grid:
    """PAT-EntM with other weights (section 5.3), under an attack of the grid."""
    adversary = {k: v for k, v in grid.methods["PAT-EntM"]["pat_entm"].items() if k != "lam"}
    ((name, given),) = grid.recipe.items()
    recipe: Any = {name: given if epochs is None else given | {"epochs": epochs}}
    return Grid(
        {f"{lam:g}": {"pat_entm": {"lam": lam, **adversary}} for lam in lambdas},
        net=grid.net,
        data=grid.data,
        recipe=recipe,
        seeds=1,
        white={attack: grid.white[attack]},
        limit=limit,
    )


def page(made: Made, store: Store, size: str) -> Page:
    first, analysis = next(iter(made.grids.values()))[0], made.analysis
    cells = {
        data: tables.compared(grid, store, data.removesuffix("-wide"), printed)
        for data, (grid, printed) in made.grids.items()
    }
    return Page(
        "EntM",
        f"Entropy maximisation and label smoothing, alone and beside adversarial training (size {size}).",
        tuple(findings(first, analysis, store, cells)),
        (
            Section(
                "Robustness",
                "Every method under the paper's attacks.",
                tuple(
                    item
                    for data, (grid, _) in made.grids.items()
                    for item in (
                        tables.robustness(grid, store, data),
                        reproduced.table(
                            f"printed-{data}", f"The paper's numbers and ours, {data}", cells[data], grid.caption()
                        ),
                    )
                ),
            ),
            Section(
                "Are gradients masked?",
                "Curves that do not fall to 0, attacks that do not converge, random draws or another network's "
                "gradients that do more harm than one's own: each would say that robustness is only apparent.",
                (
                    tables.obfuscation(analysis, store),
                    tables.searched(analysis, store),
                    figures.radius_curve(analysis, store),
                    figures.step_curves(analysis, store),
                ),
            ),
            Section("How much uncertainty?", "Section 5.3.", (figures.sweep(analysis, store),)),
            Section(
                "Why it works",
                "Section 6: entropy shrinks the Jacobian; only where the network stays near to linear does that help.",
                (tables.analysis(analysis, store), figures.margins(analysis, store), figures.surfaces(analysis, store)),
            ),
        ),
        provenance(),
    )


def findings(
    grid: Grid, analysis: Analysis, store: Store, cells: dict[str, list[reproduced.Compared]]
) -> list[Finding]:
    """The paper's claims, judged on these runs."""
    attacks = list(grid.white)
    weak, *_, last = (name for name in attacks if name.startswith("PGD"))
    lesser = next(name for name in attacks if name.startswith("PGD40"))

    def claim(text: str, better: tuple[str, str], worse: tuple[str, str], margin: float = 0.0) -> Finding:
        measure = f"{better[0]}{_under(better[1])} less {worse[0]}{_under(worse[1])}"
        see = f"robustness-{next(iter(cells))}"
        return judged(text, grid.gain(store, better, worse), measure, see=see, over=grid.over(), margin=margin)

    beside = "It does so on clean images too (section 5.2.2; not on MNIST in table 9)."
    return [
        *(
            reproduced.overall(f"The paper's table is reproduced ({data}).", found, f"printed-{data}")
            for data, found in cells.items()
            if found
        ),
        claim("Alone, EntM helps under a weak attack (section 5.2.1).", ("EntM", weak), ("Normal", weak)),
        claim(
            "Under a strong one it is ten points behind PAT (section 5.2.1).", ("PAT", lesser), ("EntM", lesser), 0.1
        ),
        claim("Beside PAT, EntM helps under strong attacks (section 5.2.2).", ("PAT-EntM", last), ("PAT", last)),
        claim(beside, ("PAT-EntM", ""), ("PAT", "")),
        claim(
            "PAT-EntM is not less robust than PAT-LS by two points (section 5.2.2).",
            *(("PAT-EntM", last), ("PAT-LS", last), -0.02),
        ),
        claim("TRADES is more robust than PAT-EntM on MNIST (appendix B).", ("TRADES", last), ("PAT-EntM", last)),
        *_why(analysis, store),
    ]


def _why(a: Analysis, store: Store) -> list[Finding]:
    """Section 6, image by image: the logarithms of norms and of Q, whose own means a few images would decide."""
    found = {name: a.analysed[name].result(store) for name in ("Normal", "EntM", "PAT", "PAT-EntM")}
    norm, q = ({name: f[key].double().log() for name, f in found.items()} for key in ("jacobian_norm", "q"))
    over, unit = "one network a method, over images", " of the logarithm"
    shrinks = [
        judged(
            f"EntM shrinks the Jacobian, {where} adversarial training (section 6).",
            mean_interval(_finite(norm[plain] - norm[entropic])),
            f"log ‖J‖₂, {plain} less {entropic}",
            see="analysis",
            over=over,
            unit=unit,
        )
        for where, plain, entropic in (("without", "Normal", "EntM"), ("with", "PAT", "PAT-EntM"))
    ]
    alone, beside = q["EntM"] - q["Normal"], q["PAT-EntM"] - q["PAT"]
    reaches = [a.curve[name, max(a.radii)].result(store)["found"].float().mean() for name in ("PAT", "PAT-EntM")]
    return [
        *shrinks,
        judged(
            "Alone, EntM costs linearity (section 6).",
            mean_interval(_finite(alone)),
            "log Q, EntM less Normal",
            see="analysis",
            over=over,
            unit=unit,
        ),
        judged(
            "Beside PAT it costs less of it (section 6).",
            mean_interval(_finite(alone - beside)),
            "log Q, EntM less Normal, less the same of PAT-EntM and PAT",
            see="analysis",
            over=over,
            unit=unit,
        ),
        Finding(
            "Under large enough perturbations accuracy falls to 0 (figure 1).",
            "holds" if min(reaches) == 1 else "does not hold",
            f"accuracy at {max(a.radii)}/255, PAT and PAT-EntM: "
            + ", ".join(f"{100 * (1 - float(r)):.1f} %" for r in reaches),
            "accuracy-radius",
        ),
    ]


def _finite(values: Tensor) -> Tensor:
    return values[values.isfinite()]


def _under(attack: str) -> str:
    return f" under {attack}" if attack else ", clean"
