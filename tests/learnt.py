"""A network that has learnt the digits: in a second, and the same each time."""

import torch
from torch import nn

from surefooted.data import digits


def learnt(net: nn.Module, steps: int) -> nn.Module:
    """The network after so many steps of Adam on batches of 128; its first weights are the caller's."""
    train = digits().train.points()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        rows = torch.randint(len(train.y), (128,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(train.x[rows]), train.y[rows]).backward()
        optimiser.step()
    net.zero_grad()
    return net
