"""Findings on UTA's claims about catastrophic overfitting, judged over runs."""

from __future__ import annotations

from surefooted.evaluation.metrics.intervals import Interval, binomial_interval
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Finding
from surefooted.studies.claims import Sampling, claim_gain_over_seeds, judge
from surefooted.studies.uta.design import FGSM_AT, UTA_ONE_STEP, Overfitting


def overfitting_findings(title: str, runs: Overfitting, store: Store, see: str) -> list[Finding]:
    """The claims of section 5.3 and of the captions of figures 4 and 9."""
    history = _RobustnessHistory(runs, store)
    fgsm, uta = history.collapsed(FGSM_AT), history.collapsed(UTA_ONE_STEP)
    holds = all(fgsm) and not any(uta) and history.has_learnt(UTA_ONE_STEP)
    drop = {
        method: [best - last for best, last in zip(history.best(method), history.final(method), strict=True)]
        for method in (FGSM_AT, UTA_ONE_STEP)
    }

    def difference(text: str, first: list[float], second: list[float], measure: str) -> Finding:
        gains = [a - b for a, b in zip(first, second, strict=True)]
        return claim_gain_over_seeds(f"{title}: {text} ({runs.figure}).", gains, measure, see=see)

    return [
        judge(
            f"{title}: FGSM-AT overfits catastrophically, one-step UTA-AT does not ({runs.figure}).",
            "holds" if holds else "does not hold" if all(uta) or not any(fgsm) else "unclear",
            f"best and final PGD accuracy of each run: {history.summary()}",
            Sampling(f"{runs.seeds} runs per method", runs.seeds),
            see=see,
        ),
        difference(
            "PGD accuracy falls further from its best value for FGSM-AT than for one-step UTA-AT",
            drop[FGSM_AT],
            drop[UTA_ONE_STEP],
            "fall of PGD accuracy, FGSM-AT minus UTA-AT",
        ),
        difference(
            "at the end of training one-step UTA-AT is more robust than FGSM-AT",
            history.final(UTA_ONE_STEP),
            history.final(FGSM_AT),
            "PGD accuracy, UTA-AT minus FGSM-AT",
        ),
        difference(
            "at the end of training FGSM-AT is more accurate on FGSM's adversarial examples than on clean images",
            history.final(FGSM_AT, "fgsm"),
            history.final(FGSM_AT, "clean"),
            "accuracy of FGSM-AT, FGSM examples minus clean images",
        ),
        difference(
            "at the end of training one-step UTA-AT is more accurate on clean images than FGSM-AT",
            history.final(UTA_ONE_STEP, "clean"),
            history.final(FGSM_AT, "clean"),
            "clean accuracy, UTA-AT minus FGSM-AT",
        ),
    ]


class _RobustnessHistory:
    """Accuracies that the recorder measured during the training of every run."""

    def __init__(self, runs: Overfitting, store: Store) -> None:
        self._records = {method: [net.recorded(store) for net in nets] for method, nets in runs.trained.items()}
        test = load_splits(next(iter(runs.trained.values()))[0].data).test
        ((_, arguments),) = runs.record.items()
        self._n, self._chance = min(arguments["images"], len(test)), 1 / len(test.classes)

    def best(self, method: str) -> list[float]:
        """Best PGD accuracy of each run."""
        return [float(record["pgd"].max()) for record in self._records[method]]

    def final(self, method: str, key: str = "pgd") -> list[float]:
        """Accuracy at the end of each run, the mean of the last three measurements."""
        return [float(record[key][-3:].mean()) for record in self._records[method]]

    def has_learnt(self, method: str) -> bool:
        """Whether the best PGD accuracy of every run is significantly above chance."""
        return all(self._interval(share).low > self._chance for share in self.best(method))

    def collapsed(self, method: str) -> list[bool]:
        """Whether each run ends below half of its best PGD accuracy and not significantly above chance."""
        return [
            last < best / 2 and self._interval(last).low <= self._chance
            for last, best in zip(self.final(method), self.best(method))
        ]

    def summary(self) -> str:
        """Best and final PGD accuracy of each run, by method."""
        return "; ".join(
            f"{method}: "
            + ", ".join(
                f"{100 * best:.1f} to {100 * last:.1f} %" for best, last in zip(self.best(method), self.final(method))
            )
            for method in self._records
        )

    def _interval(self, share: float) -> Interval:
        return binomial_interval(round(share * self._n), self._n)
