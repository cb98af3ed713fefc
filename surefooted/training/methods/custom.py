"""Free combinations: fill the slots yourself."""

from surefooted.attacks.base import Attack
from surefooted.components.component import Count, Share, component
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Score
from surefooted.errors import InputError
from surefooted.models.victims import Mode
from surefooted.training.methods.base import Method, blend
from surefooted.training.methods.targets import Target, one_hot
from surefooted.training.methods.views import View, plain


@component
def custom(
    *,
    loss: Score = cross_entropy(),  # noqa: B008 - a value without state
    perturb: Attack | None = None,
    target: Target = one_hot(),  # noqa: B008
    members: Count = 1,
    view: View = plain(),  # noqa: B008
    clean_share: Share = 0.0,
    mode: Mode = "eval",
) -> Method:
    """Any perturbation with any target and any loss, such as UTA's attack with EntM's loss on AR-AdaLS labels.

    Args:
        loss: minimised at the perturbed point.
        perturb: attack that moves the points; its last iterate is trained on, whatever its keep rule; of one that tries
            several things (unions, targets, random searches) the worst of them, and of one that looks for the nearest
            boundary the nearest point.
        target: how labels are softened.
        members: networks that perturbation and loss read as one; summed_cross_entropy trains each on its own.
        view: how the perturbation reads the network: plain, latent (in the features behind a stage) or mc_dropout.
        clean_share: share of the loss taken at the clean point.
    """
    if perturb is None and (view.spec != plain().spec or mode != "eval"):
        raise InputError("view and mode say how a perturbation reads the network, and there is none; give perturb.")
    return Method(blend(loss, clean_share, perturb), perturb, target, mode, members=members, view=view)
