"""The claims of the EntM paper, judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from surefooted.cell import Attacked, Predicted, data_of
from surefooted.metrics import accuracy
from surefooted.metrics.intervals import Interval, mean_interval
from surefooted.metrics.robustness import robust_accuracy
from surefooted.report import Finding
from surefooted.store import Store
from surefooted.studies import reproduced
from surefooted.studies.claims import judged
from surefooted.studies.entm_cells import CURVES, Analysis
from surefooted.studies.grid import Grid

if TYPE_CHECKING:
    from surefooted.studies.entm import Made


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
        gain = among.gain(store, better, worse)
        found = judged(text, gain, measure, see=see, over=among.over(), margin=margin)
        if among.seeds > 1:
            return found
        # An interval over images does not know how trainings differ; two networks of PAT give a first idea.
        gap = spread["PAT", better[1] and last]
        small = abs(gain.value - margin) <= gap
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
