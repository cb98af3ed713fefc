"""Overhead of PGD: its time relative to one forward and one input-gradient pass per step, and nothing else.

PGD runs two more forward passes: it evaluates the clean point and the last one.

    python bench/attack_floor.py [--net resnet18] [--batch 32] [--steps 40] [--repeats 3] [--memory]

Prints the time of PGD divided by the time of the bare passes when no row is dropped (goal: at most 1.05), and with
--memory the growth of peak memory divided by that of the bare passes (goal: at most 1.2).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import torch
from timing import alternate, environment

from surefooted import pgd
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.models.victims import NetworkVictim, untouched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", choices=("floor", "attack"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    contenders = make_contenders(options)
    if options.only:
        before = peak_memory()
        contenders[options.only]()
        print(peak_memory() - before)
    elif options.memory:
        compare_memory(options)
    else:
        times = alternate(contenders, options.repeats)
        print(f"PGD-{options.steps}, {options.net}, {options.batch} images 32×32; {environment()}")
        for name, t in times.items():
            print(f"{name:>7}: {t.wall:8.3f} s wall, {t.cpu:8.3f} s CPU (median of {options.repeats})")
        wall, cpu = (times["attack"][k] / times["floor"][k] for k in (0, 1))
        print(f"relative to the floor: {wall:.3f} wall, {cpu:.3f} CPU (goal: at most 1.05)")


def make_contenders(options: argparse.Namespace) -> dict[str, object]:
    torch.manual_seed(0)
    net = build("network", options.net, (3, 32, 32), 10).eval().to(options.device)
    points = Points(
        torch.rand(options.batch, 3, 32, 32), torch.randint(10, (options.batch,)), torch.arange(options.batch)
    ).to(options.device)
    attack = pgd(eps=8 / 255, steps=options.steps, keep="worst")

    def floor() -> None:
        x = points.x
        with untouched(NetworkVictim(net)):
            for _ in range(options.steps):
                x = x.detach().requires_grad_()
                loss = torch.nn.functional.cross_entropy(net(x), points.y, reduction="sum")
                torch.autograd.grad(loss, x)

    return {"floor": floor, "attack": lambda: attack(net, points)}


def compare_memory(options: argparse.Namespace) -> None:
    """Run each in a fresh process: on a CPU only the peak of a whole process can be read."""
    growth = {}
    for name in ("floor", "attack"):
        command = [sys.executable, __file__, "--only", name, "--net", options.net, "--steps", "3"]
        command += ["--batch", str(options.batch), "--device", options.device]
        growth[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{name:>7}: peak grew by {growth[name] / 2**20:.0f} MiB")
    print(f"relative to the bare passes: {growth['attack'] / growth['floor']:.3f} (goal: at most 1.2)")


def peak_memory() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
