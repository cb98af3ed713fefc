"""Findings of the EntM study: the claims on its tables, then those on strong attacks and on why EntM works."""

from __future__ import annotations

from dataclasses import dataclass

from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask
from surefooted.report import Finding
from surefooted.studies import paper_comparison
from surefooted.studies.claims import claim_all, claim_at_most, claim_gain, discount_by_seed_spread
from surefooted.studies.entm.attack_findings import attack_findings, radius_finding, zero_accuracy_finding
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis
from surefooted.studies.entm.grids import strongest_pgd, weakest_pgd
from surefooted.studies.entm.mechanism_findings import lambda_findings, mechanism_findings
from surefooted.studies.entm.setup import Setup
from surefooted.studies.entm.tables import grid_title
from surefooted.studies.grid import Grid


def paper_findings(
    setup: Setup, store: Store, comparisons: dict[str, list[paper_comparison.CellComparison]]
) -> list[Finding]:
    """All claims of the paper; those on several data sets are judged on the first grid."""
    data, (grid, _) = next(iter(setup.grids.items()))
    mnist_grid, _ = setup.grids["mnist"]
    weak, strong = weakest_pgd(grid), strongest_pgd(grid)
    first = _GridClaims(grid, data, setup.analysis, store)
    mnist = _GridClaims(mnist_grid, "mnist", setup.analysis, store)
    clean_gain = "not on MNIST in table 9" if grid is mnist_grid else "by 1 to 3 %"
    return [
        *(
            paper_comparison.claim_reproduced(
                f"The numbers of the paper's table are reproduced ({grid_title(name)}).",
                compared,
                setup.grids[name][0].sampling(),
                f"printed-{name}",
            )
            for name, compared in comparisons.items()
            if compared
        ),
        first.gain("EntM improves standard training under a weak attack (section 5.2.1).", "EntM", "Normal", weak),
        claim_at_most(
            "EntM without adversarial training is no better than chance under large perturbations (section 5.2.1).",
            grid.accuracy_interval(store, "EntM", strong),
            setup.analysis.chance_accuracy,
            f"accuracy of EntM under {strong}",
            see=f"robustness-{data}",
            sampling=grid.sampling(),
        ),
        *(
            first.masking(f"{name} masks its gradients under a weak attack (section 5.2.1).", name)
            for name in ("EntM", "LS")
        ),
        first.gain("EntM improves PAT under strong attacks (section 5.2.2).", "PAT-EntM", "PAT", strong),
        first.gain(f"EntM improves PAT on clean images (section 5.2.2; {clean_gain}).", "PAT-EntM", "PAT"),
        first.gain(
            "PAT-EntM is at most half a point less robust than PAT-LS (section 5.2.2).",
            "PAT-EntM",
            "PAT-LS",
            strong,
            margin=-0.005,
        ),
        first.gain("LS improves PAT under strong attacks (section 5.2.2).", "PAT-LS", "PAT", strong),
        *([] if grid is mnist_grid else _cifar10_findings(first, strong)),
        mnist.gain_under_all("EntM improves PAT under every attack on MNIST (appendix B).", "PAT-EntM", "PAT"),
        mnist.gain(
            "TRADES is more robust than PAT-EntM on MNIST (appendix B).",
            "TRADES",
            "PAT-EntM",
            strongest_pgd(mnist_grid),
        ),
        *attack_findings(setup.stronger, store),
        *mechanism_findings(setup.analysis, store),
        *(finding for curves in setup.other_curves for finding in _curve_findings(curves, store)),
    ]


def _cifar10_findings(claims: _GridClaims, strong: str) -> list[Finding]:
    """Claims that the paper makes about CIFAR-10 only."""
    margin = strong.replace("PGD", "CW")  # the same radius and steps on the margin of the logits
    return [
        claims.gain("PAT-EntM is more robust than TRADES (section 5.2.2).", "PAT-EntM", "TRADES", strong),
        claims.gain(
            "PAT-EntM is more robust than PAT under an attack on the margin (section 5.2.2).", "PAT-EntM", "PAT", margin
        ),
        claims.gain("TRADES-EntM is more accurate than TRADES on clean images (appendix E).", "TRADES-EntM", "TRADES"),
        claims.gain("TRADES-EntM is more robust than TRADES (appendix E).", "TRADES-EntM", "TRADES", strong),
    ]


def _curve_findings(curves: Curves, store: Store) -> list[Finding]:
    """Claims about a second data set that has no analysis (figures 1 and 3)."""
    leads = (radius_finding(curves, store, other) for other in ("PAT", "TRADES"))
    return [*leads, zero_accuracy_finding(curves, store), *lambda_findings(curves, store)]


@dataclass(frozen=True)
class _GridClaims:
    """Claims on one grid. If it has one network per method, the analysis provides the difference between two seeds."""

    grid: Grid
    data: str
    analysis: Analysis
    store: Store

    def gain(self, text: str, better: str, worse: str, attack: str = "", *, margin: float = 0.0) -> Finding:
        """One method is more accurate than another, clean or under an attack, by more than a margin."""
        gain = self.grid.accuracy_gain(self.store, (better, attack), (worse, attack))
        measure = f"{_accuracy_name(attack)}, {better} minus {worse}"
        finding = claim_gain(
            text, gain, measure, see=f"robustness-{self.data}", sampling=self.grid.sampling(), margin=margin
        )
        return self._discount(finding, gain.value - margin, better, attack)

    def gain_under_all(self, text: str, better: str, worse: str) -> Finding:
        """One method is more accurate than another under all attacks of the grid."""
        attacks = [*self.grid.white_box, *self.grid.black_box]
        gains = {
            f"under {attack}": self.grid.accuracy_gain(self.store, (better, attack), (worse, attack))
            for attack in attacks
        }
        measure = f"accuracy, {better} minus {worse}"
        return claim_all(text, gains, measure, see=f"robustness-{self.data}", sampling=self.grid.sampling())

    def masking(self, text: str, name: str) -> Finding:
        """A method's own gradients are less effective than those of another network."""
        white = weakest_pgd(self.grid)
        gain = self.grid.accuracy_gain(self.store, (name, white), (name, f"black-box {white}"))
        measure = f"accuracy of {name} under {white}, with its own gradients minus with those of a proxy"
        return claim_gain(text, gain, measure, see="obfuscation", sampling=self.grid.sampling())

    def _discount(self, finding: Finding, by: float, method: str, attack: str) -> Finding:
        """Compare a gain with the difference between two seeds of the proxy's method."""
        kind = self.grid.surrogates.get(method, "")
        if self.grid.seeds > 1 or (kind, attack) not in self.analysis.second_seed:
            return finding
        apart = _seed_difference(self.analysis, self.store, kind, attack)
        condition = f"under {attack}" if attack else "on clean images"
        return discount_by_seed_spread(finding, by, apart, f"{kind} {condition}")


def _seed_difference(a: Analysis, store: Store, method: str, attack: str) -> float:
    """Difference in accuracy between two networks of a method, clean or under an attack."""
    second = a.second_seed[method, attack]
    if isinstance(second, PredictTask):
        other = accuracy(second.result(store))
    else:
        other = robust_accuracy(second.result(store)["found"]).value
    return abs(a.grid.accuracies(store, method, attack)[0] - other)


def _accuracy_name(attack: str) -> str:
    return f"accuracy under {attack}" if attack else "clean accuracy"
