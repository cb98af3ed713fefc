"""Free combinations of the slots of a method."""

from surefooted.attacks.base import Attack
from surefooted.components.component import Count, Share, component
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Score
from surefooted.errors import ArgumentError
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
    """Any attack with any target and any loss, such as UTA's attack with EntM's loss on AR-AdaLS labels.

    Args:
        loss: score to minimise at the perturbed point.
        perturb: attack on the points. Training takes its last iterate, whatever its ``keep``; of an attack that tries
            several candidates (unions, targets, random searches) the worst candidate, and of one that searches for the
            nearest boundary the nearest point.
        target: how labels are softened.
        members: number of networks that attack and loss read as one; summed_cross_entropy trains each on its own loss.
        view: network as the attack reads it: plain, latent (the features behind a stage) or mc_dropout.
        clean_share: share of the loss taken at the clean point.
        mode: mode of batch norm and dropout during the attack.

    Raises:
        ArgumentError: ``view``, ``mode`` or ``clean_share`` is set without an attack.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.custom(perturb={"pgd": {"objective": "entropy"}}, loss={"entm_loss": {"lam": 1.0}})
        >>> method.perturb.objective.spec.name
        'entropy'
    """
    if perturb is None and (view.spec != plain().spec or mode != "eval"):
        raise ArgumentError(
            "`method.view` and `method.mode` say how an attack reads the network, but this method has no attack. Set "
            "one (`method.perturb=pgd`) or leave them out."
        )
    return Method(blend(loss, clean_share, perturb), perturb, target, mode, members=members, view=view)
