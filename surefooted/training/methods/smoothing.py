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
    """Cross-entropy on hard labels: the baseline of all three papers (EntM calls it Normal).

    Example:
        >>> import surefooted as sf
        >>> sf.methods.vanilla().loss.spec.name
        'cross_entropy'
    """
    return Method(cross_entropy())


@component
def ls(*, eps: Share = 0.02) -> Method:
    """Label smoothing (LS) with one fixed ε.

    Args:
        eps: probability mass that is spread over all classes. AR-AdaLS sweeps it around 0.02; EntM takes 0.74 for 10
            classes and 0.84 for 100.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.ls(eps=0.1).target.spec.arguments
        {'eps': 0.1}

    Reference:
        AR-AdaLS, equation 1.
    """
    return Method(cross_entropy(), target=label_smoothing(eps=eps))


@component
def adals(*, alpha: Positive = 0.05) -> Method:
    """Adaptive label smoothing (AdaLS): one ε for all examples, learnt from the overconfidence on the validation set.

    Args:
        alpha: learning rate of the soft labels.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.adals().target.levels
        1

    Reference:
        Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*.
    """
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
    """Adversarial-robustness based adaptive label smoothing (AR-AdaLS): learns one ε per robustness level.

    The levels are computed before training: a vanilla model of the same network, data, recipe and seed is trained and
    attacked first.

    Args:
        alpha: learning rate of the soft labels (CIFAR-10: 0.005).
        levels: R, number of robustness levels; 10 in the paper.
        robustness: attack that measures the distance of each example to the decision boundary. The paper uses CW-L2
            with 3 × 500 steps (carlini_wagner). nearest_boundary puts at least 97 % of the examples into the same or a
            neighbouring level with one thirtieth of the gradients (``docs/performance.md``).
        by, column: rank the examples by another attribute; see ``targets.adaptive``.
        every: epochs between rankings with the network in training ("on the fly"); 0 ranks once, before training.
        later: (epoch, α) pairs; each α holds after its epoch.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.ar_adals(levels=5, robustness={"carlini_wagner": {"steps": 10}})
        >>> method.target.ranking.attack.away_from
        'prediction'

    Reference:
        Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*, algorithm 1.
    """
    target = adaptive(alpha=alpha, levels=levels, robustness=robustness, by=by, column=column, every=every, later=later)
    return Method(cross_entropy(), target=target)
