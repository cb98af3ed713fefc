"""Methods that train several networks side by side; their mean prediction is the answer."""

from typing import Annotated

from pydantic import Field

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.components.component import Count, Positive, component
from surefooted.core.scores import summed_cross_entropy
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import adaptive

# 2: members draw batches of their own.
VERSION = 2

Several = Annotated[int, Field(ge=2, description="whole number from 2")]


@component
def ensemble(*, members: Several = 5) -> Method:
    """Deep ensemble in lockstep: members of different first weights, on batches of their own, each with its own loss.

    As independent runs would be (the first member is the network of that seed trained alone), in one artefact. A study
    puts its ensembles together from single networks.
    """
    return Method(summed_cross_entropy(), members=members, apart=True)


@component
def ar_adals_of_ensemble(
    *,
    members: Several = 5,
    alpha: Positive = 0.005,
    levels: Count = 10,
    robustness: Attack = nearest_boundary(away_from="prediction"),  # noqa: B008 - a value without state
    later: tuple[tuple[Count, Positive], ...] = (),
) -> Method:
    """AR-AdaLS of Ensemble: one set of soft labels, read off the members' mean prediction, for all of them.

    Ensembling networks that are well calibrated each makes them under-confident together; here it is the ensemble that
    is kept calibrated. The members run in lockstep, since the labels follow all of them, on batches of their own.

    Args:
        members: M = 5 in the paper.
        alpha, levels, robustness, later: as in ``ar_adals``.

    Source: Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*, 6.3.
    """
    target = adaptive(alpha=alpha, levels=levels, robustness=robustness, later=later)
    return Method(summed_cross_entropy(), target=target, members=members, apart=True)
