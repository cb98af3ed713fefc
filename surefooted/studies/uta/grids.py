"""Grids of UTA's trade-off tables: PGD-AT and UTA-AT at several training radii under AutoAttack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from surefooted.components.spec import parse_spec
from surefooted.errors import ArgumentError
from surefooted.studies.grid import Grid
from surefooted.studies.paper_numbers import DATA_SET_TITLES

# Radii of table 1 for MNIST and Fashion-MNIST and of table 2, and the smaller ones for SVHN.
TRAINING_RADII = (0.1, 0.2, 0.3, 0.4)
TEST_RADII = (0.05, 0.1, 0.2, 0.3)
_SVHN_TRAINING_RADII = (0.01, 0.04, 0.08, 0.12, 0.16)
_SVHN_TEST_RADII = (0.005, 0.01, 0.02, 0.04)
# The balls of any two images overlap at this radius, so PGD should leave accuracy close to 0 (appendix C.3).
OVERLAP_RADIUS = 0.5
# From 0.005 to max(0.005, ε / 5) and back; the paper does not print the number of steps.
_TRIANGULAR_STEPS = {"step_size": 0.005, "schedule": "triangular"}
LATENT_STEPS = 20
# The side of the activation on which a latent space lies, by the stage that ends the encoder.
_LATENT_STAGES = {"after": "fc1", "before": "fc1.linear"}
METHOD_NAMES = {"pgd_at": "PGD-AT", "uta": "UTA-AT"}
NORMALISED_INPUTS = {"normalise": "channel"}
# Training on clean images, for comparison.
STANDARD = "Vanilla"


def normalises_inputs(net: Any) -> bool:
    """Whether a network normalises its inputs first, which the paper does not mention for its own networks.

    It decides whether PGD-AT learns at all at large radii.
    """
    return bool(parse_spec(net)[1].get("normalise", "none") != "none")


def chapter_name(data: str, net: Any) -> str:
    """Name of a data set's chapter."""
    return f"{data}-normalised" if normalises_inputs(net) else data


def chapter_title(data: str, net: Any) -> str:
    """Title of a data set's chapter."""
    return f"{DATA_SET_TITLES[data]}, inputs normalised" if normalises_inputs(net) else DATA_SET_TITLES[data]


def latent_place(grid: Grid) -> str:
    """The side of the ReLU on which a latent grid perturbs features: before or after."""
    (arguments,) = grid.methods[training_key("uta", training_radii(grid)[0])].values()
    stage = arguments["view"]["latent"]["stage"]
    return next(side for side, name in _LATENT_STAGES.items() if name == stage)


def latent_name(grid: Grid) -> str:
    """Name of the chapter of a latent grid."""
    side = "" if latent_place(grid) == "after" else "-before-relu"
    return f"latent{side}{'-normalised' * normalises_inputs(grid.net)}"


def latent_title(grid: Grid) -> str:
    """Title of the chapter of a latent grid."""
    side = "" if latent_place(grid) == "after" else " before the ReLU"
    return f"MNIST, latent space{side}{', inputs normalised' * normalises_inputs(grid.net)}"


def inputs_note(net: Any) -> str:
    """A sentence about normalised inputs, to follow another; empty if the network takes pixels as they are."""
    note = (
        " The networks subtract the mean of the training pixels and divide by their standard deviation. Attacks still "
        "perturb pixels by ε. The paper does not say whether its networks normalise."
    )
    return note if normalises_inputs(net) else ""


def training_key(method: str, eps: float) -> str:
    """Name of a training in a grid."""
    return f"{METHOD_NAMES[method]} {eps:g}"


def autoattack_key(eps: float) -> str:
    """Name of AutoAttack in a grid."""
    return f"AutoAttack {eps:g}"


def pgd_key(eps: float) -> str:
    """Name of PGD-10 in a grid."""
    return f"PGD {eps:g}"


def autoattack_title(grid: Grid) -> str:
    """The version of AutoAttack that a grid uses."""
    (arguments,) = grid.white_box[autoattack_key(autoattack_radii(grid)[0])].values()
    if (budget := arguments.get("budget", "full")) != "full":
        return f"AutoAttack with its {budget} budget"
    return "standard AutoAttack" if arguments.keys() == {"eps"} else "shortened AutoAttack"


def training_radii(grid: Grid) -> list[float]:
    """The training radii of a grid."""
    return sorted({_radius(name) for name in grid.methods if name != STANDARD})


def autoattack_radii(grid: Grid) -> list[float]:
    """The radii of a grid's AutoAttack."""
    return [eps for name in grid.white_box if name == autoattack_key(eps := _radius(name))]


def common_radii(grid: Grid) -> list[float]:
    """The training radii that are also test radii."""
    return [eps for eps in training_radii(grid) if eps in autoattack_radii(grid)]


def pgd_radii(grid: Grid) -> list[float]:
    """The radii of a grid's PGD-10."""
    return [eps for name in grid.white_box if name == pgd_key(eps := _radius(name))]


def _radius(name: str) -> float:
    return float(name.rsplit(" ", 1)[1])


def pixel_grid(
    data: Any,
    net: Any,
    *,
    epochs: int,
    limit: int,
    seeds: int = 1,
    radii: tuple[float, ...] = TRAINING_RADII,
    members: int = 1,
    autoattack: dict[str, Any] | None = None,
) -> Grid:
    """Table 1, MNIST and Fashion-MNIST: as many steps of 0.01 as reach ε; Adam with learning rate 1e-3.

    Args:
        members: networks whose mean prediction UTA attacks (five in figures 11 and 12); PGD-AT has one.
        autoattack: arguments that make AutoAttack cheaper; None for the standard attack.
    """
    arguments = {"step_size": 0.01}
    return Grid(
        _methods(radii, {"pgd_at": {**arguments, "members": 1}, "uta": {**arguments, "members": members}}),
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white_box=_attacks(TEST_RADII, **(autoattack or {})),
        limit=limit,
    )


def select_radii(grid: Grid, radii: tuple[float, ...]) -> Grid:
    """The same grid with these training radii alone; all if there are none."""
    if not radii:
        return grid
    known = training_radii(grid)
    if unknown := [eps for eps in radii if eps not in known]:
        raise ArgumentError(
            f"`radii` contains {', '.join(f'{eps:g}' for eps in unknown)}; the training radii are "
            f"{', '.join(f'{eps:g}' for eps in known)}."
        )
    methods = {name: spec for name, spec in grid.methods.items() if name == STANDARD or _radius(name) in radii}
    return replace(grid, methods=methods)


def score_grid(grid: Grid) -> Grid:
    """The same grid without PGD, which only its figures need."""
    return replace(
        grid, white_box={autoattack_key(eps): grid.white_box[autoattack_key(eps)] for eps in autoattack_radii(grid)}
    )


def svhn_grid(*, epochs: int = 100, limit: int = 0, seeds: int = 3) -> Grid:
    """Table 1, SVHN: the larger LeNet; Adam with learning rate 1e-3.

    The paper prints no number of epochs; we use that of Fashion-MNIST.
    """
    arguments = {"steps": 10, **_TRIANGULAR_STEPS}
    return Grid(
        _methods(_SVHN_TRAINING_RADII, {"pgd_at": arguments, "uta": arguments}),
        net="lenet_svhn",
        data={"svhn": {"validation": 0.0}},
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white_box=_attacks(_SVHN_TEST_RADII),
        limit=limit,
    )


def latent_grid(
    data: Any,
    *,
    epochs: int,
    limit: int,
    seeds: int = 1,
    radii: tuple[float, ...] = TRAINING_RADII,
    net: Any = "lenet",
    relu: Literal["before", "after"] = "after",
    autoattack: dict[str, Any] | None = None,
) -> Grid:
    """Table 2: trained on perturbations of the 120 features of a LeNet, evaluated in pixels.

    UTA has five members, PGD-AT one.

    Args:
        relu: whether the features are those before or after the ReLU of fc1; the paper does not say.
    """
    # Twice SVHN's number of steps: ten of them are too short to reach radii of 0.3 and 0.4.
    arguments = {"steps": LATENT_STEPS, **_TRIANGULAR_STEPS, "view": {"latent": {"stage": _LATENT_STAGES[relu]}}}
    return Grid(
        _methods(radii, {"pgd_at": arguments, "uta": {**arguments, "members": 5}}),
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white_box=_attacks(TEST_RADII, **(autoattack or {})),
        limit=limit,
    )


def _methods(radii: tuple[float, ...], methods: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Training on clean images, and each method at every radius; ``methods`` holds their arguments."""
    trainings = {
        training_key(method, eps): {method: {"eps": eps, **arguments}}
        for method, arguments in methods.items()
        for eps in radii
    }
    return {STANDARD: "vanilla", **trainings}


def _attacks(radii: tuple[float, ...], **options: Any) -> dict[str, Any]:
    """AutoAttack for the tables; for figures 10 to 13 PGD-10 with ten random starts.

    The paper prints no step size for it; we use ε / 4, as in its other PGD-10.

    Args:
        options: arguments of AutoAttack.
    """
    pgd = {"steps": 10, "restarts": 10}
    return {
        **{autoattack_key(eps): {"autoattack": {"eps": eps, **options}} for eps in radii},
        **{pgd_key(eps): {"pgd": {"eps": eps, "step_size": eps / 4, **pgd}} for eps in (*radii, OVERLAP_RADIUS)},
    }


# Figures 3 and 9c: training radii in grey levels, UTA with one and two steps, and the attack of the evaluation.
FAST_RADII = (2, 4, 6, 8, 10, 12, 14, 16)
FAST_UTA = ("UTA-1-5", "UTA-2-5")
FAST_ATTACK = "PGD-50-10"


def fast_grid(k: int, *, limit: int = 0, seeds: int = 3) -> Grid:
    """Methods with one and two steps, trained and evaluated at k/255: ResNet-18 with dropout, a cyclic learning rate.

    The paper prints no training radius for figure 3, and says that 9c shows the same experiments: we evaluate every
    network at its training radius, as Andriushchenko and Flammarion do, whose setup the paper uses. Theirs are also the
    step of ε / 4 in the evaluation and training mode, with dropout, while a network is attacked in training. The paper
    prints no step for PGD-2 and UTA-2; we use half of the radius. UTA's entropy is that of the mean prediction over
    five dropout masks.
    """
    eps = k / 255
    arguments: dict[str, Any] = {"eps": eps, "mode": "train"}
    one, two = {"steps": 1, "step_size": eps}, {"steps": 2, "step_size": eps / 2}
    masks = {"view": {"mc_dropout": {"samples": 5}}}
    return Grid(
        {
            "FGSM-AT": {"fgsm_at": arguments},
            "R-FGSM-AT": {"r_fgsm_at": arguments},
            "PGD-2": {"pgd_at": {**arguments, **two}},
            FAST_UTA[0]: {"uta": {**arguments, **one, **masks}},
            FAST_UTA[1]: {"uta": {**arguments, **two, **masks}},
        },
        net={"resnet18": {"dropout": 0.2}},
        data={"cifar10": {"validation": 0.0}},
        recipe={"uta_cyclic": {"lr": 0.2}},
        recipes={name: {"uta_cyclic": {"lr": 0.1}} for name in FAST_UTA},
        seeds=seeds,
        white_box={FAST_ATTACK: {"pgd": {"eps": eps, "steps": 50, "step_size": eps / 4, "restarts": 10}}},
        limit=limit,
    )
