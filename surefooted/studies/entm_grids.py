"""EntM's robustness tables as grids: methods with and without adversarial training under the paper's attacks."""

from __future__ import annotations

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
    return {name: chosen["PAT" if name.startswith(hardened) else "Normal"] for name in chosen}


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


def mnist(*, seeds: int = 1, limit: int = 0, epochs: int = 40, data: Any = None, net: str = "cnn4") -> Grid:
    """Table 9: MNIST, the four-layer CNN. The paper has no LS, PAT-LS and TRADES-EntM there; we add them."""
    chosen = methods({"eps": 48 / 255, "steps": 10, "step_size": 6 / 255})
    white = {"FGSM32": fgsm(32)} | {f"PGD{p}-{k}": pgd(p, k) for p in STEPS for k in (32, 48)}
    # Crafted once for all targets: a point that withstood on the proxy may mislead another network all the same.
    black = {f"black-box PGD{p}-{k}": pgd(p, k, restarts=1) for p in STEPS[:2] for k in (32, 48)}
    return Grid(
        chosen,
        net=net,
        data=data or {"mnist": {"validation": 0.0}},
        recipe={"entm_mnist": {"epochs": epochs}},
        seeds=seeds,
        white=white,
        black=black,
        proxies=proxies(chosen),
        limit=limit,
    )


def cifar10(*, seeds: int = 3, limit: int = 0) -> Grid:
    """Tables 1, 6 and 12: CIFAR-10, ResNet-18."""
    chosen = methods({"eps": 8 / 255, "steps": 7, "step_size": 2 / 255})
    white = {"FGSM4": fgsm(4)} | {f"PGD{p}-{k}": pgd(p, k) for p in STEPS for k in (4, 8, 16)}
    white |= {f"CW40-{k}": pgd(40, k, objective="cw_margin") for k in (4, 8, 16)}
    plain = {"entm_resnet18": {"adversarial": False}}
    return Grid(
        chosen,
        net="resnet18",
        data={"cifar10": {"validation": 0.0}},
        recipe="entm_resnet18",
        recipes=dict.fromkeys(("Normal", "EntM", "LS", "ADP"), plain),
        seeds=seeds,
        white=white,
        black={f"black-box PGD{p}-{k}": pgd(p, k, restarts=1) for p in STEPS[:2] for k in (4, 8)},
        proxies=proxies(chosen),
        limit=limit,
    )
