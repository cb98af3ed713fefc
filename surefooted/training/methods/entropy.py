"""Entropy maximisation without adversarial training."""

from surefooted.components.component import NonNegative, component
from surefooted.core.scores import entm_loss
from surefooted.training.methods.base import Method

VERSION = 2  # 2: the entropy is computed in float64.


@component
def entm(*, lam: NonNegative = 2.0) -> Method:
    """Entropy maximisation (EntM): cross-entropy minus λ times the entropy of the prediction.

    Args:
        lam: λ of the paper, 2.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.entm().loss.spec.arguments
        {'lam': 2.0}

    Reference:
        EntM, equation 4.
    """
    return Method(entm_loss(lam=lam))
