"""The demo: the methods of all three papers on real handwritten digits, in minutes on two cores."""

from __future__ import annotations

from typing import Literal


from surefooted.checked import Count, checked
from surefooted.machine import provenance
from surefooted.metrics import accuracy, ece
from surefooted.report import Finding, Page, Section
from surefooted.store import Store
from surefooted.studies import compare
from surefooted.studies.base import Study, finding
from surefooted.studies.compare import Comparison, Results

EPS = 0.1
ADVERSARY = {"eps": EPS, "steps": 7, "step_size": EPS / 4}
# Three constants of 200 steps at twice the paper's rate: as CW-L2 3 × 500 to within what these small images need.
NEAREST = {"carlini_wagner": {"steps": 200, "lr": 0.01, "away_from": "prediction"}}
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


@checked
def demo(*, size: Literal["full", "smoke"] = "full", seeds: Count = 3) -> Study:
    """Nine methods on 8×8 digits, three seeds: calibration, robustness, and how they hang together (minutes, two cores).

    Args:
        size: smoke trains for a few epochs only: it shows that all runs, its numbers mean nothing.
    """
    smoke = size == "smoke"
    comparison = Comparison(
        METHODS,
        net={"small_convnet": {"width": 16}},
        # Few training images and half of the set for testing: mistakes and over-confidence become visible.
        data={"digits": {"test": 0.5, "validation": 0.3, "train_limit": 300}},
        recipe={"recipe": {"epochs": 3 if smoke else 100, "batch": 64}},
        seeds=seeds,
        ladder=(0.05, EPS, 0.15, 2 * EPS),
        attack={"steps": 40},
        nearest=NEAREST,
    )
    return Study(comparison.cells, lambda store: page(Results(comparison, store)))


def page(r: Results) -> Page:
    smoothed, shown = ("AdaLS", "AR-AdaLS"), ("Vanilla", "LS", "AR-AdaLS", "PAT")
    return Page(
        "Surefooted demo",
        "Do classifiers keep their footing under perturbation, and are they as sure as they should be?",
        tuple(findings(r)),
        (
            Section("Summary", "", (compare.summary(r, EPS), compare.intervals(r), compare.trade_off_figure(r, EPS))),
            Section("Robustness", "", (compare.ladder(r), compare.accuracy_figure(r), compare.size_figure(r))),
            Section(
                "Robustness and calibration",
                "Images whose answer is easy to change are those on which the models err and are too sure of themselves.",
                (compare.level_figure(r, shown), compare.reliability_figure(r, (*shown, "EntM", "UTA-AT"))),
            ),
            Section("Adaptive labels", "", (compare.label_figure(r, smoothed),)),
            Section("Examples", "", (compare.example_figure(r, ("Vanilla", "PAT", "UTA-AT"), EPS),)),
        ),
        provenance(),
    )


def findings(r: Results) -> list[Finding]:
    """Claims of the three papers, judged on these runs."""
    level_ece = r.per_level("Vanilla", ece)
    half = r.comparison.levels // 2
    worse = level_ece[:, 0] - level_ece[:, half:].mean(1)
    variance = r.stability("Vanilla")
    clean = {name: [accuracy(p) for p in r.clean(name)] for name in r.comparison.names}
    robust = {name: r.robust(name, EPS) for name in r.comparison.names}
    wide = {name: r.robust(name, 2 * EPS) for name in r.comparison.names}
    sure = {name: [ece(p) for p in r.clean(name)] for name in r.comparison.names}

    def more(measure: dict[str, list[float]], one: str, other: str) -> list[float]:
        return [a - b for a, b in zip(measure[one], measure[other])]

    points: dict[str, object] = {"scale": 100, "unit": " points"}
    return [
        finding("The least robust tenth of images is worse calibrated than the more robust half (AR-AdaLS, figure 1).",
                worse.tolist(), "ECE, level 1 less levels 6–10", see="levels", **points),
        Finding("The least robust tenth of images has the least stable predictions (AR-AdaLS, figure 1).",
                "holds" if int(variance.argmax()) == 0 else "does not hold",
                f"variance over seeds × 100 by level: {', '.join(f'{100 * float(v):.2f}' for v in variance)}", "levels"),
        finding("AR-AdaLS is better calibrated than training on hard labels.", more(sure, "Vanilla", "AR-AdaLS"),
                "ECE, vanilla less AR-AdaLS", see="summary", **points),
        finding("AR-AdaLS is better calibrated than AdaLS, which does without robustness levels.",
                more(sure, "AdaLS", "AR-AdaLS"), "ECE, AdaLS less AR-AdaLS", see="summary", **points),
        finding("Entropy maximisation alone is less robust than adversarial training (EntM, table 1).",
                more(robust, "PAT", "EntM"), f"robust accuracy at {EPS:g}, PAT less EntM", see="robust-accuracy", **points),
        finding("Entropy maximisation on top of adversarial training helps at perturbations larger than those trained on "
                "(EntM, table 1).", more(wide, "PAT-EntM", "PAT"), f"robust accuracy at {2 * EPS:g}, PAT-EntM less PAT",
                see="robust-accuracy", **points),
        finding("Entropy maximisation keeps or raises clean accuracy beside adversarial training.",
                more(clean, "PAT-EntM", "PAT"), "accuracy, PAT-EntM less PAT", see="summary", **points),
        finding("UTA-AT keeps clean accuracy at twice the radius that PAT trains on (UTA, figure 2).",
                more(clean, "UTA-AT", "PAT"), "accuracy, UTA-AT less PAT", see="summary", **points),
        finding("Methods that maximise entropy are under-confident by design.",
                [-float((p.top()[0] - p.top()[1]).mean()) for p in r.clean("PAT-EntM")],
                "accuracy less confidence, PAT-EntM", see="reliability", **points),
    ]
