"""Adaptive diversity promoting."""

from surefooted.components.component import NonNegative, component
from surefooted.core.scores import adp_loss
from surefooted.training.methods.base import Method
from surefooted.training.methods.ensembles import Several


@component
def adp(*, members: Several = 3, alpha: NonNegative = 2.0, beta: NonNegative = 0.5) -> Method:
    """Adaptive diversity promoting (ADP): an ensemble whose members are kept from erring alike (EntM's baseline).

    Source: Pang et al., *Improving adversarial robustness via promoting ensemble diversity*, ICML 2019.
    """
    return Method(adp_loss(alpha=alpha, beta=beta), members=members)
