"""UTA's trade-off tables as grids: PGD-AT and UTA-AT at several training radii under AutoAttack."""

from __future__ import annotations

from typing import Any

from surefooted.studies.grid import Grid

TRAINED = (0.1, 0.2, 0.3, 0.4)
TESTED = (0.05, 0.1, 0.2, 0.3)
LATENT_STEPS = 20
# SVHN's, smaller.
SVHN_TRAINED = (0.01, 0.04, 0.08, 0.12, 0.16)
SVHN_TESTED = (0.005, 0.01, 0.02, 0.04)
# From 0.005 to max(0.005, ε / 5) and back; the paper does not print the number of steps.
TRIANGULAR = {"step_size": 0.005, "schedule": "triangular"}
LATENT = "MNIST, in the latent space"
NAMES = {"pgd_at": "PGD-AT", "uta": "UTA-AT"}


def name(method: str, eps: float) -> str:
    return f"{NAMES[method]} {eps:g}"


def attack(eps: float) -> str:
    return f"AutoAttack {eps:g}"


def suite(grid: Grid) -> str:
    """Which AutoAttack a grid is tested by."""
    (given,) = next(iter(grid.white.values())).values()
    if (budget := given.get("budget", "full")) != "full":
        return f"AutoAttack in its {budget} budget"
    return "standard AutoAttack" if given.keys() == {"eps"} else "shortened AutoAttack"


def trained_at(grid: Grid) -> list[float]:
    """The training radii of a grid."""
    return sorted({float(one.rsplit(" ", 1)[1]) for one in grid.methods})


def tested_at(grid: Grid) -> list[float]:
    """The test radii of a grid."""
    return [float(one.rsplit(" ", 1)[1]) for one in grid.white]


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
        white=_autoattacks(TESTED, **(shorter or {})),
        limit=limit,
    )


def svhn(*, epochs: int = 100, limit: int = 0, seeds: int = 3) -> Grid:
    """Table 1, SVHN: the larger LeNet; Adam 1e-3, as many epochs as Fashion-MNIST has (the paper prints none)."""
    given = {"steps": 10, **TRIANGULAR}
    return Grid(
        _trainings(SVHN_TRAINED, {"pgd_at": given, "uta": given}),
        net="lenet_svhn",
        data={"svhn": {"validation": 0.0}},
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white=_autoattacks(SVHN_TESTED),
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
        white=_autoattacks(TESTED, **(shorter or {})),
        limit=limit,
    )


def _trainings(radii: tuple[float, ...], methods: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each method, with its arguments, at every radius."""
    return {name(method, eps): {method: {"eps": eps, **given}} for method, given in methods.items() for eps in radii}


def _autoattacks(radii: tuple[float, ...], **options: Any) -> dict[str, Any]:
    return {attack(eps): {"autoattack": {"eps": eps, **options}} for eps in radii}


# Figures 3 and 9c: radii of training, in grey levels.
FAST = (2, 4, 6, 8, 10, 12, 14, 16)


def fast(k: int) -> dict[str, Any]:
    """Methods of figures 3 and 9c at a radius of k/255; UTA by the mean of five dropout masks."""
    eps = k / 255
    masks = {"view": {"mc_dropout": {"samples": 5}}}
    return {
        f"FGSM-AT {k}": {"fgsm_at": {"eps": eps}},
        f"R-FGSM-AT {k}": {"r_fgsm_at": {"eps": eps}},
        f"PGD-2 {k}": {"pgd_at": {"eps": eps, "steps": 2, "step_size": eps / 2}},
        f"UTA-1-5 {k}": {"uta": {"eps": eps, "steps": 1, "step_size": eps, **masks}},
        f"UTA-2-5 {k}": {"uta": {"eps": eps, "steps": 2, "step_size": eps / 2, **masks}},
    }


def fast_robust(*, limit: int = 0, seeds: int = 3) -> Grid:
    """Figure 3: trained at 8/255, PGD of 50 steps and 10 restarts at several test radii."""
    attacks = {f"PGD-50-10 {k}": {"pgd": {"eps": k / 255, "steps": 50, "restarts": 10}} for k in FAST}
    return _fast(fast(8), attacks, limit, seeds)


def fast_clean(*, seeds: int = 3) -> Grid:
    """Figure 9c: clean accuracy of networks trained at several radii."""
    return _fast({name: method for k in FAST for name, method in fast(k).items()}, {}, 0, seeds)


def _fast(methods: dict[str, Any], attacks: dict[str, Any], limit: int, seeds: int) -> Grid:
    """ResNet-18 with dropout, a cyclic rate. The paper prints no step for PGD-2 and UTA-2: half of the radius."""
    return Grid(
        methods,
        net={"resnet18": {"dropout": 0.2}},
        data={"cifar10": {"validation": 0.0}},
        recipe="uta_cyclic",
        recipes={name: {"uta_cyclic": {"lr": 0.1 if name.startswith("UTA") else 0.2}} for name in methods},
        seeds=seeds,
        white=attacks,
        limit=limit,
    )
