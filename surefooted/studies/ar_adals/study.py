"""The AR-AdaLS paper: labels softened by robustness, and calibration and stability under shift and in ensembles."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from surefooted.components.component import component
from surefooted.pipeline.tasks import collect_provenance
from surefooted.report import Page, Section
from surefooted.studies.ar_adals import figures, tables
from surefooted.studies.ar_adals.design import JOINT_AR_ADALS, ShiftDesign
from surefooted.studies.ar_adals.findings import findings
from surefooted.studies.ar_adals.results import ShiftResults
from surefooted.studies.base import Study
from surefooted.studies.ranking import CARLINI_WAGNER, NEAREST_BOUNDARY, NEAREST_BOUNDARY_QUICK
from surefooted.studies.scope import Scope

# The 19 corruption types of the paper (CIFAR-10-C), in the official order. They are listed by name, so that a
# corruption that is added to the library does not change the reproduction.
PAPER_TYPES = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    *("speckle_noise", "gaussian_blur", "spatter", "saturate"),
)
# Types that grey images can have; "saturate" needs colour.
GREY_TYPES = tuple(kind for kind in PAPER_TYPES if kind != "saturate")


@component
def ar_adals(
    *,
    size: Literal["smoke", "cpu", "paper", "released", "cifar100", "svhn"] = "cpu",
    seeds: Annotated[int, Field(ge=0)] = 0,
    epochs: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=0)] | None = None,
) -> Study:
    """AR-AdaLS: figures 1 to 8 and tables 1 to 3 of the paper, with its numbers beside ours.

    Args:
        size: smoke tests that everything runs; its numbers mean nothing. cpu is Fashion-MNIST with a LeNet, five seeds
            and the 18 corruption types that grey images can have; parameters are swept on the validation images. It
            takes about seventy minutes on two cores. paper is CIFAR-10 with the paper's network, schedule and
            parameters. released is the same on the official corrupted images (a folder CIFAR-10-C below the data root)
            instead of ours. cifar100 and svhn are the paper's other data sets, without ImageNet. These four take days
            without a GPU.
        seeds: trainings per method, which are also the members of its ensemble; 0 for as many as the size has.
        epochs: of every training; 0 for as many as the size has.
        limit: number of corrupted images, from the start of the test set, 0 for all; by default as many as the size
            has.

    Returns:
        The study.

    Reference: Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*.

    Example:
        >>> import surefooted as sf
        >>> sf.studies.ar_adals(size="smoke", seeds=1).spec.name
        'ar_adals'
    """
    scope = Scope(seeds, epochs, limit)
    design = scope.narrow(_SIZES[size]())
    return Study(design.tasks, lambda store: _page(ShiftResults(design, store), f"(size {size}).{scope.describe()}"))


def smoke() -> ShiftDesign:
    """The smallest design, which tests that everything runs."""
    few = {"levels": 4, "robustness": NEAREST_BOUNDARY_QUICK, "alpha": 0.05}
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
        boundary_attack=NEAREST_BOUNDARY_QUICK,
        limit=60,
        levels=4,
    )


def cpu() -> ShiftDesign:
    """Fashion-MNIST with a LeNet; the grids of α are the paper's, with four of its eleven ε for label smoothing."""
    alphas = (0.005, 0.01, 0.05)
    return ShiftDesign(
        {
            "Vanilla": ("vanilla",),
            "LS": tuple({"ls": {"eps": eps}} for eps in (0.01, 0.02, 0.05, 0.1)),
            "AdaLS": tuple({"adals": {"alpha": alpha}} for alpha in (*alphas, 0.1)),
            "AR-AdaLS": tuple({"ar_adals": {"alpha": alpha, "robustness": NEAREST_BOUNDARY}} for alpha in alphas),
            "mixup": ("mixup",),
        },
        tuple({"ar_adals_of_ensemble": {"alpha": alpha, "robustness": NEAREST_BOUNDARY}} for alpha in alphas),
        net="lenet",
        data="fashion_mnist",
        recipe={"recipe": {"epochs": 20}},
        seeds=5,
        types=GREY_TYPES,
        boundary_attack=NEAREST_BOUNDARY,
        limit=2000,
    )


def paper(
    data: Any = "cifar10",
    net: Any = "resnet29_v2",
    recipe: Any = "ar_adals_cifar10",
) -> ShiftDesign:
    """The paper's methods, parameters and corruption types, by default on CIFAR-10 with the paper's network."""
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
        types=PAPER_TYPES,
        boundary_attack=CARLINI_WAGNER,
    )


def _released() -> ShiftDesign:
    return replace(paper(), release="CIFAR-10-C")


def _cifar100() -> ShiftDesign:
    return paper("cifar100", "wide_resnet28_10", "edward2_wide_resnet")


def _svhn() -> ShiftDesign:
    # The paper mentions a network of seven convolutions, but prints neither its layers nor a schedule. Images are not
    # flipped: a flipped digit is another shape.
    return paper("svhn", "cnn7", {"recipe": {"epochs": 100, "batch": 256, "augment": ["shift"]}})


_SIZES = {"smoke": smoke, "cpu": cpu, "paper": paper, "released": _released, "cifar100": _cifar100, "svhn": _svhn}


def _page(n: ShiftResults, scope: str) -> Page:
    smoothed = [name for name in n.design.runs if name not in (JOINT_AR_ADALS, "mixup")]
    return Page(
        "AR-AdaLS",
        f"Labels softened by adversarial robustness: calibration and stability under shift {scope}",
        tuple(findings(n)),
        (
            Section("Summary", "", (tables.setup_table(n), tables.network_table(n))),
            Section(
                "Robustness and uncertainty",
                "Figures 1 and 2: images close to the decision boundary are badly calibrated, and their predictions "
                "are unstable.",
                (figures.calibration_by_level(n, smoothed), figures.level_variance(n, smoothed)),
            ),
            Section(
                "Under shift",
                "Figure 3 and table 2: single networks.",
                (
                    figures.shift_boxes(
                        n, smoothed, "ece", "figures 3, 7", ensembles=False, extra_ensembles=("Vanilla",)
                    ),
                    figures.shift_boxes(n, smoothed, "variance", "figure 3", ensembles=False),
                    tables.ece_table(n, ensembles=False),
                    tables.variance_table(n, smoothed),
                ),
            ),
            Section(
                "Ensembles",
                "Figures 4 to 8 and table 3.",
                (
                    figures.shift_boxes(n, [*smoothed, JOINT_AR_ADALS], "ece", "figures 4, 7", ensembles=True),
                    tables.ece_table(n, ensembles=True),
                    figures.ensemble_confidence(n, [*smoothed, JOINT_AR_ADALS]),
                    figures.ensemble_reliability(n, [*smoothed, JOINT_AR_ADALS]),
                    figures.shift_boxes(n, smoothed, "accuracy", "figure 7", ensembles=False),
                    figures.shift_boxes(n, [*smoothed, JOINT_AR_ADALS], "accuracy", "figure 7", ensembles=True),
                ),
            ),
        ),
        collect_provenance(n.design.tasks(), n.store),
    )
