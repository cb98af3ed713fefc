"""Methods that train several networks side by side; their mean prediction is the answer."""

from typing import Annotated

from pydantic import Field

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.checked import Count, NonNegative, Positive, checked
from surefooted.methods.base import Method
from surefooted.methods.targets import adaptive
from surefooted.scores import adp_loss, summed_cross_entropy

Several = Annotated[int, Field(ge=2, description="whole number from 2")]


@checked
def ensemble(*, members: Several = 5) -> Method:
    """Deep ensemble in lockstep: members of different first weights on the same batches, each with its own loss.

    Independent runs (seeds of their own for batches too) are what AR-AdaLS and its source call an ensemble; a study
    puts them together from single networks. This one costs one run and serves to compare with.
    """
    return Method(summed_cross_entropy(), members=members)


@checked
def ar_adals_of_ensemble(
    *,
    members: Several = 5,
    alpha: Positive = 0.005,
    levels: Count = 10,
    robustness: Attack = nearest_boundary(away_from="prediction"),  # noqa: B008 - a value without state
) -> Method:
    """AR-AdaLS of Ensemble: one set of soft labels, read off the members' mean prediction, for all of them.

    Ensembling networks that are well calibrated each makes them under-confident together; here it is the ensemble that
    is kept calibrated. The members run in lockstep, since the labels follow all of them.

    Args:
        members: M = 5 in the paper.
        alpha, levels, robustness: as in ``ar_adals``.

    Source: Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*, 6.3.
    """
    target = adaptive(alpha=alpha, levels=levels, robustness=robustness)
    return Method(summed_cross_entropy(), target=target, members=members)


@checked
def adp(*, members: Several = 3, alpha: NonNegative = 2.0, beta: NonNegative = 0.5) -> Method:
    """Adaptive diversity promoting (ADP): an ensemble whose members are kept from erring alike (EntM's baseline).

    Source: Pang et al., *Improving adversarial robustness via promoting ensemble diversity*, ICML 2019.
    """
    return Method(adp_loss(alpha=alpha, beta=beta), members=members)
