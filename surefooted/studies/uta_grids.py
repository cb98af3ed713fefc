"""UTA's trade-off tables as grids: PGD-AT and UTA-AT at several training radii under AutoAttack."""

from __future__ import annotations

from typing import Any

from surefooted.studies.grid import Grid

TRAINED = (0.1, 0.2, 0.3, 0.4)
TESTED = (0.05, 0.1, 0.2, 0.3)
NAMES = {"pgd_at": "PGD-AT", "uta": "UTA-AT"}


def name(method: str, eps: float) -> str:
    return f"{NAMES[method]} {eps:g}"


def attack(eps: float) -> str:
    return f"AutoAttack {eps:g}"


def pixels(
    data: Any,
    net: str,
    *,
    epochs: int,
    limit: int,
    seeds: int = 1,
    trained: tuple[float, ...] = TRAINED,
    shorter: dict[str, Any] | None = None,
) -> Grid:
    """Table 1, MNIST and Fashion-MNIST: steps of 0.01, so many that they reach ε; Adam 1e-3.

    Args:
        shorter: options that make AutoAttack so; none is the standard.
    """
    return Grid(
        {name(method, eps): {method: {"eps": eps, "step_size": 0.01}} for method in NAMES for eps in trained},
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white={attack(eps): {"autoattack": {"eps": eps, **(shorter or {})}} for eps in TESTED},
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
    """Table 2: perturbed in the 120 features of a LeNet; UTA with five members, PGD-AT with one; tested in pixels.

    Ten steps, from 0.005 to max(0.005, ε / 5) and back. The paper does not print their number.
    """
    given = {"steps": 10, "step_size": 0.005, "schedule": "triangular", "view": {"latent": {"stage": "fc1"}}}
    members = {"pgd_at": {}, "uta": {"members": 5}}
    return Grid(
        {name(m, eps): {m: {"eps": eps, **given, **members[m]}} for m in NAMES for eps in trained},
        net=net,
        data=data,
        recipe={"uta_lenet": {"epochs": epochs}},
        seeds=seeds,
        white={attack(eps): {"autoattack": {"eps": eps, **(shorter or {})}} for eps in TESTED},
        limit=limit,
    )
