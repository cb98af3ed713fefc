"""Methods that train several networks side by side and predict their mean."""

from typing import Annotated

from pydantic import Field

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.components.component import Count, Positive, component
from surefooted.core.scores import summed_cross_entropy
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import adaptive

VERSION = 2  # 2: members draw their own batches.

MemberCount = Annotated[int, Field(ge=2, description="whole number from 2")]


@component
def ensemble(*, members: MemberCount = 5) -> Method:
    """Deep ensemble in lockstep: members have different initial weights, their own batches and their own loss.

    They train as independent runs would, in one artifact; the first member is the network that the same seed trains
    alone. Studies build their ensembles from single networks instead.

    Args:
        members: number of networks.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.ensemble(members=3)
        >>> method.members, method.separate_batches
        (3, True)

    Reference:
        Lakshminarayanan et al., *Simple and scalable predictive uncertainty estimation using deep ensembles*, NeurIPS
        2017.
    """
    return Method(summed_cross_entropy(), members=members, separate_batches=True)


@component
def ar_adals_of_ensemble(
    *,
    members: MemberCount = 5,
    alpha: Positive = 0.005,
    levels: Count = 10,
    robustness: Attack = nearest_boundary(away_from="prediction"),  # noqa: B008 - a value without state
    later: tuple[tuple[Count, Positive], ...] = (),
) -> Method:
    """AR-AdaLS of Ensemble: all members share one set of soft labels, learnt from their mean prediction.

    An ensemble of networks that are each well calibrated is under-confident; here the ensemble itself is kept
    calibrated. The members train in lockstep, because the labels follow their mean prediction, on their own batches.

    Args:
        members: M, 5 in the paper.
        alpha, levels, robustness, later: as in ``ar_adals``.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.ar_adals_of_ensemble(members=2, levels=4)
        >>> method.members, method.target.levels
        (2, 4)

    Reference:
        Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*, section 6.3.
    """
    target = adaptive(alpha=alpha, levels=levels, robustness=robustness, later=later)
    return Method(summed_cross_entropy(), target=target, members=members, separate_batches=True)
