"""PGD adversarial training on labels softened by robustness level: an unpublished combination of PAT and AR-AdaLS."""

from dataclasses import replace

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.attacks.oracle import Start
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import cross_entropy
from surefooted.models.victims import Mode
from surefooted.training.methods.adversarial import pgd_training
from surefooted.training.methods.adversary import Adversary
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
    """PAT on AR-AdaLS labels: both the inner and the outer loss read the soft labels of each robustness level.

    Args:
        alpha, levels, robustness: as in ``ar_adals``.
        eps, steps, step_size, norm, start, clean_share, mode: as in ``pat``.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.pat_ar_adals(levels=4, steps=3)
        >>> method.target.levels, method.perturb.passes
        (4, 4)
    """
    hard = pgd_training(cross_entropy(), Adversary(eps, steps, step_size, norm, start), clean_share, mode)
    return replace(hard, target=adaptive(alpha=alpha, levels=levels, robustness=robustness))
