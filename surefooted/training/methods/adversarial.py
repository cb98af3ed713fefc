"""Adversarial training on the loss itself: FGSM, R-FGSM, PAT and its entropy and label-smoothing variants.

Defaults are EntM's for CIFAR-10 (L∞, ε = 8/255, 7 steps of ε / 4 = 2/255); for MNIST 48/255, 10 steps of 6/255.
"""

from dataclasses import replace

from surefooted.attacks.oracle import Start
from surefooted.attacks.pgd import fgsm, pgd, r_fgsm
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import cross_entropy, entm_loss
from surefooted.core.types import Score
from surefooted.models.victims import Mode
from surefooted.training.methods.base import Method, blend, step_of
from surefooted.training.methods.targets import label_smoothing

VERSION = {"pat_entm": 2}  # entropy in float64


@component
def fgsm_at(
    *, eps: NonNegative = 8 / 255, norm: Norm = "linf", clean_share: Share = 0.0, mode: Mode = "eval"
) -> Method:
    """FGSM adversarial training: one step of size ε, trained there. Prone to catastrophic overfitting."""
    attack = fgsm(norm=norm, eps=eps, keep="last")
    return Method(blend(cross_entropy(), clean_share, attack), attack, mode=mode)


@component
def r_fgsm_at(
    *,
    eps: NonNegative = 8 / 255,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    clean_share: Share = 0.0,
    mode: Mode = "eval",
) -> Method:
    """Random-start FGSM adversarial training (fast AT): a uniform draw, then one step of 1.25 ε."""
    attack = r_fgsm(norm=norm, eps=eps, step_size=step_size, keep="last")
    return Method(blend(cross_entropy(), clean_share, attack), attack, mode=mode)


@component
def pat(
    *,
    eps: NonNegative = 8 / 255,
    steps: Count = 7,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    start: Start = "uniform",
    clean_share: Share = 0.5,
    mode: Mode = "eval",
) -> Method:
    """PGD adversarial training (PAT): part of the loss at the clean point, the rest where PGD moves it (EntM eq. 2).

    Args:
        step_size: of the attack; by default ε / 4.
        clean_share: α of the paper, 0.5; 0 trains on perturbed points alone (Madry, and UTA's PGD-AT).
        mode: of batch norm while attacking.
    """
    return _pat(cross_entropy(), eps, steps, step_size, norm, start, clean_share, mode)


@component
def pat_ls(
    *,
    smoothing: Share = 0.74,
    eps: NonNegative = 8 / 255,
    steps: Count = 7,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    start: Start = "uniform",
    clean_share: Share = 0.5,
    mode: Mode = "eval",
) -> Method:
    """PAT on smoothed labels (PAT-LS), read by inner and outer loss. γ = 0.74 for 10 classes, 0.84 for 100.

    Other arguments are as in ``pat``.
    """
    hard = pat(eps=eps, steps=steps, step_size=step_size, norm=norm, start=start, clean_share=clean_share, mode=mode)
    return replace(hard, target=label_smoothing(eps=smoothing))


@component
def pat_entm(
    *,
    lam: NonNegative = 2.0,
    eps: NonNegative = 8 / 255,
    steps: Count = 7,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    start: Start = "uniform",
    clean_share: Share = 0.5,
    mode: Mode = "eval",
) -> Method:
    """PAT with entropy maximisation (PAT-EntM): cross-entropy less λ entropy, inside and outside (EntM eq. 5).

    Other arguments are as in ``pat``.
    """
    return _pat(entm_loss(lam=lam), eps, steps, step_size, norm, start, clean_share, mode)


def _pat(
    loss: Score,
    eps: float,
    steps: int,
    step_size: float | None,
    norm: Norm,
    start: Start,
    clean_share: float,
    mode: Mode,
) -> Method:
    attack = pgd(
        norm=norm, eps=eps, steps=steps, step_size=step_of(eps, step_size), start=start, objective=loss, keep="last"
    )
    return Method(blend(loss, clean_share, attack), attack, mode=mode)
