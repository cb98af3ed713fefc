"""EntM's robustness tables as grids: methods with and without adversarial training under the paper's attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from surefooted.studies.grid import Grid

STEPS = (10, 20, 40)


def methods(adversary: dict[str, Any], *, lam: float = 2.0, gamma: float = 0.74) -> dict[str, Any]:
    """All methods of the paper's tables, by their names there."""
    return {
        "Normal": "vanilla",
        "EntM": {"entm": {"lam": lam}},
        "LS": {"ls": {"eps": gamma}},
        "ADP": "adp",
        "PAT": {"pat": adversary},
        "PAT-EntM": {"pat_entm": {"lam": lam, **adversary}},
        "PAT-LS": {"pat_ls": {"smoothing": gamma, **adversary}},
        "TRADES": {"trades": adversary},
        "TRADES-EntM": {"trades_entm": {"lam": lam, **adversary}},
    }


def proxies(chosen: dict[str, Any]) -> dict[str, Any]:
    """Normal for defences without adversarial training, PAT for those with it (section 5.1)."""
    hardened = ("PAT", "TRADES")
    return {name: "PAT" if name.startswith(hardened) else "Normal" for name in chosen}


def pgd(steps: int, pixels: int, *, objective: str = "cross_entropy", restarts: int = 5) -> dict[str, Any]:
    """PGDp-k and CWp-k: p steps of k/2550 in a ball of k/255, from a Gaussian step of 0.005 (section 5.1)."""
    return {
        "pgd": {
            "eps": pixels / 255,
            "steps": steps,
            "step_size": pixels / 2550,
            "start": "gaussian",
            "sigma": 0.005,
            "objective": objective,
            "restarts": restarts,
        }
    }


def fgsm(pixels: int) -> dict[str, Any]:
    """FGSMk: one step of k/255, from the same starts as PGD."""
    ((name, arguments),) = pgd(1, pixels).items()
    return {name: arguments | {"step_size": pixels / 255}}


def mnist(
    *, seeds: int = 1, limit: int = 0, epochs: int = 40, data: Any = None, net: str = "cnn4", starts: int = 5
) -> Grid:
    """Table 9: MNIST, the four-layer CNN. The paper has no LS, PAT-LS and TRADES-EntM there; we add them."""
    chosen = methods({"eps": 48 / 255, "steps": 10, "step_size": 6 / 255})
    white = {"FGSM32": fgsm(32)} | {f"PGD{p}-{k}": pgd(p, k) for p in STEPS for k in (32, 48)}
    # Five runs, not five restarts: a point that withstood on the proxy may mislead another network all the same.
    black = {f"black-box PGD{p}-{k}": pgd(p, k, restarts=1) for p in STEPS[:2] for k in (32, 48)}
    return Grid(
        chosen,
        net=net,
        data=data or {"mnist": {"validation": 0.0}},
        recipe={"entm_mnist": {"epochs": epochs}},
        seeds=seeds,
        white_box=white,
        black_box=black,
        surrogates=proxies(chosen),
        limit=limit,
        starts=starts,
    )


# Of the paper's methods on MNIST those that are not trained on what an attack found, clipped or not.
FREE = ("Normal", "EntM", "ADP")


def unclipped(grid: Grid) -> Grid:
    """The same networks without adversarial training under attacks that keep to their ball and not to [0, 1].

    The paper does not say whether its attacks clip. On MNIST, where most pixels are 0, that decides: see
    docs/results/entm.md.
    """

    def free(attacks: Mapping[str, Any]) -> dict[str, Any]:
        return {name: {kind: given | {"clip": False}} for name, one in attacks.items() for kind, given in one.items()}

    methods = {name: grid.methods[name] for name in FREE}
    return replace(grid, methods=methods, white_box=free(grid.white_box), black_box=free(grid.black_box))


def is_clipped(grid: Grid) -> bool:
    ((_, given),) = next(iter(grid.white_box.values())).items()
    return bool(given.get("clip", True))


# Where the tables of ResNet-18 are printed, the label smoothing (section 5.1), and how the data are found.
RESNET18: dict[str, tuple[tuple[str, ...], float, Any]] = {
    "cifar10": (("1", "6", "12"), 0.74, {"cifar10": {"validation": 0.0}}),
    "cifar100": (("2", "7", "13"), 0.84, {"cifar100": {"validation": 0.0}}),
    "svhn": (("3", "8"), 0.74, {"svhn": {"validation": 0.0}}),
}
CIFAR_ADVERSARY = {"eps": 8 / 255, "steps": 7, "step_size": 2 / 255}


def resnet18(data: str, *, seeds: int = 3, limit: int = 0) -> Grid:
    """Tables 1 to 3, 6 to 8, 12 and 13: ResNet-18."""
    _, gamma, given = RESNET18[data]
    chosen = methods(CIFAR_ADVERSARY, gamma=gamma)
    white = {"FGSM4": fgsm(4)} | {f"PGD{p}-{k}": pgd(p, k) for p in STEPS for k in (4, 8, 16)}
    white |= {f"CW40-{k}": pgd(40, k, objective="cw_margin") for k in (4, 8, 16)}
    augmented = data != "svhn"
    plain = {"entm_resnet18": {"adversarial": False, "augmented": augmented}}
    return Grid(
        chosen,
        net="resnet18",
        data=given,
        recipe={"entm_resnet18": {"augmented": augmented}},
        recipes={name: plain for name in ("Normal", "EntM", "LS", "ADP")},  # noqa: C420 - each its own
        seeds=seeds,
        white_box=white,
        black_box={f"black-box PGD{p}-{k}": pgd(p, k, restarts=1) for p in STEPS[:2] for k in (4, 8)},
        surrogates=proxies(chosen),
        limit=limit,
    )


def wide(data: str, *, seeds: int = 3, limit: int = 0) -> Grid:
    """Table 11: Wide ResNet-34-10, less entropy (appendix D)."""
    lam = {"cifar10": 1.0, "cifar100": 0.5}[data]
    chosen = methods(CIFAR_ADVERSARY, lam=lam)
    white = {f"PGD40-{k}": pgd(40, k) for k in (4, 8, 16)}
    return Grid(
        {name: chosen[name] for name in ("PAT", "TRADES", "PAT-EntM")},
        net="wide_resnet34_10",
        data=RESNET18[data][2],
        recipe="entm_resnet18",
        seeds=seeds,
        white_box=white | {f"CW40-{k}": pgd(40, k, objective="cw_margin") for k in (4, 8, 16)},
        limit=limit,
    )


def weakest(grid: Grid) -> str:
    """The first attack by PGD: tables list them from the weakest on."""
    return _by_pgd(grid)[0]


def strongest(grid: Grid) -> str:
    """The last attack by PGD."""
    return _by_pgd(grid)[-1]


def _by_pgd(grid: Grid) -> list[str]:
    return [attack for attack in grid.white_box if attack.startswith("PGD")]
