"""What a training sees to before its first step: statistics, memory layout, the levels of the examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surefooted.data.images import Images, Splits
from surefooted.errors import InputError
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import Levels

# Images whose robustness is looked for at once.
RANKED = 4096
# Images that a Gaussian process starts from.
STARTED_FROM = 1000


def start_from(net: nn.Module, train: Images, device: torch.device) -> None:
    """What networks learn from the training images before the first step; a checkpoint that is read later prevails."""
    from surefooted.models.nets.due import Due
    from surefooted.models.nets.normalise import Normalise

    for module in net.modules():
        if isinstance(module, Normalise) and module.mode != "none":
            module.fit(train.points().x)
    for module in net.modules():
        if isinstance(module, Due):
            some = torch.arange(len(train))[:: -(-len(train) // STARTED_FROM)]
            module.to(device).initialise(train.points(some).x, len(train))


def to_memory_format(net: nn.Module, device: torch.device, *, mixed: bool = False) -> None:
    """Channels last where convolutions are fastest so: on a CPU, where a LeNet's training step takes 0.6 of the time.

    Args:
        mixed: whether convolutions run in half precision, for which GPUs are faster so too.
    """
    if mixed or device.type == "cpu":
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs


def first_levels(method: Method, data: Splits, given: Levels | None) -> Levels:
    """The levels that a training begins with: those given, where the method wants examples ranked beforehand."""
    if method.target.learns and not len(data.validation):
        raise InputError(
            "this method learns its labels on the validation set, which is empty; set --data.validation 0.1."
        )
    if method.target.levels == 1:
        return Levels.single(data.train.rows, data.validation.rows)
    if method.target.every:  # ranked before the first step
        rows = data.train.rows, data.validation.rows
        return Levels.from_ranking(rows[0], rows[0].double(), rows[1], rows[1].double(), levels=method.target.levels)
    if given is None:
        raise InputError("this method needs the robustness level of every example; train it through surefooted.train.")
    return given


def own_levels(method: Method, net: nn.Module, data: Splits, device: torch.device) -> Levels:
    """The robustness levels that the network in training gives the examples, by its own predictions."""
    attack = method.target.robustness
    assert attack is not None
    ranked: list[Tensor] = []
    for images in (data.train, data.validation):
        found = [attack(net, images.points(slice(a, a + RANKED), device)) for a in range(0, len(images), RANKED)]
        ranked += [images.rows, torch.cat([f.distance for f in found]).cpu()]
    return Levels.from_ranking(*ranked, levels=method.target.levels).to(device)
