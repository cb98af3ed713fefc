"""PGD compared with other libraries on the same model, images, steps and step size.

    python bench/attacks.py --data-root DIR [--images 256] [--steps 40] [--repeats 3] [--models vanilla pat resnet18]

Models: a LeNet on MNIST, vanilla or trained with PAT (trained once, kept in the store), and an untrained ResNet-18
with a radius so small that no attack succeeds. Surefooted runs on the network itself and with batch norm fused. Other
libraries: those of torchattacks, foolbox, cleverhans and ART that can be imported. Medians of alternating runs; a
wrapper around the model counts the images that pass through it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timing import alternate, environment
from torch import Tensor, nn

import surefooted as sf
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.data.paths import set_data_root
from surefooted.models.fuse import fuse_batchnorm

Run = Callable[[Any, Points, float, int], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--eps", type=float, default=0.1, help="on MNIST; for the ResNet it is 0.001")
    parser.add_argument("--models", nargs="+", default=["vanilla", "pat", "resnet18"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    set_data_root(options.data_root)
    runs = {name: run for name, run in CONTENDERS.items() if can_import(name.split()[0])}
    print(f"PGD-{options.steps}, {options.images} images; {environment()}; contenders: {', '.join(runs)}")
    for name in options.models:
        net, points, eps = load_case(name, options)
        counter = ImageCounter(net).eval()
        jobs = {who: partial(run, counter, points, eps, options.steps) for who, run in runs.items()}
        times = alternate(jobs, options.repeats)
        print(f"\n{name}, eps = {eps:.4g}: wall s, CPU s, images forwarded, robust accuracy")
        for who, job in jobs.items():
            counter.images = 0
            robust = float((net(job()).argmax(1) == points.y).float().mean())
            print(f"{who:>18}: {times[who].wall:8.3f} {times[who].cpu:8.3f} {counter.images:9,} {100 * robust:7.2f} %")
        peers = [times[who].cpu for who in jobs if not who.startswith("surefooted")]
        if peers:
            best = min(times[who].cpu for who in jobs if who.startswith("surefooted"))
            print(f"  fastest other library / surefooted: {min(peers) / best:.2f} (CPU)")


def load_case(name: str, options: argparse.Namespace) -> tuple[nn.Module, Points, float]:
    if name == "resnet18":
        torch.manual_seed(0)
        net = build("network", "resnet18", (3, 32, 32), 10).eval()
        x = torch.rand(options.images, 3, 32, 32)
        return net, Points(x, net(x).argmax(1).detach(), torch.arange(options.images)), 1e-3
    method = {"pat": {"eps": 0.3, "steps": 20, "step_size": 0.03}} if name == "pat" else name
    run = sf.train(method, "lenet", {"mnist": {"train_limit": 10_000}}, {"recipe": {"epochs": 8}})
    return run.net, run.data.test.points(slice(0, options.images)), options.eps


class ImageCounter(nn.Module):
    """A wrapper that counts the images passing through the model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        return self.net(x)


def surefooted(net: nn.Module, p: Points, eps: float, steps: int) -> Tensor:
    return sf.pgd(eps=eps, steps=steps, step_size=eps / 10)(net, p).x


def surefooted_fused(net: ImageCounter, p: Points, eps: float, steps: int) -> Tensor:
    """As the command line runs it on networks from the store; the time includes making the copy."""
    copy = fuse_batchnorm(net)
    moved = surefooted(copy, p, eps, steps)
    net.images = copy.images
    return moved


def torchattacks(net: nn.Module, p: Points, eps: float, steps: int) -> Tensor:
    import torchattacks

    return torchattacks.PGD(net, eps=eps, alpha=eps / 10, steps=steps)(p.x, p.y)


def foolbox(net: nn.Module, p: Points, eps: float, steps: int) -> Tensor:
    import foolbox

    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=eps / 10, steps=steps)
    return attack(model, p.x, p.y, epsilons=eps)[1]


def cleverhans(net: nn.Module, p: Points, eps: float, steps: int) -> Tensor:
    import numpy as np
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent

    return projected_gradient_descent(
        net, p.x, eps, eps / 10, steps, np.inf, clip_min=0, clip_max=1, y=p.y, sanity_checks=False
    )


def art(net: nn.Module, p: Points, eps: float, steps: int) -> Tensor:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(net, nn.CrossEntropyLoss(), p.x.shape[1:], 10, clip_values=(0, 1), device_type="cpu")
    attack = ProjectedGradientDescent(
        classifier, eps=eps, eps_step=eps / 10, max_iter=steps, num_random_init=1, batch_size=len(p.y), verbose=False
    )
    return torch.from_numpy(attack.generate(p.x.numpy(), p.y.numpy()))


CONTENDERS: dict[str, Run] = {
    "surefooted": surefooted,
    "surefooted fused": surefooted_fused,
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "cleverhans": cleverhans,
    "art": art,
}


def can_import(name: str) -> bool:
    try:
        __import__(name)
    except Exception as reason:
        print(f"{name} is left out: {reason}")
        return False
    return True


if __name__ == "__main__":
    main()
