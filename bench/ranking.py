"""Minimum-norm attacks side by side: how small, how dear, and do they rank examples alike? Peers where importable.

    python bench/ranking.py --data-root DIR [--images 96] [--repeats 1] [--models mnist fashion_mnist digits]
        [--only PART ...]

Each is run from the model's own prediction, as AR-AdaLS needs it; what came out is judged here, on the model, by one
ruler for all. Forward passes and gradients are counted at the model's door, a row each; CPU seconds are the median of
alternating runs. "like CW-L2" and "like the least" compare the ranking with that of our CW-L2 3 × 500 and with the
least perturbation that anything here found: Spearman's correlation, and the share of examples in the same or a
neighbouring one of ten levels. Rows that were not found rank last. The last lines say how far CW-L2
agrees with itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from math import inf
from typing import NamedTuple

import torch
from timing import alternate, environment
from torch import Tensor, nn

import surefooted as sf
from surefooted.attacks import carlini_wagner, ddn, fab, fmn, nearest_boundary
from surefooted.attacks.base import Attack
from surefooted.core.types import Points
from surefooted.data.paths import set_data_root
from surefooted.evaluation.metrics.levels import levels_of

Run = Callable[[nn.Module, Tensor, Tensor], Tensor]
MODELS = {
    "mnist": ("lenet", {"mnist": {"train_limit": 10_000}}, {"recipe": {"epochs": 5}}),
    "fashion_mnist": ("lenet", {"fashion_mnist": {"train_limit": 10_000}}, {"recipe": {"epochs": 6}}),
    "digits": (
        {"small_convnet": {"width": 16}},
        {"digits": {"test": 0.5, "validation": 0.3, "train_limit": 300}},
        {"recipe": {"epochs": 100, "batch": 64}},
    ),
}
REFERENCE = "CW-L2 3×500"
COLUMNS = {
    "found": 8,
    "mean": 8,
    "median": 8,
    "forward": 9,
    "grad": 8,
    "CPU s": 8,
    "like CW-L2": 18,
    "like the least": 18,
}


class Found(NamedTuple):
    """Size of each row's perturbation, infinite where not found; forward passes and gradients for a row."""

    size: Tensor
    forward: float
    gradient: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=1, help="timed runs, after one to warm up")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--only", nargs="+", default=[], help="contenders whose name holds one of these")
    parser.add_argument("--long", type=int, default=1500, help="steps of the long CW-L2, with 6 constants; 0 for none")
    options = parser.parse_args()
    set_data_root(options.data_root)
    torch.set_num_threads(1)
    runs = OURS | {
        name: run for package, theirs in PEERS.items() if importable(package) for name, run in theirs.items()
    }
    chosen = {n: r for n, r in runs.items() if n == REFERENCE or any(part in n for part in options.only or [""])}
    print(f"{options.images} images; {environment()}")
    for name in options.models:
        report(name, chosen, options)


def report(name: str, runs: dict[str, Run], options: argparse.Namespace) -> None:
    trained = sf.train("vanilla", *MODELS[name])
    points = trained.data.test.points(slice(0, options.images))
    net = trained.net.eval().requires_grad_(False)
    y = net(points.x).argmax(1)
    found = {who: counted(run, net, points.x, y) for who, run in runs.items()}
    beside = {"50 planes, 9 targets": ours(nearest_boundary(**OWN, steps=50, targets=9))}
    if options.long:
        # Alike in all but length, and unlike in all but the objective: what CW-L2's own ranking is worth.
        beside[f"CW-L2 6×{options.long}"] = ours(carlini_wagner(**OWN, search_steps=6, steps=options.long))
        beside["CW-L2 3×500, from c = 0.1"] = ours(carlini_wagner(**OWN, constant=0.1))
    found |= {who: counted(run, net, points.x, y) for who, run in beside.items()}
    times = alternate({who: partial(run, net, points.x, y) for who, run in runs.items()}, options.repeats)
    least = torch.stack([one.size for one in found.values()]).amin(0)
    print(f"\n{name}: {trained.task.label}; mean of the least found {float(least.mean()):.4f}")
    titles = "".join(f"{title:>{width}}" for title, width in COLUMNS.items())
    print(f"{'':28}{titles}")
    for who, one in found.items():
        there = one.size < inf
        seconds = f"{times[who].cpu:8.2f}" if who in times else f"{'':8}"
        print(
            f"{who:28}{100 * float(there.float().mean()):6.1f} %{float(one.size[there].mean()):8.4f}"
            f"{float(one.size.median()):8.4f}{one.forward:9.1f}{one.gradient:8.1f}{seconds}"
            f"{alike(one.size, found[REFERENCE].size):>18}{alike(one.size, least):>18}"
        )
    full = {who: times[who].cpu for who, one in found.items() if who in times and bool((one.size < inf).all())}
    peers = {who: cpu for who, cpu in full.items() if who not in OURS and "CW" in who}
    if peers and REFERENCE in full:
        fastest = min(peers, key=peers.__getitem__)
        print(
            f"  fastest CW-L2 of the peers that finds all ({fastest}) over ours: {peers[fastest] / full[REFERENCE]:.2f}"
        )


def alike(size: Tensor, other: Tensor) -> str:
    from scipy.stats import spearmanr

    near = ((levels_of(size) - levels_of(other)).abs() <= 1).float().mean()
    return f"{spearmanr(size, other).statistic:.4f} {100 * float(near):5.1f} %"


def counted(run: Run, net: nn.Module, x: Tensor, y: Tensor) -> Found:
    door = Door(net)
    moved = run(door, x, y).detach()
    with torch.no_grad():
        there = (net(moved).argmax(1) != y) & (moved >= 0).flatten(1).all(1) & (moved <= 1).flatten(1).all(1)
    size = torch.where(there, (moved - x).flatten(1).norm(dim=1), inf)
    return Found(size, door.forwards / len(y), door.gradients / len(y))


class Door(nn.Module):
    """The model, with a count of the rows that pass, and of those whose gradient comes back."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.forwards, self.gradients = net, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(self._back)
        return self.net(x)

    def _back(self, g: Tensor) -> None:
        self.gradients += len(g)


def ours(attack: Attack) -> Run:
    def run(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return attack(net, Points(x, y, torch.arange(len(y)))).x

    return run


def foolbox(name: str, **arguments: object) -> Run:
    def run(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        import foolbox

        model = foolbox.PyTorchModel(net.eval(), bounds=(0, 1))
        return getattr(foolbox.attacks, name)(**arguments)(model, x, y, epsilons=None)[1]

    return run


def adv_lib(name: str, **arguments: object) -> Run:
    def run(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        import adv_lib.attacks

        return getattr(adv_lib.attacks, name)(net, x, y, **arguments)

    return run


def cleverhans(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2

    return carlini_wagner_l2(net, x, 10, y=y, initial_const=1.0, binary_search_steps=3, max_iterations=500)


def torchattacks(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks

    return torchattacks.CW(net, c=1.0, steps=500, lr=0.005)(x, y)


OWN = {"away_from": "prediction"}
OURS: dict[str, Run] = {
    REFERENCE: ours(carlini_wagner(**OWN)),
    "CW-L2 3×500, tanh, as is": ours(carlini_wagner(**OWN, variable="tanh", polish=0)),
    "nearest boundary": ours(nearest_boundary(**OWN)),
    "nearest boundary, 1 target": ours(nearest_boundary(**OWN, targets=1)),
    "nearest boundary, 1, 6 steps": ours(nearest_boundary(**OWN, targets=1, steps=6)),
    "DDN 20": ours(ddn(**OWN, steps=20)),
    "DDN 100": ours(ddn(**OWN)),
    "DDN 500": ours(ddn(**OWN, steps=500)),
    "FMN 20": ours(fmn(**OWN, steps=20)),
    "FMN 100": ours(fmn(**OWN)),
    "FAB-T 3×10": ours(fab(norm="l2", eps=inf, keep="nearest", steps=10, targets=3)),
}
# Customary first constants (0.001 to 0.01) leave rows unfound in three steps: 1 for all.
CW = {"binary_search_steps": 3, "initial_const": 1.0}
PEERS: dict[str, dict[str, Run]] = {
    "adv_lib": {
        "adv_lib CW 3×500": adv_lib("carlini_wagner_l2", **CW, max_iterations=500, learning_rate=0.005),
        "adv_lib DDN 500": adv_lib("ddn", steps=500, levels=None),
        "adv_lib FMN 100": adv_lib("fmn", norm=2, steps=100),
    },
    "foolbox": {
        "foolbox CW 3×500": foolbox("L2CarliniWagnerAttack", **CW, steps=500, stepsize=0.005),
        "foolbox DDN 500": foolbox("DDNAttack", steps=500),
        "foolbox FMN 100": foolbox("L2FMNAttack", steps=100),
    },
    "cleverhans": {"cleverhans CW 3×500": cleverhans},
    "torchattacks": {"torchattacks CW 1×500": torchattacks},
}


def importable(name: str) -> bool:
    try:
        __import__(f"{name}.attacks" if name == "adv_lib" else name)
    except Exception as reason:
        print(f"without {name}: {reason}")
        return False
    return True


if __name__ == "__main__":
    main()
