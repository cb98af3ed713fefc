"""Entropy maximisation without adversarial training."""

from surefooted.components.component import NonNegative, component
from surefooted.core.scores import entm_loss
from surefooted.training.methods.base import Method

VERSION = 2  # entropy in float64


@component
def entm(*, lam: NonNegative = 2.0) -> Method:
    """Entropy maximisation (EntM): cross-entropy less λ times the entropy of the prediction (EntM eq. 4)."""
    return Method(entm_loss(lam=lam))
