"""Linear victims, of which the least perturbation that changes the answer is known."""

from math import inf, prod

import torch
from torch import nn

from surefooted.core.types import Points


def linear(classes=2, shape=(12,), rows=60):
    """A linear victim with points well inside the box, and the exact distances to the nearest other class by norm."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))
    x = torch.rand(rows, *shape) * 0.3 + 0.35
    points = Points(x, net(x).argmax(1), torch.arange(rows))
    return net, points, {norm: distances(net, points, norm) for norm in ("linf", "l2")}


def distances(net, points, norm):
    """To each plane between two classes the gap over the dual norm of the slope; the least of them."""
    with torch.no_grad():
        z, w = net(points.x), net[-1].weight
        gap, slope = z.gather(1, points.y[:, None]) - z, w[points.y][:, None] - w
        return (gap / slope.norm(p={"linf": 1, "l2": 2}[norm], dim=2)).nan_to_num(inf).amin(1)
