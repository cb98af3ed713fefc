"""TRADES: a clean loss, and a penalty on how far the prediction moves within the ball."""

from typing import Literal

from surefooted.components.component import Count, NonNegative, Positive, component
from surefooted.core.norms import Norm
from surefooted.core.scores import at_clean, cross_entropy, entm_loss, kl_from_clean, kl_to_clean
from surefooted.core.types import Score
from surefooted.models.victims import Mode
from surefooted.training.methods.adversary import Adversary
from surefooted.training.methods.base import Method

Divergence = Literal["from_clean", "to_clean"]

VERSION = {"trades_entm": 2}  # 2: the entropy is computed in float64.

# The KL has gradient zero at the clean point, so the reference code starts at a small Gaussian step from it.
_SIGMA = 0.001


@component
def trades(
    *,
    beta: NonNegative = 3.0,
    eps: NonNegative = 8 / 255,
    steps: Count = 7,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    divergence: Divergence = "from_clean",
    mode: Mode = "eval",
) -> Method:
    """TRADES: cross-entropy at the clean point plus β · KL to the prediction where that KL is worst (EntM eq. 3).

    Args:
        beta: β, 3 in EntM and 6 in TRADES.
        eps: radius ε, for pixels in [0, 1].
        steps: gradient steps of the attack.
        step_size: length of a step; by default ε / 4.
        norm: norm of the ball, linf or l2.
        divergence: from_clean is KL(f(x) ‖ f(x')), as in the reference code; to_clean is KL(f(x') ‖ f(x)), as in EntM.
        mode: mode of batch norm and dropout during the attack.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.trades(beta=6.0)
        >>> method.loss.uses_clean, method.perturb.objective.spec.name
        (True, 'kl_from_clean')

    Reference:
        Zhang et al., *Theoretically principled trade-off between robustness and accuracy*, ICML 2019.
    """
    adversary = Adversary(eps, steps, step_size, norm, "gaussian", _SIGMA)
    return _kl_training(cross_entropy(), beta, divergence, adversary, mode)


@component
def trades_entm(
    *,
    lam: NonNegative = 2.0,
    beta: NonNegative = 3.0,
    eps: NonNegative = 8 / 255,
    steps: Count = 7,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    divergence: Divergence = "from_clean",
    mode: Mode = "eval",
) -> Method:
    """TRADES with entropy maximisation: its clean loss is cross-entropy minus λ times the entropy (EntM appendix E).

    Args:
        lam: λ of EntM, 2.
        beta, eps, steps, step_size, norm, divergence, mode: as in ``trades``.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.trades_entm().spec.arguments["lam"]
        2.0
    """
    adversary = Adversary(eps, steps, step_size, norm, "gaussian", _SIGMA)
    return _kl_training(entm_loss(lam=lam), beta, divergence, adversary, mode)


def _kl_training(loss: Score, beta: float, divergence: Divergence, adversary: Adversary, mode: Mode) -> Method:
    kl = kl_from_clean() if divergence == "from_clean" else kl_to_clean()
    return Method(at_clean(loss) + beta * kl, adversary.attack(kl), mode=mode)
