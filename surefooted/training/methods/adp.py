"""Adaptive diversity promoting."""

from surefooted.components.component import NonNegative, component
from surefooted.core.scores import adp_loss
from surefooted.training.methods.base import Method
from surefooted.training.methods.ensembles import MemberCount


@component
def adp(*, members: MemberCount = 3, alpha: NonNegative = 2.0, beta: NonNegative = 0.5) -> Method:
    """Adaptive diversity promoting (ADP): an ensemble whose members are kept from making the same errors.

    It is EntM's ensemble baseline.

    Args:
        members: number of networks.
        alpha: weight of the entropy of the mean prediction.
        beta: weight of the diversity of the members' wrong predictions.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.adp(members=2)
        >>> method.members, method.separate_batches  # the loss reads all members at the same points
        (2, False)

    Reference:
        Pang et al., *Improving adversarial robustness via promoting ensemble diversity*, ICML 2019.
    """
    return Method(adp_loss(alpha=alpha, beta=beta), members=members)
