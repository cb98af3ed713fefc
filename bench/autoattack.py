"""AutoAttack compared with the original, in one process: robust accuracy, images forwarded and time, by part and total.

    python bench/autoattack.py --original PATH --model weights.safetensors --data mnist --eps 0.3 [--norm linf]
        [--n 256]
        [--batch 250] [--repeats 1] [--parts apgd_t full lean quick] [--record results.json]

PATH is a checkout of github.com/fra31/auto-attack. The two alternate, with the same batch size; a hook on the network
counts images. ``--record`` saves the numbers of the original, which tests/test_autoattack.py compares with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from timing import environment
from torch import Tensor, nn

from surefooted.attacks import autoattack
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.data.paths import set_data_root
from surefooted.models.weights import load_model

BUDGETS = ("full", "lean", "quick")
PARTS = ("apgd_ce", "apgd_t", "fab_t", "square", *BUDGETS)


class Run(NamedTuple):
    """The rows that withstood the attack, and its cost."""

    robust: Tensor
    images: int
    wall: float
    cpu: float


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(options.original))
    if options.data_root:
        set_data_root(options.data_root)
    net = load_model(options.model).to(options.device)
    points = build("data", options.data).test.points(slice(0, options.n), device=options.device)
    print(f"{len(points.y)} images of {options.data}, {options.norm}, eps {options.eps:g}; {environment()}")
    print(
        f"surefooted / original (ratio); +, -: rows that only surefooted or only the original broke; "
        f"{options.repeats} run(s)\n"
    )
    print(f"{'':8}{'robust %':>16}{'+':>5}{'-':>4}{'images':>31}{'CPU s':>24}{'wall s':>24}")
    record: dict[str, list[int]] = {}
    originals: dict[str, list[Run]] = {}
    for part in options.parts:
        original_part = "total" if part in BUDGETS else part
        runs = []
        for seed in range(options.repeats):
            runs.append(measure(net, points.y, partial(run_surefooted, part, net, points, options, seed)))
            if len(originals.setdefault(original_part, [])) == seed:  # one run of the original serves all budgets
                originals[original_part].append(
                    measure(net, points.y, partial(run_original, original_part, net, points, options, seed))
                )
        print_row(part, runs, originals[original_part])
        record[original_part] = [int(run.robust.sum()) for run in originals[original_part]]
    if options.record:
        options.record.write_text(json.dumps(provenance(options, net, points) | {"robust": record}, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--eps", type=float, required=True)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=1, help="runs, each with its own seed")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="parts of AutoAttack, or all of it with a budget"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--record", type=Path)
    return parser.parse_args()


def run_surefooted(part: str, net: nn.Module, points: Points, options: argparse.Namespace, seed: int) -> Tensor:
    chosen = {"budget": part} if part in BUDGETS else {"version": "custom", "attacks": (part,)}
    attack = autoattack(norm=options.norm, eps=options.eps, **chosen)
    return attack(net, points, seed=seed, batch=options.batch).x


def run_original(part: str, net: nn.Module, points: Points, options: argparse.Namespace, seed: int) -> Tensor:
    from autoattack import AutoAttack

    norm = {"linf": "Linf", "l2": "L2"}[options.norm]
    suite = AutoAttack(net, norm=norm, eps=options.eps, seed=seed, verbose=False, device=options.device)
    if part != "total":
        suite.attacks_to_run = [part.replace("_", "-")]
    return suite.run_standard_evaluation(points.x, points.y, bs=options.batch)


def measure(net: nn.Module, y: Tensor, run: Callable[[], Tensor]) -> Run:
    """Measure a run. The forward pass that evaluates its result is not counted."""
    images = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal images
        images += len(given[0])

    hook = net.register_forward_hook(count)
    wall, cpu = time.perf_counter(), time.process_time()
    x = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    hook.remove()
    with torch.no_grad():
        robust = (net(x).argmax(1) == y).cpu()
    return Run(robust, images, wall, cpu)


def print_row(part: str, runs: list[Run], originals: list[Run]) -> None:
    def both(field: str, form: str) -> str:
        a, b = (statistics.median(getattr(run, field) for run in each) for each in (runs, originals))
        return f"{a:{form}} / {b:{form}} ({a / b:4.2f})"

    a, b = (100 * statistics.mean(float(run.robust.float().mean()) for run in each) for each in (runs, originals))
    # Chance changes single rows in both directions; a weaker attack has differences in one direction.
    gained = sum(int((y.robust & ~x.robust).sum()) for x, y in zip(runs, originals))
    missed = sum(int((x.robust & ~y.robust).sum()) for x, y in zip(runs, originals))
    print(f"{part:8}{a:7.2f} / {b:6.2f}{gained:>5}{missed:>4}", end="")
    print(f"{both('images', ',.0f'):>31}{both('cpu', '.1f'):>24}{both('wall', '.1f'):>24}", flush=True)


def provenance(options: argparse.Namespace, net: nn.Module, points: Points) -> dict[str, object]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=options.original, capture_output=True, text=True, check=True
    )
    chosen = {"model": options.model.name, "data": options.data, "norm": options.norm, "eps": options.eps}
    chosen |= {"n": len(points.y), "batch": options.batch, "repeats": options.repeats}
    command = " ".join(f"--{name} {value}" for name, value in chosen.items())
    with torch.no_grad():
        clean = int((net(points.x).argmax(1) == points.y).sum())
    return {
        "original": f"github.com/fra31/auto-attack, commit {commit.stdout.strip()}",
        "torch": torch.__version__,
        "command": f"python bench/autoattack.py --original PATH {command} --record FILE",
        **chosen,
        "clean": clean,
    }


if __name__ == "__main__":
    main()
