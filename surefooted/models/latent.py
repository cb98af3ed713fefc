"""The latent view: a network cut in two at a named stage, and attacked between its halves (UTA, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import InputError, did_you_mean
from surefooted.models.ensembles import Ensemble, draw_samples


@dataclass(frozen=True, eq=False)
class LatentVictim:
    """A classifier of what an encoder gives: ``lift`` is the encoder, a call the rest of the network. A victim.

    Perturbations live in the features, which no box bounds. Those of an ensemble are every member's own, side by side:
    its members' features have nothing to do with each other.

    Attributes:
        net: stages in a row (``torch.nn.Sequential``), as all networks of ours are, or an ensemble of such.
        stage: the last stage of the encoder, such as fc1 of a LeNet (120 wide in UTA).
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
        features = [_run(_halves(member, self.stage)[0], x) for member in self.nets]
        return torch.stack(features, 1) if isinstance(self.net, Ensemble) else features[0]

    def __call__(self, z: Float[Tensor, "b *z"]) -> Float[Tensor, "s b k"]:
        each = z.unbind(1) if isinstance(self.net, Ensemble) else (z,)
        return torch.cat(
            [draw_samples(_run(_halves(member, self.stage)[1], one)) for member, one in zip(self.nets, each)]
        )


def _halves(net: nn.Module, stage: str) -> tuple[Sequence[nn.Module], Sequence[nn.Module]]:
    """The stages up to the named one, and those behind it."""
    stages = dict(net.named_children())
    cut = list(stages).index(stage) + 1
    return list(stages.values())[:cut], list(stages.values())[cut:]


def _run(stages: Sequence[nn.Module], x: Tensor) -> Tensor:
    for stage in stages:
        x = stage(x)
    return x


def _check_stage(net: nn.Module, stage: str) -> None:
    if not isinstance(net, nn.Sequential):
        raise InputError(
            f"a latent view needs a network of stages in a row; this is a {type(net).__name__}. "
            "Wrap encoder and classifier in torch.nn.Sequential, with names."
        )
    stages = [name for name, _ in net.named_children()]
    if stage not in stages[:-1]:
        last = f" {stage} is the last one: nothing is left behind it." if stage in stages else ""
        raise InputError(
            f"there is no latent space behind {stage!r}.{last or did_you_mean(stage, stages[:-1])} "
            f"The stages are {', '.join(stages)}."
        )
