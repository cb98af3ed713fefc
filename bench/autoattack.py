"""AutoAttack beside the original, in one process: robust accuracy, images forwarded, seconds; by component and in total.

    python bench/autoattack.py --original PATH --model weights.safetensors --data mnist --eps 0.3 [--norm linf] [--n 256]
        [--batch 250] [--repeats 1] [--budget quick] [--only total] [--record results.json]

PATH is a checkout of github.com/fra31/auto-attack. The two run in turn, with the same batch size; images are counted by a
hook on the network. ``--record`` writes the original's numbers, which tests/test_autoattack.py compares with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from timing import environment
from torch import Tensor, nn

from surefooted.attacks import autoattack
from surefooted.core import Points
from surefooted.data.paths import set_data_root
from surefooted.spec import build
from surefooted.weights import load_model

THEIRS = {"apgd_ce": "apgd-ce", "apgd_dlr": "apgd-dlr", "apgd_t": "apgd-t", "fab_t": "fab-t", "square": "square"}
STANDARD = ("apgd_ce", "apgd_t", "fab_t", "square")


class Run(NamedTuple):
    """Which rows withstood, and what that took."""

    robust: Tensor
    images: int
    wall: float
    cpu: float


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(options.original))
    if options.data_root:
        set_data_root(options.data_root)
    net = load_model(options.model).to(options.device)
    points = build("surefooted.data", options.data).test.points(slice(0, options.n), device=options.device)
    print(f"{options.model}: {len(points.y)} images of {options.data}, {options.norm}, eps {options.eps:g}; {environment()}")
    print(f"{'':12}{'robust':>15}{'only one':>12}{'images':>22}{'':>7}{'CPU s':>16}{'':>7}{'wall s':>16}{'':>7}")
    record = {}
    for name in options.only or (*STANDARD, "total"):
        runs: dict[str, list[Run]] = {"ours": [], "theirs": []}
        for repeat in range(options.repeats):
            runs["ours"].append(counted(net, lambda r=repeat: ours(name, net, points, options, r)))
            runs["theirs"].append(counted(net, lambda r=repeat: theirs(name, net, points, options, r)))
        show(name, runs["ours"], runs["theirs"])
        record[name] = [int(run.robust.sum()) for run in runs["theirs"]]
    if options.record:
        options.record.write_text(json.dumps(about(options, net, points) | {"robust": record}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--eps", type=float, required=True)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=1, help="each with a seed of its own")
    parser.add_argument("--budget", choices=("full", "lean", "quick"), default="full", help="of ours, in the total")
    parser.add_argument("--only", nargs="+", choices=(*THEIRS, "total"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--record", type=Path)
    return parser.parse_args()


def ours(name: str, net: nn.Module, points: Points, options: argparse.Namespace, seed: int) -> Tensor:
    if name == "total":
        attack = autoattack(norm=options.norm, eps=options.eps, budget=options.budget)
    else:
        attack = autoattack(norm=options.norm, eps=options.eps, version="custom", attacks=(name,))
    return ~attack(net, points, seed=seed, batch=options.batch).found


def theirs(name: str, net: nn.Module, points: Points, options: argparse.Namespace, seed: int) -> Tensor:
    from autoattack import AutoAttack

    norm = {"linf": "Linf", "l2": "L2"}[options.norm]
    suite = AutoAttack(net, norm=norm, eps=options.eps, seed=seed, verbose=False, device=options.device)
    if name != "total":
        suite.attacks_to_run = [THEIRS[name]]
    x = suite.run_standard_evaluation(points.x, points.y, bs=options.batch)
    with torch.no_grad():
        return net(x).argmax(1) == points.y


def counted(net: nn.Module, run: Callable[[], Tensor]) -> Run:
    images = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal images
        images += len(given[0])

    hook = net.register_forward_hook(count)
    wall, cpu = time.perf_counter(), time.process_time()
    robust = run().cpu()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    hook.remove()
    return Run(robust, images, wall, cpu)


def show(name: str, ours: list[Run], theirs: list[Run]) -> None:
    def both(read: Callable[[Run], float], form: str) -> str:
        a, b = (statistics.median(map(read, runs)) for runs in (ours, theirs))
        return f"{a:>10{form}} /{b:>9{form}} ({a / b:4.2f})"

    a, b = (100 * statistics.mean(float(run.robust.float().mean()) for run in runs) for runs in (ours, theirs))
    # Rows that one broke and the other did not: chance moves them both ways, weakness one way.
    only = [int((x.robust & ~y.robust).sum()) for x, y in zip(theirs, ours)]
    missed = [int((x.robust & ~y.robust).sum()) for x, y in zip(ours, theirs)]
    times = f"{both(lambda r: r.cpu, '.1f')} {both(lambda r: r.wall, '.1f')}"
    print(f"{name:10}{a:7.2f} / {b:5.2f} %  +{sum(only)} −{sum(missed)} {both(lambda r: r.images, ',.0f')} {times}", flush=True)


def about(options: argparse.Namespace, net: nn.Module, points: Points) -> dict:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=options.original, capture_output=True, text=True, check=True)
    with torch.no_grad():
        clean = int((net(points.x).argmax(1) == points.y).sum())
    return {
        "original": f"github.com/fra31/auto-attack @ {commit.stdout.strip()}",
        "torch": torch.__version__,
        "command": "python bench/autoattack.py --original PATH " + " ".join(sys.argv[1:][2:]),
        "data": options.data,
        "norm": options.norm,
        "eps": options.eps,
        "n": len(points.y),
        "clean": clean,
    }


if __name__ == "__main__":
    main()
