"""Uncertainty-targeted adversarial training (UTA-AT), and the loss-targeted training that its paper compares."""

from typing import Literal

from surefooted.attacks.oracle import Start
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import cross_entropy, entropy, summed_cross_entropy
from surefooted.core.types import Score
from surefooted.errors import ArgumentError
from surefooted.models.victims import Mode
from surefooted.training.methods.adversary import Adversary
from surefooted.training.methods.base import Method, blend
from surefooted.training.methods.views import View, plain


@component
def uta(
    *,
    eps: NonNegative = 0.3,
    steps: Count | None = None,
    step_size: Positive = 0.01,
    schedule: Literal["constant", "triangular"] = "constant",
    norm: Norm = "linf",
    start: Start = "clean",
    uncertainty: Score = entropy(),  # noqa: B008 - a value without state
    members: Count = 1,
    view: View = plain(),  # noqa: B008
    clean_share: Share = 0.0,
    clip: bool = True,
    mode: Mode = "eval",
) -> Method:
    """Uncertainty-targeted adversarial training (UTA-AT): trains where the prediction is least certain.

    The attack starts at the clean point and takes sign steps of size α up the entropy of the mean prediction. It does
    not read the labels.

    Args:
        eps: radius ε, for pixels in [0, 1].
        steps: K gradient steps; by default ε / α (MNIST and Fashion-MNIST). One step with step_size = eps is the
            paper's fast variant.
        step_size: α.
        schedule: constant; triangular goes from step_size to max(step_size, eps / 5) and back (SVHN and latent spaces).
        norm: norm of the ball, linf or l2.
        start: first point of the attack: clean, uniform or gaussian.
        uncertainty: score to raise: entropy or margin_uncertainty; with several predictions per example also
            mutual_information or variance.
        members: M networks, attacked through the entropy of their mean prediction. Each trains on its own loss.
        view: network as the attack reads it: plain, latent (the features behind a stage) or mc_dropout (the mean
            prediction over dropout masks).
        clean_share: share of the loss taken at the clean point; the paper has 0.
        clip: keep the points in [0, 1]. The paper's algorithm does not say.
        mode: mode of batch norm and dropout during the attack.

    Raises:
        ArgumentError: the uncertainty needs several predictions per example, and there is one.

    Example:
        >>> import surefooted as sf
        >>> method = sf.methods.uta(eps=0.2, step_size=0.05)
        >>> method.perturb.objective.spec.name, method.perturb.passes  # four steps and the last point
        ('entropy', 5)

    Reference:
        *Improved generalization-robustness trade-off via uncertainty targeted attacks*, algorithm 1.
    """
    if members == 1 and view.samples == 1 and uncertainty.epistemic:
        raise ArgumentError(
            f"{uncertainty.called} is constant for a single prediction, so its gradient is zero. Train several "
            "networks (`method.members=5`) or attack several dropout masks (`method.view=mc_dropout`)."
        )
    adversary = Adversary(eps, steps, step_size, norm, start, schedule=schedule, clip=clip)
    return _perturbed_training(uncertainty, adversary, members, view, clean_share, mode)


@component
def pgd_at(
    *,
    eps: NonNegative = 0.3,
    steps: Count | None = None,
    step_size: Positive = 0.01,
    schedule: Literal["constant", "triangular"] = "constant",
    norm: Norm = "linf",
    start: Start = "clean",
    members: Count = 1,
    view: View = plain(),  # noqa: B008 - a value without state
    clean_share: Share = 0.0,
    clip: bool = True,
    mode: Mode = "eval",
) -> Method:
    """PGD adversarial training (PGD-AT) as UTA compares itself with: as ``uta``, but the attack raises the loss.

    It starts at the clean point and trains on perturbed points only. ``pat`` is EntM's version, with a random start and
    half of the loss at clean points.

    Args:
        eps, steps, step_size, schedule, norm, start, members, view, clean_share, clip, mode: as in ``uta``.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.pgd_at(eps=0.2, step_size=0.05).perturb.objective.spec.name
        'cross_entropy'

    Reference:
        Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018; with the settings of
        UTA, section 5.1.
    """
    adversary = Adversary(eps, steps, step_size, norm, start, schedule=schedule, clip=clip)
    return _perturbed_training(cross_entropy(), adversary, members, view, clean_share, mode)


def _perturbed_training(
    objective: Score, adversary: Adversary, members: int, view: View, clean_share: float, mode: Mode
) -> Method:
    attack = adversary.attack(objective)
    loss = cross_entropy() if members == 1 else summed_cross_entropy()
    return Method(blend(loss, clean_share, attack), attack, mode=mode, members=members, view=view)
