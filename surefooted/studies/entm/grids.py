"""Grids of EntM's robustness tables: methods with and without adversarial training under the paper's attacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from surefooted.pipeline.tasks import AttackTask, PredictTask, attack_task, load_splits
from surefooted.studies.grid import Grid

_STEPS = (10, 20, 40)


def paper_methods(adversary: dict[str, Any], *, lam: float = 2.0, gamma: float = 0.74) -> dict[str, Any]:
    """The methods of the paper's tables, by their names there.

    Args:
        adversary: arguments of the attack in adversarial training.
        lam: weight λ of the entropy.
        gamma: label smoothing γ.
    """
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


def proxy_methods(names: Iterable[str]) -> dict[str, str]:
    """The proxy's method: Normal for defences without adversarial training, PAT for those with it (section 5.1)."""
    adversarial = ("PAT", "TRADES")
    return {name: "PAT" if name.startswith(adversarial) else "Normal" for name in names}


def pgd_attack(steps: int, k: int, *, objective: str = "cross_entropy", restarts: int = 5) -> dict[str, Any]:
    """PGDp-k and CWp-k: p steps of k/2550 in a ball of radius k/255, from a Gaussian step of 0.005 (section 5.1)."""
    return {
        "pgd": {
            "eps": k / 255,
            "steps": steps,
            "step_size": k / 2550,
            "start": "gaussian",
            "sigma": 0.005,
            "objective": objective,
            "restarts": restarts,
        }
    }


def fgsm_attack(k: int) -> dict[str, Any]:
    """FGSMk: one step of k/255, from the same starting points as PGD."""
    ((name, arguments),) = pgd_attack(1, k).items()
    return {name: arguments | {"step_size": k / 255}}


def mnist_grid(
    *,
    seeds: int = 1,
    limit: int = 0,
    epochs: int = 40,
    data: Any = None,
    net: str = "cnn4",
    steps: tuple[int, ...] = _STEPS,
    starts: int = 5,
) -> Grid:
    """Table 9: MNIST, the four-layer CNN. We add LS, PAT-LS and TRADES-EntM, which the paper does not have there.

    Args:
        steps: numbers of steps of the attacks, growing. Black-box attacks take all but the largest.
        starts: restarts of each attack, and runs of each black-box attack.
    """
    methods = paper_methods({"eps": 48 / 255, "steps": 10, "step_size": 6 / 255})
    white = {f"PGD{p}-{k}": pgd_attack(p, k, restarts=starts) for p in steps for k in (32, 48)}
    # Runs, not restarts: a point that does not fool the proxy can still fool another network.
    black = {f"black-box PGD{p}-{k}": pgd_attack(p, k, restarts=1) for p in steps[:-1] for k in (32, 48)}
    return Grid(
        methods,
        net=net,
        data=data or {"mnist": {"validation": 0.0}},
        recipe={"entm_mnist": {"epochs": epochs}},
        seeds=seeds,
        white_box={"FGSM32": fgsm_attack(32), **white},
        black_box=black,
        surrogates=proxy_methods(methods),
        limit=limit,
        starts=starts,
    )


# The paper's methods on MNIST. Networks without adversarial training do not depend on clipping; those with it were
# trained on adversarial examples within [0, 1].
_UNCLIPPED_METHODS = ("Normal", "EntM", "ADP", "PAT", "PAT-EntM", "TRADES")


def unclipped_grid(grid: Grid) -> Grid:
    """The paper's methods under attacks that stay in their ball but may leave [0, 1].

    The paper does not say whether its attacks clip. On MNIST, where most pixels are 0, the results depend on it: see
    docs/results/entm.md.
    """

    def unclip(attacks: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: {kind: arguments | {"clip": False}}
            for name, attack in attacks.items()
            for kind, arguments in attack.items()
        }

    methods = {name: grid.methods[name] for name in _UNCLIPPED_METHODS}
    return replace(grid, methods=methods, white_box=unclip(grid.white_box), black_box=unclip(grid.black_box))


def is_clipped(grid: Grid) -> bool:
    """Whether the attacks of a grid stay in [0, 1]."""
    ((_, arguments),) = next(iter(grid.white_box.values())).items()
    return bool(arguments.get("clip", True))


class PaperData(NamedTuple):
    """A data set of the ResNet-18 tables: the tables' numbers, the label smoothing γ (section 5.1), and its spec."""

    tables: tuple[str, ...]
    gamma: float
    data: dict[str, Any]


RESNET18_DATA = {
    "cifar10": PaperData(("1", "6", "12"), 0.74, {"cifar10": {"validation": 0.0}}),
    "cifar100": PaperData(("2", "7", "13"), 0.84, {"cifar100": {"validation": 0.0}}),
    "svhn": PaperData(("3", "8"), 0.74, {"svhn": {"validation": 0.0}}),
}
_CIFAR_ADVERSARY = {"eps": 8 / 255, "steps": 7, "step_size": 2 / 255}


def resnet18_grid(data: str, *, seeds: int = 3, limit: int = 0) -> Grid:
    """Tables 1 to 3, 6 to 8, 12 and 13: ResNet-18."""
    paper = RESNET18_DATA[data]
    methods = paper_methods(_CIFAR_ADVERSARY, gamma=paper.gamma)
    white = {"FGSM4": fgsm_attack(4)} | {f"PGD{p}-{k}": pgd_attack(p, k) for p in _STEPS for k in (4, 8, 16)}
    white |= {f"CW40-{k}": pgd_attack(40, k, objective="cw_margin") for k in (4, 8, 16)}
    augmented = data != "svhn"
    standard = {"entm_resnet18": {"adversarial": False, "augmented": augmented}}
    return Grid(
        methods,
        net="resnet18",
        data=paper.data,
        recipe={"entm_resnet18": {"augmented": augmented}},
        recipes=dict.fromkeys(("Normal", "EntM", "LS", "ADP"), standard),
        seeds=seeds,
        white_box=white,
        black_box={f"black-box PGD{p}-{k}": pgd_attack(p, k, restarts=1) for p in _STEPS[:2] for k in (4, 8)},
        surrogates=proxy_methods(methods),
        limit=limit,
    )


def wide_resnet_grid(data: str, *, seeds: int = 3, limit: int = 0) -> Grid:
    """Table 11: Wide ResNet-34-10, with a smaller weight of the entropy (appendix D)."""
    lam = {"cifar10": 1.0, "cifar100": 0.5}[data]
    methods = paper_methods(_CIFAR_ADVERSARY, lam=lam)
    white = {f"PGD40-{k}": pgd_attack(40, k) for k in (4, 8, 16)}
    return Grid(
        {name: methods[name] for name in ("PAT", "TRADES", "PAT-EntM")},
        net="wide_resnet34_10",
        data=RESNET18_DATA[data].data,
        recipe="entm_resnet18",
        seeds=seeds,
        white_box=white | {f"CW40-{k}": pgd_attack(40, k, objective="cw_margin") for k in (4, 8, 16)},
        limit=limit,
    )


def weakest_pgd(grid: Grid) -> str:
    """Name of the first PGD attack; tables list attacks from the weakest to the strongest."""
    return _pgd_names(grid)[0]


def strongest_pgd(grid: Grid) -> str:
    """Name of the last PGD attack."""
    return _pgd_names(grid)[-1]


def chance_accuracy(grid: Grid) -> float:
    """Accuracy of a uniform guess on a grid's data."""
    first = next(iter(grid.trained.values()))[0]
    return 1 / len(load_splits(first.data).test.classes)


def second_trainings(grid: Grid) -> dict[tuple[str, str], PredictTask | AttackTask]:
    """Clean and attacked accuracy of the surrogates, by method and attack ("" for clean images).

    A surrogate is a second network of its method, which shows how much accuracy depends on the training seed.
    """
    tasks: dict[tuple[str, str], PredictTask | AttackTask] = {}
    for name, net in grid.surrogate_nets.items():
        tasks[name, ""] = PredictTask(net)
        for attack in (weakest_pgd(grid), strongest_pgd(grid)):
            tasks[name, attack] = attack_task(net, grid.white_box[attack], limit=grid.limit, keep_points=False)
    return tasks


def _pgd_names(grid: Grid) -> list[str]:
    return [attack for attack in grid.white_box if attack.startswith("PGD")]
