"""The demo: methods of all three papers on real handwritten digits, in minutes on two cores."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from surefooted.components.component import component
from surefooted.evaluation.metrics import accuracy, debiased_ece, ece
from surefooted.evaluation.metrics.stability import level_variance_gap
from surefooted.pipeline.tasks import collect_provenance
from surefooted.report import Finding, Page, Section
from surefooted.studies.base import Study
from surefooted.studies.claims import HUNDREDTHS, claim_gain, claim_gain_over_seeds, over_seeds
from surefooted.studies.intervals import Jackknife, jackknife_interval
from surefooted.studies.method_comparison import figures, tables
from surefooted.studies.method_comparison.design import ComparisonResults, MethodComparison
from surefooted.studies.ranking import NEAREST_BOUNDARY, NEAREST_BOUNDARY_QUICK

# One seed has no variance over seeds, and a claim on the mean over seeds no interval.
SeveralSeeds = Annotated[int, Field(ge=2, description="whole number from 2")]

_EPS = 0.1
_ADVERSARY = {"eps": _EPS, "steps": 7, "step_size": _EPS / 4}
_METHODS = {
    "Vanilla": "vanilla",
    "LS": {"ls": {"eps": 0.05}},
    "AdaLS": {"adals": {"alpha": 0.05}},
    "AR-AdaLS": {"ar_adals": {"alpha": 0.01, "robustness": NEAREST_BOUNDARY}},
    "EntM": "entm",
    "PAT": {"pat": _ADVERSARY},
    "PAT-EntM": {"pat_entm": _ADVERSARY},
    "TRADES": {"trades": _ADVERSARY},
    "UTA-AT": {"uta": {"eps": 2 * _EPS, "step_size": _EPS / 4}},
}


@component
def demo(*, size: Literal["full", "smoke"] = "full", seeds: SeveralSeeds = 3) -> Study:
    """Nine methods on 8×8 digits over several seeds: calibration, robustness, and their relation; a few minutes.

    Args:
        size: smoke is for tests: few epochs, a hundred test images, short attacks. Its numbers mean nothing.
        seeds: trainings per method, at least 2: claims are judged by their spread over seeds.

    Returns:
        The study.

    Example:
        >>> import surefooted as sf
        >>> sf.studies.demo(seeds=2).spec.arguments
        {'size': 'full', 'seeds': 2}
    """
    smoke = size == "smoke"
    comparison = MethodComparison(
        _METHODS,
        net={"small_convnet": {"width": 16}},
        # Few training images, and half of the data for testing, so that errors and over-confidence become visible.
        data={"digits": {"test": 0.5, "validation": 0.3, "train_limit": 300, "test_limit": 100 if smoke else 0}},
        recipe={"recipe": {"epochs": 3 if smoke else 100, "batch": 64}},
        seeds=seeds,
        radii=(0.05, _EPS, 0.15, 2 * _EPS),
        attack={"steps": 5 if smoke else 40},
        boundary_attack=NEAREST_BOUNDARY_QUICK if smoke else NEAREST_BOUNDARY,
    )
    return Study(comparison.tasks, lambda store: _page(ComparisonResults(comparison, store), smoke))


def _page(r: ComparisonResults, smoke: bool) -> Page:
    smoothed, shown = ("AdaLS", "AR-AdaLS"), ("Vanilla", "LS", "AR-AdaLS", "PAT")
    return Page(
        "Surefooted demo",
        "Robustness and calibration of nine training methods on handwritten digits."
        + (" Smoke size: it shows that every part runs; do not interpret its numbers." if smoke else ""),
        tuple(_findings(r)),
        (
            Section(
                "Summary",
                "",
                (tables.summary_table(r, _EPS), tables.interval_table(r), figures.trade_off_figure(r, _EPS)),
            ),
            Section("Robustness", "", (tables.radius_table(r), figures.accuracy_figure(r), figures.distance_figure(r))),
            Section(
                "Robustness and calibration",
                "Accuracy and confidence of images that are close to the decision boundary, and of those far from it.",
                (figures.level_figure(r, shown), figures.reliability_figure(r, (*shown, "EntM", "UTA-AT"))),
            ),
            Section("Adaptive labels", "", (figures.soft_label_figure(r, smoothed),)),
            Section("Examples", "", (figures.example_figure(r, ("Vanilla", "PAT", "UTA-AT"), _EPS),)),
        ),
        collect_provenance(r.comparison.tasks(), r.store),
    )


def _findings(r: ComparisonResults) -> list[Finding]:
    """Claims of the three papers, judged on these runs."""
    names = r.comparison.names
    clean = {name: [accuracy(p) for p in r.clean_predictions(name)] for name in names}
    error = {name: [ece(p) for p in r.clean_predictions(name)] for name in names}
    robust, wide = ({name: r.robust_accuracies(name, eps) for name in names} for eps in (_EPS, 2 * _EPS))

    def claim(text: str, measure: str, high: str, low: str, values: dict[str, list[float]], see: str) -> Finding:
        gains = [a - b for a, b in zip(values[high], values[low])]
        return claim_gain_over_seeds(text, gains, f"{measure}, {high} minus {low}", see=see)

    return [
        *_level_findings(r),
        claim("AR-AdaLS is better calibrated than hard labels.", "ECE", "Vanilla", "AR-AdaLS", error, "summary"),
        claim("AR-AdaLS is better calibrated than AdaLS.", "ECE", "AdaLS", "AR-AdaLS", error, "summary"),
        claim(
            "Entropy maximisation alone is less robust than adversarial training (EntM, table 1).",
            *(f"robust accuracy at {_EPS:g}", "PAT", "EntM", robust, "robust-accuracy"),
        ),
        claim(
            "PAT-EntM is more robust than PAT beyond the radius of training (EntM, table 1).",
            *(f"robust accuracy at {2 * _EPS:g}", "PAT-EntM", "PAT", wide, "robust-accuracy"),
        ),
        claim(
            "PAT-EntM is more accurate than PAT on clean images (EntM, table 1).",
            "accuracy",
            "PAT-EntM",
            "PAT",
            clean,
            "summary",
        ),
        claim(
            "UTA-AT, trained at twice the radius, has a higher clean accuracy than PAT (UTA, figure 2).",
            *("accuracy", "UTA-AT", "PAT", clean, "summary"),
        ),
        claim(
            "Entropy maximisation on top of adversarial training worsens calibration.",
            *("ECE", "PAT-EntM", "PAT", error, "trade-off"),
        ),
    ]


def _level_findings(r: ComparisonResults) -> list[Finding]:
    """AR-AdaLS's observation that images close to the decision boundary are badly calibrated and unstable."""
    # A binned error is biased upwards, more so where accuracy is low; the debiased one is not.
    errors = r.metric_by_level("Vanilla", partial(debiased_ece, norm="l2"))
    networks = [p.log_p for p in r.clean_predictions("Vanilla")]
    level, half = r.levels[0], r.comparison.levels // 2
    compared = f"level 1 minus levels {half + 1}–{r.comparison.levels}"
    return [
        claim_gain_over_seeds(
            "The least robust tenth of images is worse calibrated than the more robust half (AR-AdaLS, figure 1).",
            (errors[:, 0] - errors[:, half:].nanmean(1)).tolist(),
            f"debiased calibration error (root mean square), {compared}",
            see="levels",
        ),
        claim_gain(
            "Predictions are less stable in the least robust tenth than in the more robust half (AR-AdaLS, figure 1).",
            jackknife_interval(Jackknife.of(lambda part: level_variance_gap(part, level, half), networks)),
            f"variance over seeds, {compared}",
            see="levels",
            sampling=over_seeds(r.comparison.seeds),
            unit=HUNDREDTHS,
        ),
    ]
