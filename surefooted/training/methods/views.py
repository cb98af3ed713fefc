"""How the inner maximisation reads the network in training: as it is, in its features, with its dropout left on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from surefooted.components.component import Component, Count, Spec, component
from surefooted.models.ensembles import MonteCarloDropout
from surefooted.models.latent import LatentVictim
from surefooted.models.victims import Victim, as_victim

__all__ = ["latent", "mc_dropout", "plain"]


@dataclass(frozen=True)
class View(Component):
    """From a network to the victim that is attacked in training.

    Attributes:
        victim: makes the victim of a network.
        inside: the perturbation is added to features, so encoder and classifier both learn from the perturbed pass.
        samples: predictions of each network.
    """

    kind = "view"

    victim: Callable[[nn.Module], Victim]
    inside: bool = False
    samples: int = 1
    spec: Spec | None = field(default=None, compare=False, repr=False)


@component
def plain() -> View:
    """The network as it is; several members in their pixels, all at once."""
    return View(as_victim)


@component
def latent(*, stage: str) -> View:
    """The features behind a named stage; encoder and classifier train together (UTA, section 5.2: fc1 of a LeNet)."""
    return View(lambda net: LatentVictim(net, stage), inside=True)


@component
def mc_dropout(*, samples: Count = 5) -> View:
    """So many dropout masks, fresh at every step of the attack (UTA, CIFAR-10); the outer loss sees one, as ever.

    Args:
        samples: M, 1 or 5 in the paper.
    """
    return View(lambda net: MonteCarloDropout(net, samples=samples), samples=samples)
