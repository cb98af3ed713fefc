"""Time of an ensemble with stacked weights and vmap (batched) and with one network after another (loop).

    python bench/ensembles.py [--nets lenet resnet29_v2] [--members 5] [--batch 128] [--repeats 3] [--threads 1]

Prints for each network the milliseconds (CPU time on a CPU) of a joint training step (summed cross-entropy, Adam), of a
UTA-AT step with three attack steps, of prediction and of the gradient of an attack, for both modes and for a single
network. ``Ensemble`` loops by default; where batched is faster, use ``Ensemble(members, mode="batched")``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timing import alternate, environment
from torch import nn

from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.models.ensembles import Ensemble, EnsembleMode
from surefooted.training.methods import ensemble, uta, vanilla
from surefooted.training.methods.base import Method

SHAPES = {"lenet": (1, 28, 28), "cnn4": (1, 28, 28), "mlp": (1, 28, 28)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["lenet", "resnet29_v2"])
    for name, default in (("members", 5), ("batch", 128), ("repeats", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.members} networks, batch {options.batch}; {environment()}; medians of {options.repeats}")
    for name in options.nets:
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    shape = SHAPES.get(name, (3, 32, 32))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(options.batch, *shape, generator=generator).to(options.device)
    y = torch.randint(10, (options.batch,), generator=generator).to(options.device)
    points = Points(x, y, torch.arange(options.batch, device=options.device))
    attack = {"eps": 0.1, "steps": 3, "step_size": 0.05}
    operations = {
        "training step": (ensemble(members=options.members), vanilla(), train),
        "UTA-AT step": (uta(members=options.members, **attack), uta(**attack), train),
        "prediction": (None, None, predict),
        "gradient": (None, None, gradient),
    }
    for operation, (many, one, run) in operations.items():
        contenders = {
            mode: prepare(run, make_network(name, shape, options, mode), many, points) for mode in ("loop", "batched")
        } | {"single": prepare(run, make_network(name, shape, options, None), one, points)}
        on_cpu = x.device.type == "cpu"  # cores are shared there, so CPU time counts
        times = {
            mode: 1e3 * (t.cpu if on_cpu else t.wall) for mode, t in alternate(contenders, options.repeats).items()
        }
        columns = "  ".join(f"{mode} {t:8.1f} ms" for mode, t in times.items())
        loop, batched, single = (times[mode] for mode in ("loop", "batched", "single"))
        print(
            f"{name:14} {operation:14} {columns}  batched / loop {batched / loop:.2f}, "
            f"loop / single {loop / single:.2f}"
        )


def make_network(
    name: str, shape: tuple[int, ...], options: argparse.Namespace, mode: EnsembleMode | None
) -> nn.Module:
    nets = [build("network", name, shape, 10) for _ in range(options.members if mode else 1)]
    net = Ensemble(nets, mode=mode) if mode else nets[0]
    return net.to(options.device, memory_format=torch.channels_last)


def prepare(run: Callable[..., Any], net: nn.Module, method: Method | None, points: Points) -> Callable[[], None]:
    optimiser = torch.optim.Adam(net.parameters())
    once = partial(run, net, method, optimiser, points)

    def timed() -> None:
        once()
        if points.x.is_cuda:
            torch.cuda.synchronize()

    timed()
    return timed


def train(net: nn.Module, method: Method, optimiser: torch.optim.Optimizer, points: Points) -> None:
    net.train()
    moved = method.perturb_points(net, points, points.y, seed=0)
    optimiser.zero_grad()
    method.outer_loss(net, moved, points.x, points.y).backward()
    optimiser.step()


def predict(net: nn.Module, _: None, __: torch.optim.Optimizer, points: Points) -> None:
    net.eval()
    with torch.no_grad():
        net(points.x)


def gradient(net: nn.Module, _: None, __: torch.optim.Optimizer, points: Points) -> None:
    net.eval()
    x = points.x.clone().requires_grad_()
    torch.autograd.grad(net(x).logsumexp(-1).sum(), x)


if __name__ == "__main__":
    main()
