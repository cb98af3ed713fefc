"""A combination that nobody published: adversarial training on labels softened by robustness level."""

from dataclasses import replace

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.attacks.oracle import Start
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.models.victims import Mode
from surefooted.training.methods.adversarial import pat
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import adaptive


@component
def pat_ar_adals(
    *,
    alpha: Positive = 0.005,
    levels: Count = 10,
    robustness: Attack = nearest_boundary(away_from="prediction"),  # noqa: B008 - a value without state
    eps: NonNegative = 8 / 255,
    steps: Count = 7,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    start: Start = "uniform",
    clean_share: Share = 0.5,
    mode: Mode = "eval",
) -> Method:
    """PAT on AR-AdaLS labels: each robustness level's soft labels are read by the inner and the outer loss alike.

    Arguments are as in ``ar_adals`` and ``pat``.
    """
    hard = pat(eps=eps, steps=steps, step_size=step_size, norm=norm, start=start, clean_share=clean_share, mode=mode)
    return replace(hard, target=adaptive(alpha=alpha, levels=levels, robustness=robustness))
