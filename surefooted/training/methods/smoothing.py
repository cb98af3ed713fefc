"""Training on softened labels at the clean points: vanilla, LS, AdaLS and AR-AdaLS."""

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.components.component import Count, Positive, Share, Whole, component
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Score
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import adaptive, label_smoothing


@component
def vanilla() -> Method:
    """Cross-entropy on hard labels: the baseline of all three papers (EntM calls it Normal)."""
    return Method(cross_entropy())


@component
def ls(*, eps: Share = 0.02) -> Method:
    """Label smoothing (LS) with one fixed ε. AR-AdaLS: 0.02, swept; EntM: 0.74 (10 classes), 0.84 (100)."""
    return Method(cross_entropy(), target=label_smoothing(eps=eps))


@component
def adals(*, alpha: Positive = 0.05) -> Method:
    """Adaptive label smoothing (AdaLS): one ε for all, learnt from confidence less accuracy on the validation set."""
    return Method(cross_entropy(), target=adaptive(alpha=alpha, levels=1))


@component
def ar_adals(
    *,
    alpha: Positive = 0.005,
    levels: Count = 10,
    robustness: Attack = nearest_boundary(away_from="prediction"),  # noqa: B008 - a value without state
    by: Score | None = None,
    column: str = "",
    every: Whole = 0,
    later: tuple[tuple[Count, Positive], ...] = (),
) -> Method:
    """Adversarial-robustness based adaptive label smoothing (AR-AdaLS): a learnt ε for each robustness level.

    The levels are computed beforehand: a vanilla model of the same network, data, recipe and seed is attacked first.

    Args:
        alpha: learning rate of the soft labels (CIFAR-10: 0.005).
        levels: R = 10 in the paper.
        robustness: attack that measures each example's distance to another answer. The paper has CW-L2 with 3 × 500
            steps (carlini_wagner); nearest_boundary puts 97 % of examples or more into the same or the next level, for
            a thirtieth of its gradients (``docs/performance.md``).
        by, column: rank the examples by another attribute; see ``targets.adaptive``.
        every: rank every so many epochs with the network in training ("on the fly"); 0 once, beforehand.
        later: (epoch, α) pairs: another α, each from after that epoch on.

    Source: Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*.
    """
    target = adaptive(alpha=alpha, levels=levels, robustness=robustness, by=by, column=column, every=every, later=later)
    return Method(cross_entropy(), target=target)
