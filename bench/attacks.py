"""PGD beside its peers on the same model, images, steps and step size.

    python bench/attacks.py --data-root DIR [--images 256] [--steps 40] [--repeats 3] [--models vanilla pat resnet18]

Models: a LeNet on MNIST, vanilla or trained by PAT (made once, kept in the store), and an untrained ResNet-18 in a
ball so small that nothing retires. Ours runs on the network as it is, and with batch norm folded. Peers are those that
can be imported of torchattacks, foolbox, cleverhans and ART. Median of alternating runs; images forwarded are counted
at the model's door.
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
    parser.add_argument("--eps", type=float, default=0.1, help="on MNIST; the ResNet has 0.001, where nothing breaks")
    parser.add_argument("--models", nargs="+", default=["vanilla", "pat", "resnet18"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    set_data_root(options.data_root)
    runs = {name: run for name, run in CONTENDERS.items() if importable(name.split()[0])}
    print(f"PGD-{options.steps}, {options.images} images; {environment()}; contenders: {', '.join(runs)}")
    for name in options.models:
        net, points, eps = case(name, options)
        counter = Counter(net).eval()
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
            print(f"  fastest peer over ours: {min(peers) / best:.2f} (CPU)")


def case(name: str, options: argparse.Namespace) -> tuple[nn.Module, Points, float]:
    if name == "resnet18":
        torch.manual_seed(0)
        net = build("network", "resnet18", (3, 32, 32), 10).eval()
        x = torch.rand(options.images, 3, 32, 32)
        return net, Points(x, net(x).argmax(1).detach(), torch.arange(options.images)), 1e-3
    method = {"pat": {"eps": 0.3, "steps": 20, "step_size": 0.03}} if name == "pat" else name
    run = sf.train(method, "lenet", {"mnist": {"train_limit": 10_000}}, {"recipe": {"epochs": 8}})
    return run.net, run.data.test.points(slice(0, options.images)), options.eps


class Counter(nn.Module):
    """The model with a counter of images at its door."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        return self.net(x)


def surefooted(net: nn.Module, p: Points, eps: float, steps: int) -> Tensor:
    return sf.pgd(eps=eps, steps=steps, step_size=eps / 10)(net, p).x


def light(net: Counter, p: Points, eps: float, steps: int) -> Tensor:
    """As the command line runs it on networks of ours; making the copy counts."""
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
    "surefooted folded": light,
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "cleverhans": cleverhans,
    "art": art,
}


def importable(name: str) -> bool:
    try:
        __import__(name)
    except Exception as reason:
        print(f"without {name}: {reason}")
        return False
    return True


if __name__ == "__main__":
    main()
