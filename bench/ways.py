"""Speed-up of each optimisation of an attack step, added one after another.

    python bench/ways.py [--net resnet18] [--size 32] [--channels 3] [--batch 64] [--repeats 5] [--threads 1]

The step is one forward pass and one backward pass to the images. Each line adds an optimisation to the line above. All
alternate in one run; medians are printed. Dropping images once they are broken saves far more on models that are easy
to attack, and is measured in attacks.py and autoattack.py; this benchmark is about the other models.
"""

from __future__ import annotations

import argparse
from copy import deepcopy

import torch
from timing import alternate, environment
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from surefooted.components.spec import build
from surefooted.models.fuse import fuse_batchnorm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet18")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="add torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = (options.channels, options.size, options.size)
    net = build("network", options.net, shape, 10).eval().to(device)
    x = torch.rand(options.batch, *shape, device=device)
    y = torch.randint(0, 10, (options.batch,), device=device)
    frozen = deepcopy(net).requires_grad_(False)
    fused = fuse_batchnorm(net)
    channels_last = deepcopy(fused).to(memory_format=torch.channels_last)
    variants = {
        "loss.backward()": lambda: backward_to_weights(net, x, y),
        "autograd.grad to the images": lambda: backward_to_images(net, x, y),
        "weights frozen": lambda: backward_to_images(frozen, x, y),
        "batch norm fused": lambda: backward_to_images(fused, x, y),
        "channels last": lambda: backward_to_images(channels_last, x, y),
    }
    if options.compile:
        compiled = torch.compile(channels_last)
        variants["torch.compile"] = lambda: backward_to_images(compiled, x, y)
    times = alternate(variants, options.repeats)
    first = times["loss.backward()"]
    print(f"{options.net}, {options.batch} images of {shape}; {environment()}; median of {options.repeats}")
    for name, time in times.items():
        print(
            f"{name:>30}: {1000 * time.wall:9.1f} ms wall {1000 * time.cpu:9.1f} ms CPU  "
            f"{time.seconds / first.seconds:5.2f}"
        )


def backward_to_weights(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    point = x.clone().requires_grad_()
    net.zero_grad(set_to_none=True)
    cross_entropy(net(point), y).backward()
    assert point.grad is not None
    return point.grad


def backward_to_images(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    point = x.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(net(point), y), point)[0]


if __name__ == "__main__":
    main()
