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
        stage: the last stage of the encoder, such as fc1 of a LeNet (120 wide in UTA). A dotted name ends the encoder
            inside a stage: ``fc1.linear`` is fc1 before its ReLU.
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
    """The modules up to the named one, and those after it."""
    outer, _, inner = stage.partition(".")
    stages = dict(net.named_children())
    cut = list(stages).index(outer) + 1
    before, after = list(stages.values())[:cut], list(stages.values())[cut:]
    if not inner:
        return before, after
    first, second = _split(before.pop(), inner)
    return [*before, *first], [*second, *after]


def _apply(stages: Sequence[nn.Module], x: Tensor) -> Tensor:
    for stage in stages:
        x = stage(x)
    return x


def _check_stage(net: nn.Module, stage: str, *, within: bool = False) -> None:
    """Refuse a name of no stage. ``within`` a stage, the last one may end the encoder: other stages follow."""
    if not isinstance(net, nn.Sequential):
        raise ModelError(
            f"An attack in a latent space needs a torch.nn.Sequential of named stages; got {type(net).__name__}. "
            "Wrap encoder and classifier in a torch.nn.Sequential, with names."
        )
    outer, _, inner = stage.partition(".")
    children = dict(net.named_children())
    stages, allowed = list(children), list(children) if within else list(children)[:-1]
    if outer not in allowed:
        hint = f" {outer} is the last stage." if outer in stages else did_you_mean(outer, allowed)
        choice = "any" if within else "any but the last"
        raise ModelError(
            f"There is no latent space after stage {outer!r}.{hint} The stages are {', '.join(stages)}; choose "
            f"{choice}."
        )
    if inner:
        _check_stage(children[outer], inner, within=True)
