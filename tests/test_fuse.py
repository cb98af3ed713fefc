"""Fusion of batch norm: equal logits and gradients up to rounding, the original unchanged."""

import pytest
import torch
from torch import nn

from surefooted.attacks import pgd
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.models import nets
from surefooted.models.fuse import fuse_batchnorm

DEEP = {
    "due",
    "resnet101",
    "wide_resnet",
    "wide_resnet28_10",
    "wide_resnet34_10",
}  # made of the same blocks as their smaller kin


def norms(net):
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules())


def settled(net, x):
    """With running statistics that differ from those at the start."""
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(x)
    return net.eval()


@pytest.mark.parametrize("name", sorted(set(nets.__all__) - DEEP))
def test_answers_and_gradients_are_the_same_up_to_rounding(name):
    torch.manual_seed(0)
    x = torch.rand(4, 3, 32, 32)
    net = settled(build("network", name, (3, 32, 32), 10), x)
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    before, after = net.double(), fuse_batchnorm(net.double())
    sides = []
    for one in (before, after):
        z = x.double().requires_grad_()
        torch.manual_seed(0)  # for samples of the logits
        logits = one(z)
        (gradient,) = torch.autograd.grad(logits.square().sum(), z)
        sides.append((logits, gradient))
    for old, new in zip(*sides):
        assert (old - new).abs().max() <= 1e-9 * old.abs().max().clamp_min(1)
    assert not any(weight.requires_grad for weight in after.parameters())
    assert all(weight.requires_grad for weight in net.parameters())
    assert all(torch.equal(value, kept[key].to(value)) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name, left", [("resnet18", 0), ("cnn7", 0), ("resnet29_v2", 9)])
def test_every_batch_norm_behind_a_convolution_goes(name, left):
    """Those of a pre-activation network that follow an addition stay."""
    net = build("network", name, (3, 32, 32), 10)
    assert norms(fuse_batchnorm(net)) == left < norms(net)


def test_batch_norm_elsewhere_stays():
    torch.manual_seed(0)
    x = torch.rand(4, 2, 6, 6)
    parts = nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Flatten()
    net = settled(nn.Sequential(*parts, nn.BatchNorm1d(48), nn.Linear(48, 5), nn.BatchNorm1d(5)), x)
    after = fuse_batchnorm(net)
    assert norms(net) == 4 and norms(after) == 3 and torch.allclose(after(x), net(x), atol=1e-5)


def test_an_attack_finds_the_same():
    torch.manual_seed(0)
    x = torch.rand(64, 1, 8, 8)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    net = settled(net, x)
    points = Points(x, net(x).argmax(1), torch.arange(64))
    attack = pgd(eps=2e-2, steps=5)
    a, b = attack(net, points), attack(fuse_batchnorm(net), points)
    assert 0 < int(a.found.sum()) < 64 and torch.equal(a.found, b.found)
