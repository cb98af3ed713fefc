"""The claims of the UTA paper, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surefooted.report import Finding
from surefooted.store import Store
from surefooted.studies import reproduced
from surefooted.studies.claims import throughout
from surefooted.studies.grid import Grid
from surefooted.studies.uta import traded
from surefooted.studies.uta.collapse import collapse
from surefooted.studies.uta.grids import LATENT, QUICK

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
        see = f"scores-{label}"
        found += [
            traded.more_accurate(title, grid, store, "figure 2", "clean-accuracy"),
            traded.best_score(title, grid, store, "table 1", see),
            traded.as_robust(title, grid, store, see),
            traded.larger(title, grid, store, see),
        ]
    found += [
        traded.more_accurate(LATENT, made.latent, store, "figure 13", "latent-clean"),
        traded.best_score(LATENT, made.latent, store, "table 2", "scores-latent", spared=0),
        *traded.latent(made.latent, made.alone, store, "scores-latent"),
    ]
    found += [one for data, runs in made.overfitting.items() for one in collapse(data, runs, store)]
    return [*found, *([_quick(made.fast, store)] if made.fast else [])]


def _quick(grids: dict[int, Grid], store: Store) -> Finding:
    """Figure 9c."""
    gains = {
        f"{method} at {k}/255": grid.gain(store, (method, ""), ("PGD-2", ""))
        for k, grid in grids.items()
        for method in QUICK
    }
    some = next(iter(grids.values()))
    return throughout(
        "CIFAR-10: UTA of one and two steps is more accurate on clean images than PGD-2 at every radius (figure 9c).",
        gains,
        "clean accuracy, UTA less PGD-2",
        see="fast",
        over=some.over(),
    )
