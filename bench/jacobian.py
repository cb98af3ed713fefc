"""Time of the spectral norms of Jacobians, relative to one forward-backward pass of the same images.

    python bench/jacobian.py [--net resnet18] [--channels 3] [--size 32] [--images 64] [--batch 64] [--repeats 3]

The pass uses the network with batch norm fused, frozen weights and the memory format channels last. Prints the ratio
for ``jacobian_norm``; for one class after another, each with its own forward pass; and for other ways to the same
matrix: cotangents batched by vmap (of autograd and of torch.func), and every image repeated once per class. With K
classes, one forward and K backward passes cost about (K + 1) / 2 forward-backward passes; the goal is at most 12 for
10 classes.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from timing import alternate, environment
from torch import Tensor, nn
from torch.func import vjp, vmap

from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.evaluation.analysis import jacobian_norm
from surefooted.evaluation.analysis.jacobian import spectral_norm
from surefooted.models.fuse import fuse_batchnorm
from surefooted.models.victims import NetworkVictim, channels_last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet18")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64, help="images per forward pass")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = (options.channels, options.size, options.size)
    net = fuse_batchnorm(build("network", options.net, shape, options.classes)).to(options.device)
    y = torch.randint(options.classes, (options.images,))
    points = Points(torch.rand(options.images, *shape), y, torch.arange(options.images)).to(options.device)
    ways = {
        "class by class": class_by_class,
        "autograd, vmap": with_batched_autograd,
        "torch.func, vmap": with_torch_func,
        "repeated": with_repeated_images,
    }
    with channels_last(NetworkVictim(net)):
        contenders = {
            "forward-backward": lambda: by_batch(partial(forward_backward, net), points.x, options.batch),
            "jacobian_norm": lambda: jacobian_norm(net, points, batch=options.batch),
        }
        for name, way in ways.items():
            contenders[name] = lambda way=way: spectral_norms(partial(way, net), points.x, options.batch)
        times = alternate(contenders, options.repeats)
        reference = jacobian_norm(net, points, batch=options.batch)
        difference = max(float((contenders[name]() / reference - 1).abs().max()) for name in ways)
    first = times["forward-backward"]
    print(f"{options.net}, {options.images} images of {shape}, {options.batch} at a time, {options.classes} classes;")
    print(f"{environment()}; median of {options.repeats}; largest relative difference of norms {difference:.1g}")
    for name, time in times.items():
        print(f"{name:>18}: {time.wall:8.3f} s wall {time.cpu:8.3f} s CPU {time.seconds / first.seconds:7.2f}")


def by_batch(way, x: Tensor, batch: int) -> list[Tensor]:
    return [way(part) for part in x.split(batch)]


def spectral_norms(way, x: Tensor, batch: int) -> Tensor:
    """Spectral norms of the Jacobians (B, K, *D) that ``way`` computes."""
    return torch.cat(by_batch(lambda part: spectral_norm(way(part).flatten(2)), x, batch))


def forward_backward(net: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x).sum(), x)[0]


def class_by_class(net: nn.Module, x: Tensor) -> Tensor:
    rows, k, classes = [], 0, 1
    while k < classes:
        z = x.clone().requires_grad_()
        logits = net(z)
        classes = logits.shape[1]
        rows.append(torch.autograd.grad(logits[:, k].sum(), z)[0])
        k += 1
    return torch.stack(rows, 1)


def with_batched_autograd(net: nn.Module, x: Tensor) -> Tensor:
    z = x.clone().requires_grad_()
    logits = net(z)
    return torch.autograd.grad(logits, z, cotangents(logits), is_grads_batched=True)[0].transpose(0, 1)


def with_torch_func(net: nn.Module, x: Tensor) -> Tensor:
    logits, back = vjp(net, x)
    return vmap(lambda v: back(v)[0])(cotangents(logits)).transpose(0, 1)


def with_repeated_images(net: nn.Module, x: Tensor) -> Tensor:
    classes = net(x[:1]).shape[1]
    z = x.expand(classes, *x.shape).flatten(0, 1).clone().requires_grad_()
    own = net(z).view(classes, len(x), classes).diagonal(0, 0, 2)
    return torch.autograd.grad(own.sum(), z)[0].view(classes, *x.shape).transpose(0, 1)


def cotangents(logits: Tensor) -> Tensor:
    """(K, B, K): for each class, 1 at that class in every row."""
    n, classes = logits.shape
    return torch.eye(classes, device=logits.device)[:, None].expand(classes, n, classes)


if __name__ == "__main__":
    main()
