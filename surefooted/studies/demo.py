"""The demo: the methods of all three papers on real handwritten digits, in minutes on two cores."""

from __future__ import annotations

from typing import Literal

from surefooted.components.component import Count, component
from surefooted.evaluation.metrics import accuracy, debiased_ece, ece
from surefooted.evaluation.metrics.stability import variance_of_each
from surefooted.pipeline.tasks import collect_provenance
from surefooted.report import Finding, Page, Section
from surefooted.studies.base import Study
from surefooted.studies.claims import HUNDREDTHS, apart, claim_gain, over_seeds
from surefooted.studies.method_comparison import figures, tables
from surefooted.studies.method_comparison.design import Comparison, Results
from surefooted.studies.ranking import NEAREST, QUICK

EPS = 0.1
ADVERSARY = {"eps": EPS, "steps": 7, "step_size": EPS / 4}
METHODS = {
    "Vanilla": "vanilla",
    "LS": {"ls": {"eps": 0.05}},
    "AdaLS": {"adals": {"alpha": 0.05}},
    "AR-AdaLS": {"ar_adals": {"alpha": 0.01, "robustness": NEAREST}},
    "EntM": "entm",
    "PAT": {"pat": ADVERSARY},
    "PAT-EntM": {"pat_entm": ADVERSARY},
    "TRADES": {"trades": ADVERSARY},
    "UTA-AT": {"uta": {"eps": 2 * EPS, "step_size": EPS / 4}},
}


@component
def demo(*, size: Literal["full", "smoke"] = "full", seeds: Count = 3) -> Study:
    """Nine methods on 8×8 digits, three seeds: calibration, robustness, and how they hang together; some minutes.

    Args:
        size: smoke is for tests: a few epochs, a hundred images, short attacks. Its numbers mean nothing.
    """
    smoke = size == "smoke"
    comparison = Comparison(
        METHODS,
        net={"small_convnet": {"width": 16}},
        # Few training images and half of the set for testing: mistakes and over-confidence become visible.
        data={"digits": {"test": 0.5, "validation": 0.3, "train_limit": 300, "test_limit": 100 if smoke else 0}},
        recipe={"recipe": {"epochs": 3 if smoke else 100, "batch": 64}},
        seeds=seeds,
        ladder=(0.05, EPS, 0.15, 2 * EPS),
        attack={"steps": 5 if smoke else 40},
        nearest=QUICK if smoke else NEAREST,
    )
    return Study(comparison.tasks, lambda store: page(Results(comparison, store)))


def page(r: Results) -> Page:
    smoothed, shown = ("AdaLS", "AR-AdaLS"), ("Vanilla", "LS", "AR-AdaLS", "PAT")
    return Page(
        "Surefooted demo",
        "Do classifiers keep their footing under perturbation, and are they as sure as they should be?",
        tuple(findings(r)),
        (
            Section("Summary", "", (tables.summary(r, EPS), tables.intervals(r), figures.trade_off_figure(r, EPS))),
            Section("Robustness", "", (tables.ladder(r), figures.accuracy_figure(r), figures.size_figure(r))),
            Section(
                "Robustness and calibration",
                "Where the answer is easy to change: how often are the models right there, and how sure are they?",
                (figures.level_figure(r, shown), figures.reliability_figure(r, (*shown, "EntM", "UTA-AT"))),
            ),
            Section("Adaptive labels", "", (figures.label_figure(r, smoothed),)),
            Section("Examples", "", (figures.example_figure(r, ("Vanilla", "PAT", "UTA-AT"), EPS),)),
        ),
        collect_provenance(r.comparison.tasks(), r.store),
    )


def findings(r: Results) -> list[Finding]:
    """Claims of the three papers, judged on these runs."""
    clean = {name: [accuracy(p) for p in r.clean(name)] for name in r.comparison.names}
    error = {name: [ece(p) for p in r.clean(name)] for name in r.comparison.names}
    robust, wide = ({name: r.robust(name, eps) for name in r.comparison.names} for eps in (EPS, 2 * EPS))

    def claim(text: str, measure: str, high: str, low: str, values: dict[str, list[float]], see: str) -> Finding:
        gains = [a - b for a, b in zip(values[high], values[low])]
        return over_seeds(text, gains, f"{measure}, {high} less {low}", see=see)

    return [
        *by_level(r),
        claim("AR-AdaLS is better calibrated than hard labels.", "ECE", "Vanilla", "AR-AdaLS", error, "summary"),
        claim("AR-AdaLS is better calibrated than AdaLS.", "ECE", "AdaLS", "AR-AdaLS", error, "summary"),
        claim(
            "Entropy maximisation alone is less robust than adversarial training (EntM, table 1).",
            *(f"robust accuracy at {EPS:g}", "PAT", "EntM", robust, "robust-accuracy"),
        ),
        claim(
            "Beside adversarial training it helps at perturbations larger than those trained on (EntM, table 1).",
            *(f"robust accuracy at {2 * EPS:g}", "PAT-EntM", "PAT", wide, "robust-accuracy"),
        ),
        claim("It raises clean accuracy there too (EntM, table 1).", "accuracy", "PAT-EntM", "PAT", clean, "summary"),
        claim(
            "Trained at twice the radius, UTA-AT has a clean accuracy above PAT's (UTA, figure 2).",
            *("accuracy", "UTA-AT", "PAT", clean, "summary"),
        ),
        claim(
            "What entropy maximisation gains in robustness it pays in calibration.",
            *("ECE", "PAT-EntM", "PAT", error, "trade-off"),
        ),
    ]


def by_level(r: Results) -> list[Finding]:
    """AR-AdaLS's observation that everything else is built on."""
    # Without the bias of a binned error, which alone would make levels of low accuracy look worse.
    errors, unstable = r.per_level("Vanilla", debiased_ece), variance_of_each([p.log_p for p in r.clean("Vanilla")])
    level, half = r.level[0], r.comparison.levels // 2
    return [
        over_seeds(
            "The least robust tenth of images is worse calibrated than the more robust half (AR-AdaLS, figure 1).",
            (errors[:, 0] - errors[:, half:].nanmean(1)).tolist(),
            f"debiased calibration error (root mean square), level 1 less levels {half + 1} to {r.comparison.levels}",
            see="levels",
        ),
        claim_gain(
            "Predictions are less stable in the least robust tenth than in the more robust half (AR-AdaLS, figure 1).",
            apart(unstable[level == 0], unstable[level >= half]),
            f"variance over seeds, level 1 less levels {half + 1} to {r.comparison.levels}",
            see="levels",
            over=f"{r.comparison.seeds} networks, 95 % interval over images",
            unit=HUNDREDTHS,
        ),
    ]
