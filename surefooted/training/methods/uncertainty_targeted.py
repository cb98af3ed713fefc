"""Uncertainty-targeted adversarial training, and the loss-targeted training that its paper compares it with."""

from typing import Literal

from surefooted.attacks.oracle import Start
from surefooted.attacks.pgd import pgd
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import cross_entropy, entropy, summed_cross_entropy
from surefooted.core.types import Score
from surefooted.errors import InputError
from surefooted.models.victims import Mode
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
    """Uncertainty-targeted adversarial training (UTA-AT): trained where the prediction is least sure, not most wrong.

    From δ = 0, sign steps of size α up the entropy of the mean prediction; labels play no part in it (algorithm 1).

    Args:
        steps: K; by default ε / α (MNIST and Fashion-MNIST). One step with step_size = eps is the paper's fast variant.
        schedule: triangular goes from step_size to max(step_size, eps / 5) and back (SVHN and latent spaces).
        uncertainty: the score to raise: entropy, margin_uncertainty; with several samples mutual_information, variance.
        members: M networks, attacked by the entropy of their mean prediction; each trains on its own loss.
        view: plain, latent (in the features behind a stage) or mc_dropout (entropy of the mean over dropout masks).
        clean_share: 0 trains on perturbed points alone, as the paper does.
        clip: keep to [0, 1]; the paper's algorithm does not say.

    Raises:
        InputError: for an uncertainty that one sample has none of, and one sample.

    Source: *Improved generalization-robustness trade-off via uncertainty targeted attacks*, algorithm 1.
    """
    if members == 1 and view.samples == 1 and uncertainty.epistemic:
        raise InputError(
            f"{uncertainty.called} is the same for any single prediction, and so moves nothing; train several networks "
            "(--method.members 5), or attack several dropout masks (--method.view mc_dropout)."
        )
    return _trained_where(
        uncertainty, eps, steps, step_size, schedule, norm, start, members, view, clean_share, clip, mode
    )


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
    """PGD adversarial training as UTA compares itself with: all as in ``uta``, but the loss is raised (PGD-AT).

    From δ = 0, and on perturbed points alone; ``pat`` is EntM's, with a random start and half of the loss at clean
    points.

    Args:
        steps, schedule, members, view, clean_share, clip: as in ``uta``.

    Source: Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018; as set up in UTA,
    section 5.1.
    """
    return _trained_where(
        cross_entropy(), eps, steps, step_size, schedule, norm, start, members, view, clean_share, clip, mode
    )


def _trained_where(
    objective: Score,
    eps: float,
    steps: int | None,
    step_size: float,
    schedule: Literal["constant", "triangular"],
    norm: Norm,
    start: Start,
    members: int,
    view: View,
    clean_share: float,
    clip: bool,
    mode: Mode,
) -> Method:
    attack = pgd(
        norm=norm,
        eps=eps,
        steps=steps or max(1, round(eps / step_size)),
        step_size=step_size,
        schedule=schedule,
        start=start,
        objective=objective,
        keep="last",
        clip=clip,
    )
    loss = cross_entropy() if members == 1 else summed_cross_entropy()
    return Method(blend(loss, clean_share, attack), attack, mode=mode, members=members, view=view)
