"""Minimum-norm attacks compared: size of the perturbations, cost, and agreement of the ranking of examples.

    python bench/ranking.py --data-root DIR [--images 96] [--repeats 1] [--models mnist fashion_mnist digits]
        [--only PART ...]

Every attack starts from the model's own prediction, as AR-AdaLS needs it. All results are evaluated here in the same
way. Other libraries are included if they can be imported. A wrapper around the model counts forward passes and
gradients per row; CPU seconds are medians of alternating runs. "like CW-L2" and "like smallest" compare the ranking
with that of CW-L2 3 × 500 and of the smallest perturbations found by any attack: Spearman's correlation, and the share
of examples in the same or a neighbouring one of ten levels. Failed rows rank last. The last lines show how well CW-L2
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
    "like smallest": 18,
}


class Outcome(NamedTuple):
    """Perturbation size per row, infinite where the attack failed; forward passes and gradients per row."""

    size: Tensor
    forward: float
    gradient: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=1, help="timed runs, after a warm-up")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--only", nargs="+", default=[], help="only attacks whose name contains one of these")
    parser.add_argument("--long", type=int, default=1500, help="steps of the long CW-L2 with 6 constants; 0 for none")
    options = parser.parse_args()
    set_data_root(options.data_root)
    torch.set_num_threads(1)
    runs = SUREFOOTED | {
        name: run for package, attacks in OTHERS.items() if can_import(package) for name, run in attacks.items()
    }
    chosen = {n: r for n, r in runs.items() if n == REFERENCE or any(part in n for part in options.only or [""])}
    print(f"{options.images} images; {environment()}")
    for name in options.models:
        print_table(name, chosen, options)


def print_table(name: str, runs: dict[str, Run], options: argparse.Namespace) -> None:
    trained = sf.train("vanilla", *MODELS[name])
    points = trained.data.test.points(slice(0, options.images))
    net = trained.net.eval().requires_grad_(False)
    y = net(points.x).argmax(1)
    outcomes = {who: evaluate(run, net, points.x, y) for who, run in runs.items()}
    references = {"50 planes, 9 targets": surefooted(nearest_boundary(**FROM_PREDICTION, steps=50, targets=9))}
    if options.long:
        # They differ in length and in the first constant only: how reproducible is the ranking of CW-L2?
        references[f"CW-L2 6×{options.long}"] = surefooted(
            carlini_wagner(**FROM_PREDICTION, search_steps=6, steps=options.long)
        )
        references["CW-L2 3×500, from c = 0.1"] = surefooted(carlini_wagner(**FROM_PREDICTION, constant=0.1))
    outcomes |= {who: evaluate(run, net, points.x, y) for who, run in references.items()}
    times = alternate({who: partial(run, net, points.x, y) for who, run in runs.items()}, options.repeats)
    smallest = torch.stack([one.size for one in outcomes.values()]).amin(0)
    print(f"\n{name}: {trained.task.label}; mean of the smallest sizes {float(smallest.mean()):.4f}")
    titles = "".join(f"{title:>{width}}" for title, width in COLUMNS.items())
    print(f"{'':28}{titles}")
    for who, one in outcomes.items():
        success = one.size < inf
        seconds = f"{times[who].cpu:8.2f}" if who in times else f"{'':8}"
        print(
            f"{who:28}{100 * float(success.float().mean()):6.1f} %{float(one.size[success].mean()):8.4f}"
            f"{float(one.size.median()):8.4f}{one.forward:9.1f}{one.gradient:8.1f}{seconds}"
            f"{agreement(one.size, outcomes[REFERENCE].size):>18}{agreement(one.size, smallest):>18}"
        )
    complete = {who: times[who].cpu for who, one in outcomes.items() if who in times and bool((one.size < inf).all())}
    others = {who: cpu for who, cpu in complete.items() if who not in SUREFOOTED and "CW" in who}
    if others and REFERENCE in complete:
        fastest = min(others, key=others.__getitem__)
        print(
            f"  fastest other CW-L2 that succeeds on all rows ({fastest}) / surefooted: "
            f"{others[fastest] / complete[REFERENCE]:.2f}"
        )


def agreement(size: Tensor, other: Tensor) -> str:
    from scipy.stats import spearmanr

    close = ((levels_of(size) - levels_of(other)).abs() <= 1).float().mean()
    return f"{spearmanr(size, other).statistic:.4f} {100 * float(close):5.1f} %"


def evaluate(run: Run, net: nn.Module, x: Tensor, y: Tensor) -> Outcome:
    counter = PassCounter(net)
    moved = run(counter, x, y).detach()
    with torch.no_grad():
        success = (net(moved).argmax(1) != y) & (moved >= 0).flatten(1).all(1) & (moved <= 1).flatten(1).all(1)
    size = torch.where(success, (moved - x).flatten(1).norm(dim=1), inf)
    return Outcome(size, counter.forwards / len(y), counter.gradients / len(y))


class PassCounter(nn.Module):
    """A wrapper that counts rows in forward passes and in backward passes to the input."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.forwards, self.gradients = net, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(self._count_gradients)
        return self.net(x)

    def _count_gradients(self, g: Tensor) -> None:
        self.gradients += len(g)


def surefooted(attack: Attack) -> Run:
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


FROM_PREDICTION = {"away_from": "prediction"}
SUREFOOTED: dict[str, Run] = {
    REFERENCE: surefooted(carlini_wagner(**FROM_PREDICTION)),
    "CW-L2 3×500, tanh, no polish": surefooted(carlini_wagner(**FROM_PREDICTION, variable="tanh", polish=0)),
    "nearest boundary": surefooted(nearest_boundary(**FROM_PREDICTION)),
    "nearest boundary, 1 target": surefooted(nearest_boundary(**FROM_PREDICTION, targets=1)),
    "nearest boundary, 1, 6 steps": surefooted(nearest_boundary(**FROM_PREDICTION, targets=1, steps=6)),
    "DDN 20": surefooted(ddn(**FROM_PREDICTION, steps=20)),
    "DDN 100": surefooted(ddn(**FROM_PREDICTION)),
    "DDN 500": surefooted(ddn(**FROM_PREDICTION, steps=500)),
    "FMN 20": surefooted(fmn(**FROM_PREDICTION, steps=20)),
    "FMN 100": surefooted(fmn(**FROM_PREDICTION)),
    "FAB-T 3×10": surefooted(fab(norm="l2", eps=inf, keep="nearest", steps=10, targets=3)),
}
# With the customary first constants (0.001 to 0.01) some rows fail in three search steps, so all start from 1.
CW = {"binary_search_steps": 3, "initial_const": 1.0}
OTHERS: dict[str, dict[str, Run]] = {
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


def can_import(name: str) -> bool:
    try:
        __import__(f"{name}.attacks" if name == "adv_lib" else name)
    except Exception as reason:
        print(f"{name} is left out: {reason}")
        return False
    return True


if __name__ == "__main__":
    main()
