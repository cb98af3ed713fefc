"""Attacks in a latent space: a network that is cut at a named stage and attacked between its halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import ModelError, did_you_mean
from surefooted.models.ensembles import Ensemble, add_sample_axis
from surefooted.models.guard import call_network, network_logits


@dataclass(frozen=True, eq=False)
class LatentVictim:
    """A victim whose features are attacked: ``lift`` is the encoder, and a call runs the rest of the network.

    Features are unbounded, so the box is infinite. The features of an ensemble are those of all members, stacked:
    the members' feature spaces have nothing in common.

    Attributes:
        net: a ``torch.nn.Sequential`` of named stages, as all networks of ``surefooted.nets`` are, or an ensemble of
            such networks.
        stage: the last stage of the encoder, such as fc1 of a LeNet (120 wide in UTA).
        box: minimum and maximum of a feature.

    Raises:
        ModelError: if the network has no such stage, or nothing follows it.

    Reference:
        UTA, section 4.2.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.lenet((1, 28, 28), 10)
        >>> victim, x = LatentVictim(net, "fc1"), torch.rand(2, 1, 28, 28)
        >>> z = victim.lift(x)
        >>> z.shape, victim(z).shape
        (torch.Size([2, 120]), torch.Size([1, 2, 10]))
        >>> victim(z)[0].equal(net(x))
        True
    """

    net: nn.Module
    stage: str
    box: tuple[float, float] = (-inf, inf)

    def __post_init__(self) -> None:
        for member in self.nets:
            _check_stage(member, self.stage)

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return self.net.nets if isinstance(self.net, Ensemble) else (self.net,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *z"]:
        features = [call_network(member, x, partial(_apply, _split(member, self.stage)[0])) for member in self.nets]
        return torch.stack(features, 1) if isinstance(self.net, Ensemble) else features[0]

    def __call__(self, z: Float[Tensor, "b *z"]) -> Float[Tensor, "s b k"]:
        features = z.unbind(1) if isinstance(self.net, Ensemble) else (z,)
        logits = [
            network_logits(member, part, partial(_apply, _split(member, self.stage)[1]))
            for member, part in zip(self.nets, features)
        ]
        return torch.cat([add_sample_axis(part) for part in logits])


def _split(net: nn.Module, stage: str) -> tuple[Sequence[nn.Module], Sequence[nn.Module]]:
    """The stages up to the named one, and those after it."""
    stages = dict(net.named_children())
    cut = list(stages).index(stage) + 1
    return list(stages.values())[:cut], list(stages.values())[cut:]


def _apply(stages: Sequence[nn.Module], x: Tensor) -> Tensor:
    for stage in stages:
        x = stage(x)
    return x


def _check_stage(net: nn.Module, stage: str) -> None:
    if not isinstance(net, nn.Sequential):
        raise ModelError(
            f"An attack in a latent space needs a torch.nn.Sequential of named stages; got {type(net).__name__}. "
            "Wrap encoder and classifier in a torch.nn.Sequential, with names."
        )
    stages = [name for name, _ in net.named_children()]
    if stage not in stages[:-1]:
        hint = f" {stage} is the last stage." if stage in stages else did_you_mean(stage, stages[:-1])
        raise ModelError(
            f"There is no latent space after stage {stage!r}.{hint} The stages are {', '.join(stages)}; choose any but "
            "the last."
        )
