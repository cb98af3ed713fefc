"""TRADES: a clean loss, and a penalty on how far the prediction moves within the ball."""

from typing import Literal

from surefooted.attacks.pgd import pgd
from surefooted.components.component import Count, NonNegative, Positive, component
from surefooted.core.norms import Norm
from surefooted.core.scores import at_clean, cross_entropy, entm_loss, kl_from_clean, kl_to_clean
from surefooted.core.types import Score
from surefooted.models.victims import Mode
from surefooted.training.methods.base import Method, step_of

Divergence = Literal["from_clean", "to_clean"]

VERSION = {"trades_entm": 2}  # entropy in float64


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
        beta: 3 in EntM, 6 in TRADES.
        step_size: of the attack; by default ε / 4.
        divergence: from_clean is KL(f(x) ‖ f(x')), the reference code's; to_clean is KL(f(x') ‖ f(x)), EntM's.

    Source: Zhang et al., *Theoretically principled trade-off between robustness and accuracy*, ICML 2019.
    """
    return _trades(cross_entropy(), beta, eps, steps, step_size, norm, divergence, mode)


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
    """TRADES with entropy maximisation: its clean loss becomes cross-entropy less λ entropy (EntM appendix E).

    Other arguments are as in ``trades``.
    """
    return _trades(entm_loss(lam=lam), beta, eps, steps, step_size, norm, divergence, mode)


def _trades(
    loss: Score,
    beta: float,
    eps: float,
    steps: int,
    step_size: float | None,
    norm: Norm,
    divergence: Divergence,
    mode: Mode,
) -> Method:
    kl = kl_from_clean() if divergence == "from_clean" else kl_to_clean()
    # The KL has gradient zero at the clean point itself: the reference code starts a hair beside it.
    attack = pgd(
        norm=norm,
        eps=eps,
        steps=steps,
        step_size=step_of(eps, step_size),
        start="gaussian",
        sigma=0.001,
        objective=kl,
        keep="last",
    )
    return Method(at_clean(loss) + beta * kl, attack, mode=mode)
