"""The claims of the EntM paper, judged: on its tables here, on stronger attacks in ``strength``, on why in ``why``."""

from __future__ import annotations

from dataclasses import dataclass

from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask
from surefooted.report import Finding
from surefooted.studies import paper_comparison
from surefooted.studies.claims import claim_all, claim_at_most, claim_gain, discount_by_seed_spread
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.grids import strongest, weakest
from surefooted.studies.entm.setup import Setup
from surefooted.studies.entm.strength import down_to_zero, everywhere, strength
from surefooted.studies.entm.tables import title
from surefooted.studies.entm.why import weights, why
from surefooted.studies.grid import Grid


def findings(made: Setup, store: Store, comparisons: dict[str, list[paper_comparison.CellComparison]]) -> list[Finding]:
    """The paper's claims, judged on these runs: those on several data sets by the first."""
    data, (grid, _) = next(iter(made.grids.items()))
    mnist, _ = made.grids["mnist"]
    guess = made.analysis.guess
    weak, strong = weakest(grid), strongest(grid)
    here, there = Claims(grid, data, made.analysis, store), Claims(mnist, "mnist", made.analysis, store)
    cleaner = "not on MNIST in table 9" if grid is mnist else "by 1 to 3 %"
    coloured = [] if grid is mnist else on_colours(here, strong)
    return [
        *(
            paper_comparison.claim_reproduced(
                f"The paper's table is reproduced ({title(name)}).", found, f"printed-{name}"
            )
            for name, found in comparisons.items()
            if found
        ),
        here.better("Alone, EntM helps under a weak attack (section 5.2.1).", "EntM", "Normal", weak),
        claim_at_most(
            "Under large perturbations it is no better than a guess (section 5.2.1).",
            *(grid.accuracy_interval(store, "EntM", strong), guess, f"EntM{_under(strong)}"),
            see=f"robustness-{data}",
            sampling=grid.sampling(),
        ),
        *(
            here.masked(f"{name} masks its gradients under a weak attack (section 5.2.1).", name)
            for name in ("EntM", "LS")
        ),
        here.better("Beside PAT, EntM helps under strong attacks (section 5.2.2).", "PAT-EntM", "PAT", strong),
        here.better(f"It does so on clean images too (section 5.2.2; {cleaner}).", "PAT-EntM", "PAT"),
        here.better(
            "PAT-EntM is not less robust than PAT-LS by half a point (section 5.2.2).",
            *("PAT-EntM", "PAT-LS", strong),
            margin=-0.005,
        ),
        here.better("Beside PAT, LS helps under strong attacks (section 5.2.2).", "PAT-LS", "PAT", strong),
        *coloured,
        there.throughout("On MNIST too EntM helps beside PAT, whatever the attack (appendix B).", "PAT-EntM", "PAT"),
        there.better(
            "TRADES is more robust than PAT-EntM on MNIST (appendix B).", "TRADES", "PAT-EntM", strongest(mnist)
        ),
        *strength(made.stronger, store),
        *why(made.analysis, store),
        *(finding for curves in made.elsewhere for finding in on_curves(curves, store)),
    ]


def on_colours(here: Claims, strong: str) -> list[Finding]:
    """What the paper says of CIFAR-10 that it does not say, or not so, of MNIST."""
    margin = strong.replace("PGD", "CW")  # the same radius and steps up the margin of the logits
    return [
        here.better("PAT-EntM is more robust than TRADES (section 5.2.2).", "PAT-EntM", "TRADES", strong),
        here.better("So is it than PAT under an attack on the margin (section 5.2.2).", "PAT-EntM", "PAT", margin),
        here.better("TRADES-EntM is more accurate than TRADES on clean images (appendix E).", "TRADES-EntM", "TRADES"),
        here.better("It is more robust, too (appendix E).", "TRADES-EntM", "TRADES", strong),
    ]


def on_curves(curves: Curves, store: Store) -> list[Finding]:
    """What the paper says of a second data set that has no analysis (figures 1 and 3)."""
    leads = (everywhere(curves, store, other) for other in ("PAT", "TRADES"))
    return [*leads, down_to_zero(curves, store), *weights(curves, store)]


@dataclass(frozen=True)
class Claims:
    """Claims on one grid; where it has one network a method, the analysis says how far two trainings are apart."""

    grid: Grid
    data: str
    analysis: Analysis
    store: Store

    def better(self, text: str, better: str, worse: str, attack: str = "", *, margin: float = 0.0) -> Finding:
        """One method is more accurate than another, clean or under an attack, by more than a margin."""
        gain = self.grid.accuracy_gain(self.store, (better, attack), (worse, attack))
        measure = f"{better}{_under(attack)} less {worse}{_under(attack)}"
        found = claim_gain(
            text, gain, measure, see=f"robustness-{self.data}", sampling=self.grid.sampling(), margin=margin
        )
        return self._tempered(found, gain.value - margin, better, attack)

    def throughout(self, text: str, better: str, worse: str) -> Finding:
        """One method is more accurate than another under all attacks of the grid."""
        attacks = [*self.grid.white_box, *self.grid.black_box]
        gains = {f"under {one}": self.grid.accuracy_gain(self.store, (better, one), (worse, one)) for one in attacks}
        return claim_all(
            text, gains, f"{better} less {worse}", see=f"robustness-{self.data}", sampling=self.grid.sampling()
        )

    def masked(self, text: str, name: str) -> Finding:
        """A method's own gradients are worth less than another network's."""
        white = weakest(self.grid)
        gain = self.grid.accuracy_gain(self.store, (name, white), (name, f"black-box {white}"))
        measure = f"accuracy of {name}{_under(white)}, by its own gradients less by a proxy's"
        return claim_gain(text, gain, measure, see="obfuscation", sampling=self.grid.sampling())

    def _tempered(self, found: Finding, by: float, method: str, attack: str) -> Finding:
        """Unclear, where the gain is little beside what two trainings of the method's kind differ by."""
        kind = self.grid.surrogates.get(method, "")
        if self.grid.seeds > 1 or (kind, attack) not in self.analysis.again:
            return found
        apart = retrained(self.analysis, self.store, kind, attack)
        return discount_by_seed_spread(found, by, apart, f"{kind}{_under(attack)}")


def retrained(a: Analysis, store: Store, method: str, attack: str) -> float:
    """How far apart two networks of a method are in accuracy, clean or under an attack."""
    second = a.again[method, attack]
    if isinstance(second, PredictTask):
        other = accuracy(second.result(store))
    else:
        other = robust_accuracy(second.result(store)["found"]).value
    return abs(a.grid.accuracies(store, method, attack)[0] - other)


def _under(attack: str) -> str:
    return f" under {attack}" if attack else ", clean"
