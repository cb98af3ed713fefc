"""Adversarial training on the loss itself: FGSM, R-FGSM, PAT, and PAT with entropy maximisation or smoothed labels.

The defaults are EntM's for CIFAR-10: L∞, ε = 8/255, 7 steps of ε / 4 = 2/255. EntM's for MNIST are 48/255 and 10 steps
of 6/255.
"""

from dataclasses import replace

from surefooted.attacks.oracle import Start
from surefooted.attacks.pgd import fgsm, r_fgsm
from surefooted.components.component import Count, NonNegative, Positive, Share, component
from surefooted.core.norms import Norm
from surefooted.core.scores import cross_entropy, entm_loss
from surefooted.core.types import Score
from surefooted.models.victims import Mode
from surefooted.training.methods.adversary import Adversary
from surefooted.training.methods.base import Method, blend
from surefooted.training.methods.targets import label_smoothing

VERSION = {"pat_entm": 2}  # 2: the entropy is computed in float64.


@component
def fgsm_at(
    *, eps: NonNegative = 8 / 255, norm: Norm = "linf", clean_share: Share = 0.0, mode: Mode = "eval"
) -> Method:
    """FGSM adversarial training: trains on the points that one step of size ε reaches.

    It is prone to catastrophic overfitting, which the recorder ``robustness`` shows.

    Args:
        eps: radius ε, for pixels in [0, 1].
        norm: norm of the ball, linf or l2.
        clean_share: share of the loss taken at the clean point.
        mode: mode of batch norm and dropout during the attack.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.fgsm_at(eps=0.2).perturb.ball.eps
        0.2
    """
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
    """Random-start FGSM adversarial training (fast AT): a uniform draw in the ball, then one step.

    Args:
        eps: radius ε, for pixels in [0, 1].
        step_size: length of the step; by default 1.25 ε.
        norm: norm of the ball, linf or l2.
        clean_share: share of the loss taken at the clean point.
        mode: mode of batch norm and dropout during the attack.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.r_fgsm_at(eps=0.2).perturb.passes
        2

    Reference:
        Wong et al., *Fast is better than free: revisiting adversarial training*, ICLR 2020.
    """
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
    """PGD adversarial training (PAT): part of the loss at the clean point, the rest at PGD's point (EntM eq. 2).

    Args:
        eps: radius ε, for pixels in [0, 1].
        steps: gradient steps of the attack.
        step_size: length of a step; by default ε / 4.
        norm: norm of the ball, linf or l2.
        start: first point of the attack: clean, uniform or gaussian.
        clean_share: the paper's α, 0.5; 0 trains on perturbed points only, as Madry's and UTA's PGD-AT do.
        mode: mode of batch norm and dropout during the attack.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.pat(eps=0.3, steps=10).perturb.passes
        11

    Reference:
        Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018.
    """
    return pgd_training(cross_entropy(), Adversary(eps, steps, step_size, norm, start), clean_share, mode)


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
    """PAT on smoothed labels (PAT-LS), which both the inner and the outer loss read.

    Args:
        smoothing: EntM's γ: 0.74 for 10 classes, 0.84 for 100.
        eps, steps, step_size, norm, start, clean_share, mode: as in ``pat``.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.pat_ls().target.spec.arguments
        {'eps': 0.74}

    Reference:
        EntM, equation 6.
    """
    hard = pgd_training(cross_entropy(), Adversary(eps, steps, step_size, norm, start), clean_share, mode)
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
    """PAT with entropy maximisation (PAT-EntM): inner and outer loss are cross-entropy minus λ times the entropy.

    Args:
        lam: λ of the paper, 2.
        eps, steps, step_size, norm, start, clean_share, mode: as in ``pat``.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.pat_entm().spec.arguments["lam"]
        2.0

    Reference:
        EntM, equation 5.
    """
    return pgd_training(entm_loss(lam=lam), Adversary(eps, steps, step_size, norm, start), clean_share, mode)


def pgd_training(loss: Score, adversary: Adversary, clean_share: float, mode: Mode) -> Method:
    """Train on a loss that the adversary raises, with a share of it at the clean point."""
    attack = adversary.attack(loss)
    return Method(blend(loss, clean_share, attack), attack, mode=mode)
