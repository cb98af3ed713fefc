"""The claims of the UTA paper, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surefooted.cell import data_of
from surefooted.metrics.intervals import binomial_interval
from surefooted.report import Finding
from surefooted.store import Store
from surefooted.studies import reproduced
from surefooted.studies.claims import judged, over_seeds
from surefooted.studies.grid import Grid
from surefooted.studies.published import SETS
from surefooted.studies.uta.cells import FGSM, UTA, Overfitting
from surefooted.studies.uta.grids import LATENT, attack, name, tested_at, trained_at

if TYPE_CHECKING:
    from surefooted.studies.uta.study import Made


def findings(made: Made, store: Store, printed: dict[str, list[reproduced.Compared]]) -> list[Finding]:
    """The paper's claims, judged on these runs."""
    told = {label: title for label, (title, _, _) in made.table.items()} | {"latent": LATENT}
    found = [
        reproduced.overall(f"The paper's scores are reproduced ({told[label]}).", cells, f"printed-{label}")
        for label, cells in printed.items()
        if cells
    ]
    for label, (title, _, grid) in made.table.items():
        found += _traded(title, grid, store, ("figure 2", "table 1"), ("clean-accuracy", f"scores-{label}"))
    found += _traded(LATENT, made.latent, store, ("figure 13", "table 2"), ("latent-clean", "scores-latent"))
    watched = made.overfitting.items()
    return [*found, *(one for data, runs in watched for one in _no_collapse(data, runs, store))]


def _traded(told: str, grid: Grid, store: Store, of: tuple[str, str], see: tuple[str, str]) -> list[Finding]:
    """Clean accuracy at each radius of training, and who has the best score at each test radius."""
    found = []
    for eps in trained_at(grid):
        gain = grid.gain(store, (name("uta", eps), ""), (name("pgd_at", eps), ""))
        text = f"{told}: trained at {eps:g}, UTA-AT is more accurate on clean images ({of[0]})."
        found.append(judged(text, gain, "clean accuracy, UTA-AT less PGD-AT", see=see[0], over=grid.over()))
    return [*found, _best(told, grid, store, of[1], see[1])]


def _best(told: str, grid: Grid, store: Store, of: str, see: str) -> Finding:
    """The tables' yellow cells: at every test radius the best score is UTA-AT's."""
    won = []
    tested = tested_at(grid)
    for test in tested:
        best = {
            method: max(
                (name(method, eps) for eps in trained_at(grid)),
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
        f"on the attacked images, best score of UTA-AT less that of PGD-AT, points: {', '.join(gains)}; {grid.over()}; "
        "the intervals do not know that both are the best of several",
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

    fgsm, uta = (collapsed(method) for method in (FGSM, UTA))
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
        over_seeds(
            f"{told}: at the end of training, UTA-AT of one step is more robust than FGSM-AT ({runs.of}).",
            [kept - lost for kept, lost in zip(end[UTA], end[FGSM])],
            "PGD accuracy, UTA-AT less FGSM-AT",
            see=see,
        ),
    ]
