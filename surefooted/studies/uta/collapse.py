"""UTA's claims about catastrophic overfitting, judged over runs."""

from __future__ import annotations

from surefooted.evaluation.metrics.intervals import Interval, binomial_interval
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Finding
from surefooted.studies.claims import claim_gain_over_seeds
from surefooted.studies.uta.design import FGSM, UTA, Overfitting


class Watched:
    """What the recorder saw of every run."""

    def __init__(self, runs: Overfitting, store: Store) -> None:
        self._seen = {method: [one.recorded(store) for one in nets] for method, nets in runs.trained.items()}
        test = load_splits(next(iter(runs.trained.values()))[0].data).test
        ((_, given),) = runs.record.items()
        self._n, self._guess = min(given["images"], len(test)), 1 / len(test.classes)

    def best(self, method: str) -> list[float]:
        """Of PGD accuracy, the best look of each run."""
        return [float(one["pgd"].max()) for one in self._seen[method]]

    def end(self, method: str, key: str = "pgd") -> list[float]:
        """What is left at the end: the mean of the last three looks of each run."""
        return [float(one[key][-3:].mean()) for one in self._seen[method]]

    def learnt(self, method: str) -> bool:
        """Whether every run was once surely more robust than a guess."""
        return all(self._surely(share).low > self._guess for share in self.best(method))

    def collapsed(self, method: str) -> list[bool]:
        """Where less than half of the best look is left, and that not surely above a guess."""
        return [
            last < top / 2 and self._surely(last).low <= self._guess
            for last, top in zip(self.end(method), self.best(method))
        ]

    def told(self) -> str:
        return "; ".join(
            f"{method}: "
            + ", ".join(f"{100 * a:.1f} to {100 * b:.1f} %" for a, b in zip(self.best(method), self.end(method)))
            for method in self._seen
        )

    def _surely(self, share: float) -> Interval:
        return binomial_interval(round(share * self._n), self._n)


def collapse(title: str, runs: Overfitting, store: Store, see: str) -> list[Finding]:
    """What section 5.3 and the captions of figures 4 and 9 say."""
    w = Watched(runs, store)
    fgsm, uta = w.collapsed(FGSM), w.collapsed(UTA)
    held = all(fgsm) and not any(uta) and w.learnt(UTA)
    fell = {
        method: [top - last for top, last in zip(w.best(method), w.end(method), strict=True)] for method in (FGSM, UTA)
    }

    def more(text: str, more: list[float], less: list[float], measure: str) -> Finding:
        gains = [a - b for a, b in zip(more, less, strict=True)]
        return claim_gain_over_seeds(f"{title}: {text} ({runs.of}).", gains, measure, see=see)

    return [
        Finding(
            f"{title}: FGSM-AT overfits catastrophically, UTA-AT of one step does not ({runs.of}).",
            "holds" if held else "does not hold" if all(uta) or not any(fgsm) else "unclear",
            f"best PGD accuracy and that at the end, run by run: {w.told()}",
            see,
        ),
        more(
            "UTA-AT's PGD accuracy falls less from its best",
            *(fell[FGSM], fell[UTA], "fall, FGSM-AT less UTA-AT"),
        ),
        more(
            "at the end UTA-AT of one step is more robust than FGSM-AT",
            *(w.end(UTA), w.end(FGSM), "PGD accuracy, UTA-AT less FGSM-AT"),
        ),
        more(
            "at the end FGSM-AT is more accurate at FGSM's points than on clean images",
            *(w.end(FGSM, "fgsm"), w.end(FGSM, "clean"), "accuracy of FGSM-AT, at FGSM's points less clean"),
        ),
        more(
            "at the end UTA-AT of one step is more accurate on clean images than FGSM-AT",
            *(w.end(UTA, "clean"), w.end(FGSM, "clean"), "clean accuracy, UTA-AT less FGSM-AT"),
        ),
    ]
