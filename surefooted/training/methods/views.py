"""Views: how the inner maximisation reads the network in training."""

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
    """From a network to the victim that is attacked during training.

    Attributes:
        make_victim: makes the victim of a network.
        in_features: the perturbation is added to features, so encoder and classifier both learn from the perturbed
            pass.
        samples: predictions per example of each network.
    """

    kind = "view"

    make_victim: Callable[[nn.Module], Victim]
    in_features: bool = False
    samples: int = 1
    spec: Spec | None = field(default=None, init=False, compare=False, repr=False)


@component
def plain() -> View:
    """The network itself, attacked in its pixels; several members are attacked at once.

    Example:
        >>> from surefooted.training.methods.views import plain
        >>> plain().in_features
        False
    """
    return View(as_victim)


@component
def latent(*, stage: str) -> View:
    """The features behind a named stage; encoder and classifier train together.

    Args:
        stage: last stage of the encoder, such as fc1; fc1.linear ends it inside that stage, before the ReLU.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.uta(view={"latent": {"stage": "fc1"}}, clip=False)
        >>> method.view.in_features
        True

    Reference:
        UTA, section 5.2, which attacks behind fc1 of a LeNet, and does not say whether before or after its ReLU.
    """
    return View(lambda net: LatentVictim(net, stage), in_features=True)


@component
def mc_dropout(*, samples: Count = 5) -> View:
    """Several dropout masks, drawn afresh at every step of the attack; the outer loss reads one, as usual.

    Args:
        samples: M, number of masks; 1 or 5 in the paper.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.uta(view={"mc_dropout": {"samples": 2}}).view.samples
        2

    Reference:
        UTA, experiments on CIFAR-10.
    """
    return View(lambda net: MonteCarloDropout(net, samples=samples), samples=samples)
