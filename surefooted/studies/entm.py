"""The EntM paper: does training for uncertain answers make networks robust, alone and beside adversarial training?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from surefooted.cell import Attacked, Cell, Predicted, data_of
from surefooted.checked import checked
from surefooted.machine import provenance
from surefooted.metrics import accuracy
from surefooted.metrics.intervals import Interval, mean_interval
from surefooted.metrics.robustness import robust_accuracy
from surefooted.report import Finding, Page, Section
from surefooted.store import Store
from surefooted.studies import entm_figures as figures
from surefooted.studies import entm_grids as grids
from surefooted.studies import entm_tables as tables
from surefooted.studies import reproduced
from surefooted.studies.base import Study
from surefooted.studies.entm_cells import CURVES, Analysis
from surefooted.studies.grid import Grid
from surefooted.studies.reproduced import judged

MNIST = {"mnist": {"validation": 0.0}}
LAMBDAS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


@checked
def entm(*, size: Literal["smoke", "cpu", "paper", "everything"] = "cpu") -> Study:
    """EntM: tables 1 to 4, 6 to 10, 12, 13 and figures 1 to 6 of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is MNIST in full: the paper's table 9, and the
            analysis that the paper does on CIFAR-10, of one network a method and one run of each attack (the paper has
            three of both); some five hours on two cores. paper is CIFAR-10 with ResNet-18
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
    analysis = Analysis(grid, (16, 48), (16, 32), (4, 8), sweep, 20, 30, (0.5, 2.0), draws=20, grid_points=5)
    return Made({"mnist": (grid, ("9",))}, analysis)


def cpu() -> Made:
    grid = grids.mnist()
    # A quarter of the epochs: seven more trainings of the full length would take as long as all the rest.
    sweep = _sweep(grid, lambdas=LAMBDAS, epochs=10, limit=2000)
    radii = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150)
    # Images of MNIST lie farther apart than CIFAR's: 48/255, the radius of training, takes the place of 8/255 there;
    # 2 in L2 is added to 0.5, which hardly breaks even Normal.
    analysis = Analysis(
        grid, radii, (48, 64), (8, 16, 32, 64, 128, 256), sweep, 1000, 2000, (0.5, 2.0), reach=1.25 * 48 / 255
    )
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


def _sweep(grid: Grid, *, lambdas: tuple[float, ...], epochs: int | None, limit: int, attack: str = "PGD40-48") -> Grid:
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
    analysis = made.analysis
    cells = {
        data: tables.compared(grid, store, data.removesuffix("-wide"), printed)
        for data, (grid, printed) in made.grids.items()
    }
    return Page(
        "EntM",
        f"Entropy maximisation and label smoothing, alone and beside adversarial training (size {size}).",
        tuple(findings(made, store, cells)),
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


def findings(made: Made, store: Store, cells: dict[str, list[reproduced.Compared]]) -> list[Finding]:
    """The paper's claims, judged on these runs: those on several data sets by the first."""
    data, (grid, _) = next(iter(made.grids.items()))
    mnist, _ = made.grids["mnist"]
    weak, last = next(name for name in grid.white if name.startswith("PGD")), made.analysis.strongest
    spread = retrained(made.analysis, store)

    def claim(
        text: str, better: tuple[str, str], worse: tuple[str, str], margin: float = 0.0, among: Grid = grid
    ) -> Finding:
        measure = f"{better[0]}{_under(better[1])} less {worse[0]}{_under(worse[1])}"
        see = f"robustness-{'mnist' if among is mnist else data}"
        found = judged(text, among.gain(store, better, worse), measure, see=see, over=among.over(), margin=margin)
        if among.seeds > 1:
            return found
        # An interval over images does not know how trainings differ; two networks of PAT give a first idea.
        gap = spread["PAT", better[1] and last]
        small = abs(among.gain(store, better, worse).value - margin) <= gap
        said = f"; two networks of PAT are {100 * gap:.2f} points apart{_under(better[1] and last)}"
        return replace(found, verdict="unclear" if small else found.verdict, evidence=found.evidence + said)

    guess = 1 / len(data_of(next(iter(grid.trained.values()))[0].data).test.classes)
    alone = grid.interval(store, "EntM", last)
    cleaner = "It does so on clean images too (section 5.2.2" + (
        "; not on MNIST in table 9)." if grid is mnist else ")."
    )
    return [
        *(
            reproduced.overall(f"The paper's table is reproduced ({name}).", found, f"printed-{name}")
            for name, found in cells.items()
            if found
        ),
        claim("Alone, EntM helps under a weak attack (section 5.2.1).", ("EntM", weak), ("Normal", weak)),
        judged(
            "Under a strong one it is no better than a guess (section 5.2.1).",
            Interval(guess - alone.value, guess - alone.high, guess - alone.low, alone.n),
            f"{100 * guess:g} % less EntM{_under(last)}",
            see=f"robustness-{data}",
            over=grid.over(),
        ),
        claim("Beside PAT, EntM helps under strong attacks (section 5.2.2).", ("PAT-EntM", last), ("PAT", last)),
        claim(cleaner, ("PAT-EntM", ""), ("PAT", "")),
        claim(
            "PAT-EntM is not less robust than PAT-LS by half a point (section 5.2.2).",
            *(("PAT-EntM", last), ("PAT-LS", last), -0.005),
        ),
        claim(
            "TRADES is more robust than PAT-EntM on MNIST (appendix B).",
            *(("TRADES", last), ("PAT-EntM", last), 0.0, mnist),
        ),
        *_adaptive(made.analysis, store),
        *_why(made.analysis, store),
    ]


def retrained(a: Analysis, store: Store) -> dict[tuple[str, str], float]:
    """By method and attack, how far apart two networks of a method are in accuracy."""

    def of(second: Predicted | Attacked) -> float:
        if isinstance(second, Predicted):
            return accuracy(second.result(store))
        return robust_accuracy(second.result(store)["found"]).value

    return {which: abs(a.grid.accuracies(store, *which)[0] - of(second)) for which, second in a.again.items()}


def _adaptive(a: Analysis, store: Store) -> list[Finding]:
    """The attack with smoothed labels, most steps, at both radii (figure 2)."""
    steps = max(a.steps[::2])
    found = []
    for k in a.pixels:
        pat, both = (a.adaptive[name, k, steps].result(store)["found"].double() for name in ("PAT", "PAT-EntM"))
        found.append(
            judged(
                f"Under the adaptive attack too, at {k}/255, EntM helps beside PAT (section 5.2.2).",
                mean_interval(pat - both),
                f"PAT-EntM less PAT, {steps} steps",
                see="accuracy-steps",
                over="one network a method, over images",
            )
        )
    return found


def _why(a: Analysis, store: Store) -> list[Finding]:
    """Section 6, image by image: the logarithms of norms and of Q, whose own means a few images would decide."""
    names = ("Normal", "EntM", "PAT", "PAT-EntM")
    found = {name: a.analysed[name, a.bent[-1]].result(store) for name in names}
    norm, q = ({name: f[key].double().log() for name, f in found.items()} for key in ("jacobian_norm", "q"))
    # The margin's logarithm is there where it is above 0: on images that both networks tell right.
    wide = {name: f["margin"].double().log() - norm[name] for name, f in found.items()}
    over, unit = "one network a method, over images", " of the logarithm"
    pairs = (("without", "Normal", "EntM"), ("with", "PAT", "PAT-EntM"))

    def logs(text: str, values: Tensor, measure: str) -> Finding:
        return judged(text, mean_interval(_finite(values)), measure, see="analysis", over=over, unit=unit)

    shrinks = [
        logs(
            f"EntM shrinks the Jacobian, {where} adversarial training (section 6).",
            norm[plain] - norm[entropic],
            f"log ‖J‖₂, {plain} less {entropic}",
        )
        for where, plain, entropic in pairs
    ]
    widens = [
        logs(
            f"EntM widens the normalised margin, {where} adversarial training (section 6).",
            wide[entropic] - wide[plain],
            f"log M / ‖J‖₂, {entropic} less {plain}, of images that both tell right",
        )
        for where, plain, entropic in pairs
    ]
    alone, beside = q["EntM"] - q["Normal"], q["PAT-EntM"] - q["PAT"]
    at = f"at the points of PGD20-{a.bent[-1]:g} in L2"
    return [
        *shrinks,
        *widens,
        logs("Alone, EntM costs linearity (section 6).", alone, f"log Q, EntM less Normal, {at}"),
        logs(
            "Beside PAT it costs less of it (section 6).",
            alone - beside,
            f"log Q, EntM less Normal, less the same of PAT-EntM and PAT, {at}",
        ),
        _down_to_zero(a, store),
    ]


def _down_to_zero(a: Analysis, store: Store) -> Finding:
    """Figure 1's far end, with one image in a hundred for what one run of an attack may miss."""
    far = {name: robust_accuracy(a.curve[name, max(a.radii)].result(store)["found"]) for name in CURVES}
    down, up = all(i.high < 0.01 for i in far.values()), any(i.low > 0.01 for i in far.values())
    said = ", ".join(f"{name} {100 * i.value:.2f} % [{100 * i.low:.2f}, {100 * i.high:.2f}]" for name, i in far.items())
    return Finding(
        "Under large enough perturbations accuracy falls to 0 (figure 1).",
        "holds" if down else "does not hold" if up else "unclear",
        f"accuracy at {max(a.radii)}/255, against 1 %: {said}",
        "accuracy-radius",
    )


def _finite(values: Tensor) -> Tensor:
    return values[values.isfinite()]


def _under(attack: str) -> str:
    return f" under {attack}" if attack else ", clean"
