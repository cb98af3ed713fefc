"""Uncertainty-targeted adversarial training."""

from typing import Literal

from surefooted.attacks.pgd import pgd
from surefooted.checked import Count, NonNegative, Positive, Share, checked
from surefooted.core import Score
from surefooted.geometry import Norm
from surefooted.methods.base import Method, blend
from surefooted.oracle import Start
from surefooted.scores import cross_entropy, entropy
from surefooted.views import Mode


@checked
def uta(
    *,
    eps: NonNegative = 0.3,
    steps: Count | None = None,
    step_size: Positive = 0.01,
    schedule: Literal["constant", "triangular"] = "constant",
    norm: Norm = "linf",
    start: Start = "clean",
    uncertainty: Score = entropy(),  # noqa: B008 - a value without state
    clean_share: Share = 0.0,
    clip: bool = True,
    mode: Mode = "eval",
) -> Method:
    """Uncertainty-targeted adversarial training (UTA-AT): trained where the prediction is least sure, not most wrong.

    From δ = 0, sign steps of size α up the entropy of the prediction; labels play no part in it (UTA, algorithm 1).

    Args:
        steps: K; by default ε / α (MNIST and Fashion-MNIST). One step with step_size = eps is the paper's fast variant.
        uncertainty: the score to raise.
        clean_share: 0 trains on perturbed points alone, as the paper does.
        clip: keep to [0, 1]; the paper's algorithm does not say.

    Source: *Improved generalization-robustness trade-off via uncertainty targeted attacks*, algorithm 1.
    """
    attack = pgd(
        norm=norm,
        eps=eps,
        steps=steps or max(1, round(eps / step_size)),
        step_size=step_size,
        schedule=schedule,
        start=start,
        objective=uncertainty,
        keep="last",
        clip=clip,
    )
    return Method(blend(cross_entropy(), clean_share), attack, mode=mode)
