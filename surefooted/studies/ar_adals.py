"""The AR-AdaLS paper: does softening labels by robustness calibrate and stabilise, under shift and in ensembles?"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from surefooted import corruptions
from surefooted.checked import checked
from surefooted.machine import provenance
from surefooted.metrics import debiased_ece, ece
from surefooted.metrics.intervals import Interval, mean_interval, seed_interval
from surefooted.metrics.levels import by_level
from surefooted.metrics.paired import paired_bootstrap
from surefooted.metrics.predictions import Predictions
from surefooted.metrics.stability import variance_of_each
from surefooted.report import Finding, Page, Section
from surefooted.studies import ar_adals_figures as figures
from surefooted.studies import ar_adals_tables as tables
from surefooted.studies.base import Study, finding
from surefooted.studies.reproduced import judged
from surefooted.studies.shifts import OF_ENSEMBLE, Numbers, Shifts

GREY = tuple(kind for kind in corruptions.__all__ if kind != "saturate")  # which needs colour
RANKED = {"nearest_boundary": {"away_from": "prediction"}}
CARLINI_WAGNER = {"carlini_wagner": {"away_from": "prediction"}}


@checked
def ar_adals(*, size: Literal["smoke", "cpu", "paper", "cifar100", "svhn"] = "cpu") -> Study:
    """AR-AdaLS: figures 1 to 8 and tables 2 and 3 of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is Fashion-MNIST with a LeNet, five seeds, the 18
            corruptions that grey images can have, parameters swept on the validation images; under three hours on two
            cores. paper is CIFAR-10 with the paper's network, schedule and parameters, cifar100 and svhn its other
            sets: days without a GPU. The paper's ImageNet is not among them.
    """
    made = SIZES[size]()
    return Study(made.cells, lambda store: page(Numbers(made, store), size))


def smoke() -> Shifts:
    quick = {"nearest_boundary": {"steps": 3, "away_from": "prediction"}}
    few = {"levels": 4, "robustness": quick, "alpha": 0.05}
    return Shifts(
        {
            "Vanilla": ("vanilla",),
            "LS": tuple({"ls": {"eps": eps}} for eps in (0.02, 0.1)),
            "AdaLS": ({"adals": {"alpha": 0.05}},),
            "AR-AdaLS": ({"ar_adals": few},),
            "mixup": ("mixup",),
        },
        tuple({"ar_adals_of_ensemble": {**few, "alpha": alpha, "members": 2}} for alpha in (0.01, 0.05)),
        net="small_convnet",
        data={"digits": {"train_limit": 200, "test_limit": 100, "validation": 0.3}},
        recipe={"recipe": {"epochs": 3}},
        seeds=2,
        types=("gaussian_noise", "contrast"),
        nearest=quick,
        limit=60,
        levels=4,
    )


def cpu() -> Shifts:
    alphas = (0.005, 0.01, 0.05)  # the paper's grids; of its eleven ε for label smoothing four
    return Shifts(
        {
            "Vanilla": ("vanilla",),
            "LS": tuple({"ls": {"eps": eps}} for eps in (0.01, 0.02, 0.05, 0.1)),
            "AdaLS": tuple({"adals": {"alpha": alpha}} for alpha in (*alphas, 0.1)),
            "AR-AdaLS": tuple({"ar_adals": {"alpha": alpha, "robustness": RANKED}} for alpha in alphas),
            "mixup": ("mixup",),
        },
        tuple({"ar_adals_of_ensemble": {"alpha": alpha, "robustness": RANKED}} for alpha in alphas),
        net="lenet",
        data="fashion_mnist",
        recipe={"recipe": {"epochs": 20}},
        seeds=5,
        types=GREY,
        nearest=RANKED,
        limit=2000,
    )


def paper(
    data: Any = "cifar10",
    net: Any = "resnet29_v2",
    recipe: Any = "ar_adals_cifar10",
) -> Shifts:
    return Shifts(
        {
            "Vanilla": ("vanilla",),
            "LS": ({"ls": {"eps": 0.02}},),
            "AdaLS": ({"adals": {"alpha": 0.05}},),
            "AR-AdaLS": ({"ar_adals": {"alpha": 0.005, "robustness": CARLINI_WAGNER}},),
            "mixup": ("mixup",),
        },
        ({"ar_adals_of_ensemble": {"alpha": 0.005, "robustness": CARLINI_WAGNER}},),
        net=net,
        data=data,
        recipe=recipe,
        seeds=5,
        types=tuple(corruptions.__all__),
        nearest=CARLINI_WAGNER,
    )


def cifar100() -> Shifts:
    return paper("cifar100", "wide_resnet28_10", "edward2_wide_resnet")


def svhn() -> Shifts:
    # The paper prints neither network nor schedule: CIFAR-10's, without flips, which would make other digits.
    return paper("svhn", "cnn7", {"recipe": {"epochs": 100, "batch": 256, "augment": ["shift"]}})


SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "cifar100": cifar100, "svhn": svhn}


def page(n: Numbers, size: str) -> Page:
    smoothed = [name for name in n.made.runs if name != OF_ENSEMBLE and name != "mixup"]
    return Page(
        "AR-AdaLS",
        f"Labels softened by adversarial robustness: calibration and stability under shift (size {size}).",
        tuple(findings(n)),
        (
            Section("Summary", "", (tables.summary(n),)),
            Section(
                "Robustness and uncertainty",
                "The paper's figures 1 and 2: what is easily attacked is badly calibrated, and unstable.",
                (figures.levels(n, smoothed), figures.level_variance(n, smoothed)),
            ),
            Section(
                "Under shift",
                "Figure 3 and table 2: single networks.",
                (
                    figures.boxes(n, smoothed, "ece", ensembles=False),
                    figures.boxes(n, smoothed, "variance", ensembles=False),
                    tables.by_intensity(n, ensembles=False),
                    tables.variances(n, smoothed),
                ),
            ),
            Section(
                "Ensembles",
                "Figures 4 to 8 and table 3.",
                (
                    figures.boxes(n, [*smoothed, OF_ENSEMBLE], "ece", ensembles=True),
                    tables.by_intensity(n, ensembles=True),
                    figures.confidences(n, [*smoothed, OF_ENSEMBLE]),
                    figures.reliability(n, [*smoothed, OF_ENSEMBLE]),
                    figures.boxes(n, smoothed, "accuracy", ensembles=False),
                    figures.boxes(n, [*smoothed, OF_ENSEMBLE], "accuracy", ensembles=True),
                ),
            ),
        ),
        provenance(),
    )


def findings(n: Numbers) -> list[Finding]:
    """The paper's claims, judged on these runs."""
    half, compared = n.made.levels // 2, ("Vanilla", "LS", "AdaLS")
    # Without the bias of a binned error, which alone would make levels of low accuracy look worse.
    errors = [by_level(debiased_ece, p, level) for p, level in zip(n.clean["Vanilla"], n.level)]
    unstable = variance_of_each([p.log_p for p in n.clean["Vanilla"]])
    least, most = unstable[n.level[0] == 0], unstable[n.level[0] >= half]
    shift = {name: n.single(ece, name)[:, 1:].mean(1) for name in (*compared, "AR-AdaLS")}
    spread = {name: n.unstable(name) for name in (*compared, "AR-AdaLS")}
    by_image = f"{n.made.seeds} networks a method, 95 % interval over images"
    return [
        finding(
            "The less robust half of the examples is worse calibrated than the other (figure 1).",
            [float(e[:half].nanmean() - e[half:].nanmean()) for e in errors],
            f"debiased ECE, mean of levels 1 to {half} less that of levels {half + 1} to {n.made.levels}",
            see="levels",
            scale=100,
            unit=" points",
        ),
        finding(
            "The least robust tenth is worse calibrated than the more robust half (figure 1).",
            [float(e[0] - e[half:].nanmean()) for e in errors],
            f"debiased ECE, level 1 less the mean of levels {half + 1} to {n.made.levels}",
            see="levels",
            scale=100,
            unit=" points",
        ),
        judged(
            "Less robust examples have less stable predictions (figure 1).",
            _apart(least, most),
            f"variance × 100, level 1 less levels {half + 1} to {n.made.levels}",
            see="level-variance",
            over=by_image,
        ),
        *(
            finding(
                f"AR-AdaLS is better calibrated under shift than {other} (figure 3, table 3).",
                (shift[other] - shift["AR-AdaLS"]).tolist(),
                f"ECE, mean over types and intensities, {other} less AR-AdaLS",
                see="ece-single",
                scale=100,
                unit=" points",
            )
            for other in compared
        ),
        *ensembled(n),
        *(
            judged(
                f"AR-AdaLS is more stable under shift than {other} (figure 3, table 2).",
                mean_interval(spread[other] - spread["AR-AdaLS"]),
                f"variance × 100, mean over types and intensities, {other} less AR-AdaLS",
                see="variances",
                over=by_image,
            )
            for other in compared
        ),
    ]


def ensembled(n: Numbers) -> list[Finding]:
    """What becomes of calibration in an ensemble, one a side: clean, over images, and under shift, over its types."""
    over = "one ensemble, 95 % interval over images"
    whole, singles = (_too_sure(n.ensemble_clean("AR-AdaLS")), [_too_sure(p) for p in n.clean["AR-AdaLS"]])
    apart, off = mean_interval(torch.stack(singles).mean(0) - whole), mean_interval(whole)
    kept = mean_interval(_too_sure(n.ensemble_clean(OF_ENSEMBLE)))
    others = ("Vanilla", "LS", "AdaLS", "AR-AdaLS")
    shift = {name: n.ensemble_by_type(ece, name).mean(1) for name in (*others, OF_ENSEMBLE)}
    gain = paired_bootstrap(ece, n.ensemble_clean("AR-AdaLS"), n.ensemble_clean(OF_ENSEMBLE))
    return [
        judged(
            "Ensembling AR-AdaLS networks lowers confidence against accuracy (figures 5, 6).",
            apart,
            f"confidence less accuracy, single networks ({_points(mean_interval(torch.stack(singles).mean(0)))}) less "
            f"ensemble ({_points(off)})",
            see="confidence",
            over=over,
        ),
        Finding(
            "The ensemble of AR-AdaLS networks is under-confident (figures 5, 6).",
            "holds" if off.high < 0 else "does not hold" if off.low > 0 else "unclear",
            f"confidence less accuracy: {_points(off)}; {over}",
            "confidence",
        ),
        Finding(
            "AR-AdaLS of Ensemble is not under-confident (figure 5).",
            "holds" if kept.high >= 0 else "does not hold",
            f"confidence less accuracy: {_points(kept)}; {over}",
            "confidence",
        ),
        judged(
            "AR-AdaLS of Ensemble is better calibrated on clean images than the ensemble of AR-AdaLS (table 3).",
            gain,
            "ECE, Ensemble of AR-AdaLS less AR-AdaLS of Ensemble",
            see="ece-ensembles",
            over="one ensemble a side, 95 % interval over images",
        ),
        *(
            judged(
                f"AR-AdaLS of Ensemble is better calibrated under shift than the ensemble of {other} (table 3).",
                seed_interval((shift[other] - shift[OF_ENSEMBLE]).tolist()),
                f"ECE, mean over intensities, Ensemble of {other} less AR-AdaLS of Ensemble",
                see="ece-ensembles",
                over=f"one ensemble a side, 95 % interval over {len(n.made.types)} types of corruption",
            )
            for other in others
        ),
    ]


def _too_sure(p: Predictions) -> Tensor:
    """Confidence less correctness of each image."""
    confidence, correct = p.top()
    return confidence.double() - correct.double()


def _apart(first: Tensor, second: Tensor) -> Interval:
    """Difference of the means of two groups of examples, with its normal 95 % interval."""
    value = float(first.mean() - second.mean())
    half = 1.96 * float((first.var() / len(first) + second.var() / len(second)).sqrt())
    return Interval(value, value - half, value + half, len(first) + len(second))


def _points(i: object) -> str:
    value, low, high = (100 * float(getattr(i, part)) for part in ("value", "low", "high"))
    return f"{value:+.2f} points [{low:+.2f}, {high:+.2f}]"
