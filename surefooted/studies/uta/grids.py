"""UTA's trade-off tables as grids: PGD-AT and UTA-AT at several training radii under AutoAttack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from surefooted.components.spec import parse_spec
from surefooted.studies.grid import Grid
from surefooted.studies.paper_numbers import DATA_SET_TITLES

TRAINED = (0.1, 0.2, 0.3, 0.4)
TESTED = (0.05, 0.1, 0.2, 0.3)
LATENT_STEPS = 20
# SVHN's, smaller.
SVHN_TRAINED = (0.01, 0.04, 0.08, 0.12, 0.16)
SVHN_TESTED = (0.005, 0.01, 0.02, 0.04)
# Appendix C.3: at this radius PGD should leave close to nothing.
WIDE = 0.5
# From 0.005 to max(0.005, ε / 5) and back; the paper does not print the number of steps.
TRIANGULAR = {"step_size": 0.005, "schedule": "triangular"}
LATENT = "MNIST, in the latent space"
NAMES = {"pgd_at": "PGD-AT", "uta": "UTA-AT"}
NORMALISED = {"normalise": "channel"}
# Trained on clean images: what the others are to be seen beside.
STANDARD = "Vanilla"


def normalises(net: Any) -> bool:
    """Whether a network normalises its inputs first, which the paper does not mention of its own.

    It decides whether PGD-AT learns at all at large radii.
    """
    return parse_spec(net)[1].get("normalise", "none") != "none"


def labelled(data: str, net: Any) -> str:
    return f"{data}-normalised" if normalises(net) else data


def titled(data: str, net: Any) -> str:
    return f"{DATA_SET_TITLES[data]}, inputs normalised" if normalises(net) else DATA_SET_TITLES[data]


def about_inputs(net: Any) -> str:
    """A sentence on what it does with them, after others; none where it takes pixels as they are."""
    said = (
        " The networks take out the training pixels' mean and standard deviation, and attacks still move pixels by ε; "
        "the paper does not say whether its networks do."
    )
    return said if normalises(net) else ""


def name(method: str, eps: float) -> str:
    return f"{NAMES[method]} {eps:g}"


def attack(eps: float) -> str:
    return f"AutoAttack {eps:g}"


def curve(eps: float) -> str:
    return f"PGD {eps:g}"


def suite(grid: Grid) -> str:
    """Which AutoAttack a grid is tested by."""
    (given,) = grid.white_box[attack(tested_at(grid)[0])].values()
    if (budget := given.get("budget", "full")) != "full":
        return f"AutoAttack in its {budget} budget"
    return "standard AutoAttack" if given.keys() == {"eps"} else "shortened AutoAttack"


def trained_at(grid: Grid) -> list[float]:
    """The training radii of a grid."""
    return sorted({float(one.rsplit(" ", 1)[1]) for one in grid.methods if one != STANDARD})


def tested_at(grid: Grid) -> list[float]:
    """The test radii of a grid's AutoAttack."""
    return _radii(grid, attack)


def both_at(grid: Grid) -> list[float]:
    """The radii of training that AutoAttack tests, too."""
    return [eps for eps in trained_at(grid) if eps in tested_at(grid)]


def drawn_at(grid: Grid) -> list[float]:
    """The test radii of its PGD."""
    return _radii(grid, curve)


def _radii(grid: Grid, called: Callable[[float], str]) -> list[float]:
    radii = (float(one.rsplit(" ", 1)[1]) for one in grid.white_box)
    return [eps for one, eps in zip(grid.white_box, radii) if one == called(eps)]


def pixels(
    data: Any,
    net: Any,
    *,
    epochs: int,
    limit: int,
    seeds: int = 1,
    trained: tuple[float, ...] = TRAINED,
    members: int = 1,
    shorter: dict[str, Any] | None = None,
) -> Grid:
    """Table 1, MNIST and Fashion-MNIST: steps of 0.01, so many that they reach ε; Adam 1e-3.

    Args:
        members: networks that UTA is up to at once (figures 11 and 12: five); PGD-AT has one.
        shorter: options that make AutoAttack so; none is the standard.
    """
    given = {"step_size": 0.01}
    return Grid(
        _trainings(trained, {"pgd_at": {**given, "members": 1}, "uta": {**given, "members": members}}),
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white_box=_attacks(TESTED, **(shorter or {})),
        limit=limit,
    )


def scored(grid: Grid) -> Grid:
    """The same without the attacks that only its figures need."""
    return replace(grid, white_box={attack(eps): grid.white_box[attack(eps)] for eps in tested_at(grid)})


def svhn(*, epochs: int = 100, limit: int = 0, seeds: int = 3) -> Grid:
    """Table 1, SVHN: the larger LeNet; Adam 1e-3, as many epochs as Fashion-MNIST has (the paper prints none)."""
    given = {"steps": 10, **TRIANGULAR}
    return Grid(
        _trainings(SVHN_TRAINED, {"pgd_at": given, "uta": given}),
        net="lenet_svhn",
        data={"svhn": {"validation": 0.0}},
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white_box=_attacks(SVHN_TESTED),
        limit=limit,
    )


def features(
    data: Any,
    *,
    epochs: int,
    limit: int,
    seeds: int = 1,
    trained: tuple[float, ...] = TRAINED,
    net: str = "lenet",
    shorter: dict[str, Any] | None = None,
) -> Grid:
    """Table 2: perturbed in the 120 features of a LeNet; UTA with five members, PGD-AT with one; tested in pixels."""
    # Twice SVHN's steps: ten such are too short together to reach radii of 0.3 and 0.4.
    given = {"steps": LATENT_STEPS, **TRIANGULAR, "view": {"latent": {"stage": "fc1"}}}
    return Grid(
        _trainings(trained, {"pgd_at": given, "uta": {**given, "members": 5}}),
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white_box=_attacks(TESTED, **(shorter or {})),
        limit=limit,
    )


def _trainings(radii: tuple[float, ...], methods: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """No attack, and each method, with its arguments, at every radius."""
    made = {name(method, eps): {method: {"eps": eps, **given}} for method, given in methods.items() for eps in radii}
    return {STANDARD: "vanilla", **made}


def _attacks(radii: tuple[float, ...], **options: Any) -> dict[str, Any]:
    """AutoAttack, with its options, for the tables; for figures 10 to 13 PGD-10, ten runs of it from random starts.

    The paper prints no step of theirs: that of its other PGD-10, ε / 4.
    """
    weaker = {"steps": 10, "restarts": 10}
    return {
        **{attack(eps): {"autoattack": {"eps": eps, **options}} for eps in radii},
        **{curve(eps): {"pgd": {"eps": eps, "step_size": eps / 4, **weaker}} for eps in (*radii, WIDE)},
    }


# Figures 3 and 9c: radii of training, in grey levels.
FAST = (2, 4, 6, 8, 10, 12, 14, 16)
QUICK = ("UTA-1-5", "UTA-2-5")
FAST_TEST = "PGD-50-10"


def fast(k: int, *, limit: int = 0, seeds: int = 3) -> Grid:
    """Methods of one and two steps, trained and tested at k/255: ResNet-18 with dropout, a cyclic rate.

    The paper prints no radius of training for figure 3, and says of 9c that it is of the same experiments: every
    network is tested at its own, as by Andriushchenko and Flammarion, from whom the setup is. Theirs are the test's
    step of ε / 4 and the training mode in which networks are attacked while they train, dropout on. The paper prints
    no step for PGD-2 and UTA-2: half of the radius. UTA's entropy is of the mean over five masks.
    """
    eps = k / 255
    given: dict[str, Any] = {"eps": eps, "mode": "train"}
    one, two = {"steps": 1, "step_size": eps}, {"steps": 2, "step_size": eps / 2}
    masks = {"view": {"mc_dropout": {"samples": 5}}}
    return Grid(
        {
            "FGSM-AT": {"fgsm_at": given},
            "R-FGSM-AT": {"r_fgsm_at": given},
            "PGD-2": {"pgd_at": {**given, **two}},
            QUICK[0]: {"uta": {**given, **one, **masks}},
            QUICK[1]: {"uta": {**given, **two, **masks}},
        },
        net={"resnet18": {"dropout": 0.2}},
        data={"cifar10": {"validation": 0.0}},
        recipe={"uta_cyclic": {"lr": 0.2}},
        recipes={name: {"uta_cyclic": {"lr": 0.1}} for name in QUICK},
        seeds=seeds,
        white_box={FAST_TEST: {"pgd": {"eps": eps, "steps": 50, "step_size": eps / 4, "restarts": 10}}},
        limit=limit,
    )
