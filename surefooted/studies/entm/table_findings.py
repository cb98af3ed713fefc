"""Findings of the EntM study on its robustness tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask
from surefooted.report import Finding
from surefooted.studies.claims import claim_all, claim_at_most, claim_gain, discount_by_seed_spread
from surefooted.studies.entm.grids import chance_accuracy, second_trainings, strongest_pgd, weakest_pgd
from surefooted.studies.grid import Grid


@dataclass(frozen=True)
class GridClaims:
    """Claims on one grid. If it has one network per method, the surrogates show the difference between two seeds.

    Attributes:
        grid: methods and attacks.
        data: name of the grid in the study.
        store: has the grid's results.
    """

    grid: Grid
    data: str
    store: Store

    def gain(self, text: str, better: str, worse: str, attack: str = "", *, margin: float = 0.0) -> Finding:
        """One method is more accurate than another, clean or under an attack, by more than a margin."""
        gain = self.grid.accuracy_gain(self.store, (better, attack), (worse, attack))
        measure = f"{_accuracy_name(attack)}, {better} minus {worse}"
        finding = claim_gain(text, gain, measure, see=self._see, sampling=self.grid.sampling(), margin=margin)
        return self._discount(finding, gain.value - margin, better, attack)

    def gain_under_all(self, text: str, better: str, worse: str) -> Finding:
        """One method is more accurate than another under all attacks of the grid."""
        attacks = [*self.grid.white_box, *self.grid.black_box]
        gains = {
            f"under {attack}": self.grid.accuracy_gain(self.store, (better, attack), (worse, attack))
            for attack in attacks
        }
        measure = f"accuracy, {better} minus {worse}"
        return claim_all(text, gains, measure, see=self._see, sampling=self.grid.sampling())

    def at_chance(self, text: str, name: str, attack: str) -> Finding:
        """A method is no better than chance under an attack."""
        return claim_at_most(
            text,
            self.grid.accuracy_interval(self.store, name, attack),
            chance_accuracy(self.grid),
            f"accuracy of {name} under {attack}",
            see=self._see,
            sampling=self.grid.sampling(),
        )

    @property
    def _see(self) -> str:
        return f"robustness-{self.data}"

    def _discount(self, finding: Finding, by: float, method: str, attack: str) -> Finding:
        """Compare a gain with the difference between two seeds of the surrogate's method."""
        kind = self.grid.surrogates.get(method, "")
        second = second_trainings(self.grid)
        if self.grid.seeds > 1 or (kind, attack) not in second:
            return finding
        task = second[kind, attack]
        if isinstance(task, PredictTask):
            other = accuracy(task.result(self.store))
        else:
            other = robust_accuracy(task.result(self.store)["found"]).value
        apart = abs(self.grid.accuracies(self.store, kind, attack)[0] - other)
        condition = f"under {attack}" if attack else "on clean images"
        return discount_by_seed_spread(finding, by, apart, f"{kind} {condition}")


def _general(claims: GridClaims) -> list[Finding]:
    """Claims that the paper makes about several data sets."""
    weak, strong = weakest_pgd(claims.grid), strongest_pgd(claims.grid)
    clean_gain = "not on MNIST in table 9" if claims.data == "mnist" else "by 1 to 3 %"
    return [
        claims.gain("EntM improves standard training under a weak attack (section 5.2.1).", "EntM", "Normal", weak),
        claims.at_chance(
            "EntM without adversarial training is no better than chance under large perturbations (section 5.2.1).",
            "EntM",
            strong,
        ),
        claims.gain("EntM improves PAT under strong attacks (section 5.2.2).", "PAT-EntM", "PAT", strong),
        claims.gain(f"EntM improves PAT on clean images (section 5.2.2; {clean_gain}).", "PAT-EntM", "PAT"),
        claims.gain(
            "PAT-EntM is at most half a point less robust than PAT-LS (section 5.2.2).",
            "PAT-EntM",
            "PAT-LS",
            strong,
            margin=-0.005,
        ),
        claims.gain("LS improves PAT under strong attacks (section 5.2.2).", "PAT-LS", "PAT", strong),
    ]


def _cifar10(claims: GridClaims) -> list[Finding]:
    """Claims that the paper makes about CIFAR-10 only."""
    strong = strongest_pgd(claims.grid)
    margin = strong.replace("PGD", "CW")  # the same radius and steps on the margin of the logits
    return [
        claims.gain("PAT-EntM is more robust than TRADES (section 5.2.2).", "PAT-EntM", "TRADES", strong),
        claims.gain(
            "PAT-EntM is more robust than PAT under an attack on the margin (section 5.2.2).", "PAT-EntM", "PAT", margin
        ),
        claims.gain("TRADES-EntM is more accurate than TRADES on clean images (appendix E).", "TRADES-EntM", "TRADES"),
        claims.gain("TRADES-EntM is more robust than TRADES (appendix E).", "TRADES-EntM", "TRADES", strong),
    ]


def _mnist(claims: GridClaims) -> list[Finding]:
    """Claims that the paper makes about MNIST only."""
    return [
        claims.gain_under_all("EntM improves PAT under every attack on MNIST (appendix B).", "PAT-EntM", "PAT"),
        claims.gain(
            "TRADES is more robust than PAT-EntM on MNIST (appendix B).",
            "TRADES",
            "PAT-EntM",
            strongest_pgd(claims.grid),
        ),
    ]


CLAIMS: dict[str, Callable[[GridClaims], list[Finding]]] = {"general": _general, "cifar10": _cifar10, "mnist": _mnist}


def _accuracy_name(attack: str) -> str:
    return f"accuracy under {attack}" if attack else "clean accuracy"
