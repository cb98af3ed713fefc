"""The AR-AdaLS paper: does softening labels by robustness calibrate and stabilise, under shift and in ensembles?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from surefooted.components.component import component
from surefooted.data import corruptions
from surefooted.pipeline.tasks import collect_provenance
from surefooted.report import Page, Section
from surefooted.studies.ar_adals import figures, tables
from surefooted.studies.ar_adals.design import OF_ENSEMBLE, ShiftDesign
from surefooted.studies.ar_adals.findings import findings
from surefooted.studies.ar_adals.results import ShiftResults
from surefooted.studies.base import Study
from surefooted.studies.ranking import CARLINI_WAGNER, NEAREST, QUICK

GREY = tuple(kind for kind in corruptions.__all__ if kind != "saturate")  # which needs colour


@component
def ar_adals(*, size: Literal["smoke", "cpu", "paper", "released", "cifar100", "svhn"] = "cpu") -> Study:
    """AR-AdaLS: figures 1 to 8 and tables 1 to 3 of the paper, with its numbers beside ours.

    Args:
        size: smoke shows that all runs, its numbers mean nothing. cpu is Fashion-MNIST with a LeNet, five seeds, the 18
            corruptions that grey images can have, parameters swept on the validation images; some seventy minutes on
            two cores. paper is CIFAR-10 with the paper's network, schedule and parameters, released the same on the
            official corrupted images (a folder CIFAR-10-C below the data root) instead of ours, cifar100 and svhn its
            other sets: days without a GPU. The paper's ImageNet is not among them.
    """
    made = SIZES[size]()
    return Study(made.tasks, lambda store: page(ShiftResults(made, store), size))


def smoke() -> ShiftDesign:
    few = {"levels": 4, "robustness": QUICK, "alpha": 0.05}
    return ShiftDesign(
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
        nearest=QUICK,
        limit=60,
        levels=4,
    )


def cpu() -> ShiftDesign:
    alphas = (0.005, 0.01, 0.05)  # the paper's grids; of its eleven ε for label smoothing four
    return ShiftDesign(
        {
            "Vanilla": ("vanilla",),
            "LS": tuple({"ls": {"eps": eps}} for eps in (0.01, 0.02, 0.05, 0.1)),
            "AdaLS": tuple({"adals": {"alpha": alpha}} for alpha in (*alphas, 0.1)),
            "AR-AdaLS": tuple({"ar_adals": {"alpha": alpha, "robustness": NEAREST}} for alpha in alphas),
            "mixup": ("mixup",),
        },
        tuple({"ar_adals_of_ensemble": {"alpha": alpha, "robustness": NEAREST}} for alpha in alphas),
        net="lenet",
        data="fashion_mnist",
        recipe={"recipe": {"epochs": 20}},
        seeds=5,
        types=GREY,
        nearest=NEAREST,
        limit=2000,
    )


def paper(
    data: Any = "cifar10",
    net: Any = "resnet29_v2",
    recipe: Any = "ar_adals_cifar10",
) -> ShiftDesign:
    return ShiftDesign(
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


def released() -> ShiftDesign:
    return replace(paper(), release="CIFAR-10-C")


def cifar100() -> ShiftDesign:
    return paper("cifar100", "wide_resnet28_10", "edward2_wide_resnet")


def svhn() -> ShiftDesign:
    # The paper names a network of seven convolutions, and prints neither it nor a schedule. No flips: they would make
    # other digits.
    return paper("svhn", "cnn7", {"recipe": {"epochs": 100, "batch": 256, "augment": ["shift"]}})


SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "released": released, "cifar100": cifar100, "svhn": svhn}


def page(n: ShiftResults, size: str) -> Page:
    smoothed = [name for name in n.made.runs if name != OF_ENSEMBLE and name != "mixup"]
    return Page(
        "AR-AdaLS",
        f"Labels softened by adversarial robustness: calibration and stability under shift (size {size}).",
        tuple(findings(n)),
        (
            Section("Summary", "", (tables.base(n), tables.summary(n))),
            Section(
                "Robustness and uncertainty",
                "The paper's figures 1 and 2: what is easily attacked is badly calibrated, and unstable.",
                (figures.levels(n, smoothed), figures.level_variance(n, smoothed)),
            ),
            Section(
                "Under shift",
                "Figure 3 and table 2: single networks.",
                (
                    figures.boxes(n, smoothed, "ece", "figures 3, 7", ensembles=False, beside=("Vanilla",)),
                    figures.boxes(n, smoothed, "variance", "figure 3", ensembles=False),
                    tables.by_intensity(n, ensembles=False),
                    tables.variances(n, smoothed),
                ),
            ),
            Section(
                "Ensembles",
                "Figures 4 to 8 and table 3.",
                (
                    figures.boxes(n, [*smoothed, OF_ENSEMBLE], "ece", "figures 4, 7", ensembles=True),
                    tables.by_intensity(n, ensembles=True),
                    figures.confidences(n, [*smoothed, OF_ENSEMBLE]),
                    figures.reliability(n, [*smoothed, OF_ENSEMBLE]),
                    figures.boxes(n, smoothed, "accuracy", "figure 7", ensembles=False),
                    figures.boxes(n, [*smoothed, OF_ENSEMBLE], "accuracy", "figure 7", ensembles=True),
                ),
            ),
        ),
        collect_provenance(n.made.tasks(), n.store),
    )
