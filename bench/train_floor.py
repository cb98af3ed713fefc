"""Overhead of the trainer: time of a PAT-7 step relative to its passes alone (7 input-gradient passes, outer step).

    python bench/train_floor.py [--net resnet18] [--batch 32] [--steps 4] [--repeats 3] [--method pat]

The floor runs the passes that the method needs and the step of the optimiser, and nothing else (goal: at most 1.05).
"""

from __future__ import annotations

import argparse

import torch
from lightning_fabric import Fabric
from timing import alternate, environment
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from surefooted.components.spec import build
from surefooted.data.images import Images, Splits
from surefooted.models.victims import NetworkVictim, untouched
from surefooted.pipeline.runtime import Runtime
from surefooted.training.loop import fit
from surefooted.training.recipes import recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet18")
    parser.add_argument("--method", default="pat", choices=("pat", "trades"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps per run")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    net = build("network", options.net, (3, 32, 32), 10)
    n = options.batch * options.steps
    x, y = torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8), torch.randint(10, (n,))
    images = Images(x, y, torch.arange(n), 255, tuple("0123456789"))
    data = Splits("noise", "noise", images, images.take(slice(0, 0)), images, "")
    plan = recipe(epochs=1, batch=options.batch, optimiser="sgd", lr=1e-6)
    method, fabric = build("method", options.method), Fabric(accelerator=Runtime().device().type, devices=1)

    def trainer() -> None:
        fit(method, net, data, plan, fabric=fabric)

    def floor() -> None:
        optimiser = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9)
        net.train().to(fabric.device)
        for a in range(0, n, options.batch):
            points = images.points(slice(a, a + options.batch), fabric.device)
            run_inner_passes(net, points.x, points.y, options.method)
            outer_loss(net, points.x, points.y, options.method).backward()
            optimiser.step()
            optimiser.zero_grad()

    times = alternate({"floor": floor, "trainer": trainer}, options.repeats)
    print(
        f"{options.method}, 7 inner steps, {options.net}, batch {options.batch}, {options.steps} steps; {environment()}"
    )
    for name, t in times.items():
        print(f"{name:>8}: {t.wall / options.steps:8.3f} s wall per step, {t.cpu / options.steps:8.3f} s CPU")
    wall, cpu = (times["trainer"][k] / times["floor"][k] for k in (0, 1))
    print(f"relative to the floor: {wall:.3f} wall, {cpu:.3f} CPU (goal: at most 1.05)")


def run_inner_passes(net: nn.Module, x: torch.Tensor, y: torch.Tensor, method: str) -> None:
    with untouched(NetworkVictim(net)):
        if method == "trades":
            with torch.no_grad():
                net(x)
        for _ in range(7):
            moved = x.detach().requires_grad_()
            torch.autograd.grad(cross_entropy(net(moved), y, reduction="sum"), moved)


def outer_loss(net: nn.Module, x: torch.Tensor, y: torch.Tensor, method: str) -> torch.Tensor:
    clean, moved = net(x), net(x)
    if method == "trades":
        return cross_entropy(clean, y) + 3 * kl_div(moved.log_softmax(-1), clean.softmax(-1), reduction="batchmean")
    return 0.5 * cross_entropy(clean, y) + 0.5 * cross_entropy(moved, y)


if __name__ == "__main__":
    main()
