"""Adaptive diversity promoting."""

from surefooted.checked import NonNegative, checked
from surefooted.methods.base import Method
from surefooted.methods.ensembles import Several
from surefooted.scores import adp_loss


@checked
def adp(*, members: Several = 3, alpha: NonNegative = 2.0, beta: NonNegative = 0.5) -> Method:
    """Adaptive diversity promoting (ADP): an ensemble whose members are kept from erring alike (EntM's baseline).

    Source: Pang et al., *Improving adversarial robustness via promoting ensemble diversity*, ICML 2019.
    """
    return Method(adp_loss(alpha=alpha, beta=beta), members=members)
