"""Scores: numbers per example that training minimises, attacks maximise and detectors rank by.

Scores read the logarithm of the *mean* prediction, so each has the same meaning for one network, an ensemble, dropout
masks or Gaussian-process samples. For one sample, differences of it are differences of logits. Only the scores about
the samples themselves read each sample: ``summed_cross_entropy``, ``adp_loss``, ``mutual_information``, ``variance``.
"""

from __future__ import annotations

from math import log

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from surefooted.components.component import Count, NonNegative, Share, component
from surefooted.core.types import Forward, Score, log_mean_softmax
from surefooted.errors import ArgumentError, ModelError

__all__ = [
    "adp_loss",
    "at_clean",
    "cross_entropy",
    "cw_margin",
    "dlr",
    "entm_loss",
    "entropy",
    "kl_from_clean",
    "kl_to_clean",
    "margin_uncertainty",
    "mutual_information",
    "smoothed_cross_entropy",
    "summed_cross_entropy",
    "targeted_dlr",
    "targeted_margin",
    "variance",
]

VERSION = {"entropy": 2, "entm_loss": 2, "mutual_information": 2}


@component
def cross_entropy() -> Score:
    """Cross-entropy −Σ t log p̄ between the target t and the mean prediction p̄ (the log-loss of class y for labels).

    Example:
        >>> f = Forward(torch.tensor([[[0.8, 0.2]]]).log(), torch.tensor([0]))
        >>> cross_entropy()(f).exp()  # 1 / 0.8
        tensor([1.2500])
    """
    return Score(lambda f: _cross_entropy(f), "CE", ascent=lambda f: _unsaturated_cross_entropy(f))  # defined below


@component
def smoothed_cross_entropy(*, gamma: Share = 0.1) -> Score:
    """Cross-entropy against the target smoothed towards the uniform distribution u: t − γ(t − u).

    This is label smoothing as EntM writes it; as an attack's objective it is EntM's adaptive attack.

    Args:
        gamma: γ, the weight of the uniform distribution.

    Reference: EntM, equation 6 and section 5.2.2.

    Example:
        >>> f = Forward(torch.tensor([[[0.8, 0.2]]]).log(), torch.tensor([0]))
        >>> torch.equal(smoothed_cross_entropy(gamma=0)(f), cross_entropy()(f))
        True
    """

    def evaluate(f: Forward) -> Tensor:
        return (1 - gamma) * _cross_entropy(f) - gamma * f.log_p.mean(-1)

    return Score(evaluate, f"CE(γ={gamma:g})", ascent=_unsaturated_cross_entropy if gamma == 0 else None)


@component
def entropy() -> Score:
    """Shannon entropy of the mean prediction, in nats: total predictive uncertainty.

    Reference: UTA, equation E; EntM, equation 4.

    Example:
        >>> entropy()(Forward(torch.zeros(1, 1, 4), torch.tensor([0]))).exp()  # uniform over 4 classes
        tensor([4.])
    """
    return Score(lambda f: _entropy(_mean(f)).to(f.log_p), "H")


@component
def entm_loss(*, lam: NonNegative = 2.0) -> Score:
    """Cross-entropy minus λ times the entropy of the prediction: EntM's regularised loss.

    Args:
        lam: λ, the weight of the entropy.

    Reference: EntM, equation 4.

    Example:
        >>> f = Forward(torch.zeros(1, 1, 4), torch.tensor([0]))
        >>> entm_loss(lam=1)(f).abs() < 1e-6  # both terms are log 4
        tensor([True])
    """
    return cross_entropy() - lam * entropy()


@component
def summed_cross_entropy() -> Score:
    """Sum over the members of each member's own cross-entropy: members trained side by side stay independent.

    Example:
        >>> f = Forward(torch.zeros(3, 1, 4), torch.tensor([0]))
        >>> torch.allclose(summed_cross_entropy()(f), 3 * cross_entropy()(f))
        True
    """
    alone = per_sample(cross_entropy())
    return Score(lambda f: len(f.logits) * alone(f), "Σ CE")


@component
def adp_loss(*, alpha: NonNegative = 2.0, beta: NonNegative = 0.5) -> Score:
    """Adaptive diversity promoting (ADP): Σ_m CE_m − α H(mean prediction) − β log det of the wrong-class predictions.

    The determinant is that of the Gram matrix of the members' normalised predictions without the true class: the
    squared volume that they span, 1 if they are orthogonal, 0 if two are equal.

    Args:
        alpha: weight of the entropy of the mean prediction.
        beta: weight of the diversity.

    Reference: Pang et al., *Improving adversarial robustness via promoting ensemble diversity*, ICML 2019; with the
    1e-6 on the diagonal of their code.

    Example:
        >>> f = Forward(torch.randn(3, 5, 4), torch.tensor([0, 1, 2, 3, 0]))
        >>> torch.allclose(adp_loss(alpha=0, beta=0)(f), summed_cross_entropy()(f))
        True
    """
    independent = summed_cross_entropy()

    def evaluate(f: Forward) -> Tensor:
        members, _, classes = f.logits.shape
        wrong = f.logits.log_softmax(-1).masked_fill(one_hot(f.label, classes).bool(), -torch.inf)
        unit = (wrong - (2 * wrong).logsumexp(-1, keepdim=True) / 2).exp()
        gram = torch.einsum("sbk,tbk->bst", unit, unit) + 1e-6 * torch.eye(members).to(unit)
        diversity: Tensor = torch.linalg.slogdet(gram).logabsdet
        return independent(f) - alpha * _entropy(f.log_p) - beta * diversity

    return Score(evaluate, f"ADP(α={alpha:g}, β={beta:g})")


@component
def mutual_information() -> Score:
    """Entropy of the mean prediction minus the mean entropy of the samples: epistemic uncertainty; 0 for one sample.

    Example:
        >>> f = Forward(torch.tensor([[[99.0, 0.0]], [[0.0, 99.0]]]), torch.tensor([0]))
        >>> mutual_information()(f).exp()  # two certain samples that disagree
        tensor([2.])
    """

    def evaluate(f: Forward) -> Tensor:
        entropies = _entropy(f.logits.double().log_softmax(-1))
        return (_entropy(_mean(f)) - entropies.mean(0)).to(f.log_p)

    return Score(evaluate, "MI", epistemic=True)


@component
def variance() -> Score:
    """Variance over the samples of the predicted probabilities, normalised by S and summed over the classes.

    An epistemic uncertainty like ``mutual_information``, but bounded: at most 1 − 1/S, and 0 for one sample. AR-AdaLS's
    σ² divides by S − 1 instead (``metrics.uncertainty.sample_variance``).

    Example:
        >>> f = Forward(torch.tensor([[[99.0, 0.0]], [[0.0, 99.0]]]), torch.tensor([0]))
        >>> variance()(f)
        tensor([0.5000])
    """
    return Score(lambda f: f.logits.softmax(-1).var(0, correction=0).sum(-1), "σ²", epistemic=True)


@component
def margin_uncertainty() -> Score:
    """Second-highest minus highest log-probability: 0 on a decision boundary, negative elsewhere. Uses no label.

    Example:
        >>> f = Forward(torch.tensor([[[0.5, 0.5, 0.0], [0.6, 0.3, 0.1]]]).log(), torch.tensor([0, 0]))
        >>> margin_uncertainty()(f).exp()
        tensor([1.0000, 0.5000])
    """

    def evaluate(f: Forward) -> Tensor:
        best, second = f.log_p.topk(2, dim=-1).values.unbind(-1)
        return second - best

    return Score(evaluate, "margin uncertainty")


@component
def cw_margin() -> Score:
    """Highest wrong logit minus the true one, max_{i≠y} z_i − z_y: positive exactly if the example is misclassified.

    Reference: Carlini and Wagner, *Towards evaluating the robustness of neural networks*, S&P 2017, section V.A (f₆).

    Example:
        >>> f = Forward(torch.tensor([[[4.0, 1.0, 3.0], [1.0, 2.0, 5.0]]]), torch.tensor([0, 1]))
        >>> cw_margin()(f).round()
        tensor([-1.,  3.])
    """
    return Score(lambda f: _highest_other(f.log_p, f.label) - _pick(f.log_p, f.label), "CW")


@component
def dlr() -> Score:
    """Difference-of-logits ratio −(z_y − max_{i≠y} z_i) / (z₍₁₎ − z₍₃₎): invariant to shift and scale of the logits.

    Needs at least 3 classes.

    Reference: Croce and Hein, *Reliable evaluation of adversarial robustness*, ICML 2020, equation 6.

    Example:
        >>> z = torch.tensor([[[4.0, 1.0, 3.0]]])
        >>> [round(float(dlr()(Forward(scale * z, torch.tensor([0])))), 3) for scale in (1, 10)]
        [-0.333, -0.333]
    """

    def evaluate(f: Forward) -> Tensor:
        _check_classes("dlr", f, 3)
        top = f.log_p.topk(3, dim=-1).values
        margin = _highest_other(f.log_p, f.label) - _pick(f.log_p, f.label)
        return margin / (top[:, 0] - top[:, 2] + 1e-12)

    return Score(evaluate, "DLR")


@component
def targeted_dlr(*, rank: Count = 1) -> Score:
    """Targeted difference-of-logits ratio −(z_y − z_t) / (z₍₁₎ − (z₍₃₎ + z₍₄₎) / 2): its ascent leads from y to t.

    Needs at least 4 classes.

    Args:
        rank: t is the wrong class that is the ``rank``-th likeliest at the clean point.

    Reference: Croce and Hein, *Reliable evaluation of adversarial robustness*, ICML 2020, equation 7.

    Example:
        >>> z = torch.tensor([[[4.0, 1.0, 3.0, 0.0]]])
        >>> float(targeted_dlr()(Forward(z, torch.tensor([0]), z)).round(decimals=3))  # -(4 - 3) / (4 - 0.5)
        -0.28...
    """

    def evaluate(f: Forward) -> Tensor:
        _check_classes("targeted_dlr", f, 4)
        t = _wrong_class("targeted_dlr", f, rank)
        top = f.log_p.topk(4, dim=-1).values
        return (_pick(f.log_p, t) - _pick(f.log_p, f.label)) / (top[:, 0] - top[:, 2:].mean(-1) + 1e-12)

    return Score(evaluate, f"DLR to target {rank}", uses_clean=True)


@component
def targeted_margin(*, rank: Count = 1) -> Score:
    """Logit of one wrong class minus the true one, z_t − z_y: 0 on the boundary of the two that FAB-T linearises.

    Args:
        rank: t is the wrong class that is the ``rank``-th likeliest at the clean point.

    Reference: Croce and Hein, *Minimally distorted adversarial examples with a fast adaptive boundary attack*, ICML
    2020, in the targeted form of AutoAttack.

    Example:
        >>> z = torch.tensor([[[4.0, 1.0, 3.0, 0.0]]])
        >>> targeted_margin(rank=2)(Forward(z, torch.tensor([0]), z)).round()
        tensor([-3.])
    """

    def evaluate(f: Forward) -> Tensor:
        return _pick(f.log_p, _wrong_class("targeted_margin", f, rank)) - _pick(f.log_p, f.label)

    return Score(evaluate, f"margin to target {rank}", uses_clean=True)


@component
def kl_from_clean() -> Score:
    """KL(f(x) ‖ f(x')) from the clean to the perturbed prediction: TRADES as its reference code computes it.

    Example:
        >>> z = torch.randn(1, 5, 4)
        >>> kl_from_clean()(Forward(z, torch.arange(5) % 4, clean=z)).abs().max() < 1e-6
        tensor(True)
    """
    return Score(lambda f: _kl(f.at_clean().log_p, f.log_p), "KL(clean‖adv)", uses_clean=True)


@component
def kl_to_clean() -> Score:
    """KL(f(x') ‖ f(x)) from the perturbed to the clean prediction: TRADES as the EntM paper prints it.

    Reference: EntM, equation 3.

    Example:
        >>> z = torch.randn(1, 5, 4)
        >>> kl_to_clean()(Forward(z, torch.arange(5) % 4, clean=z)).abs().max() < 1e-6
        tensor(True)
    """
    return Score(lambda f: _kl(f.log_p, f.at_clean().log_p), "KL(adv‖clean)", uses_clean=True)


@component
def at_clean(score: Score = cross_entropy()) -> Score:  # noqa: B008 - a value without state
    """The score at the unperturbed point: ``0.5 * at_clean(ce) + 0.5 * ce`` trains half on clean images.

    Args:
        score: the score.

    Example:
        >>> at_clean(cross_entropy()).uses_clean
        True
    """
    name = f"({score.name})" if score.terms else score.name
    return Score(lambda f: score(f.at_clean()), f"{name} at clean", uses_clean=True, epistemic=score.epistemic)


def per_sample(score: Score) -> Score:
    """Mean over the samples of the score of each sample by itself: the loss of members that train independently.

    Example:
        >>> f = Forward(torch.randn(3, 2, 4), torch.tensor([0, 1]))
        >>> bool((per_sample(cross_entropy())(f) >= cross_entropy()(f)).all())  # by Jensen's inequality
        True
    """

    def evaluate(f: Forward) -> Tensor:
        samples = (
            Forward(f.logits[s : s + 1], f.target, None if f.clean is None else f.clean[s : s + 1])
            for s in range(len(f.logits))
        )
        return torch.stack([score(sample) for sample in samples]).mean(0)

    return Score(evaluate, f"mean over samples of {score.name}", score.uses_clean)


def _cross_entropy(f: Forward) -> Float[Tensor, " b"]:
    if f.target.ndim == 1:
        return -_pick(f.log_p, f.target)
    return -(f.target * _finite_log(f.log_p)).sum(-1)


def _unsaturated_cross_entropy(f: Forward) -> Float[Tensor, " b"]:
    """The cross-entropy or, where all other classes have a probability of 0 in float32, the margin.

    There the cross-entropy is 0, and so is its gradient: an attack on it would stay where it is. The margin is below 0
    and has a gradient.
    """
    value = _cross_entropy(f)
    if f.target.ndim > 1:
        return value
    other = _highest_other(f.log_p, f.label)
    saturated = other < log(torch.finfo(other.dtype).tiny)
    if other.device.type == "cpu" and not bool(saturated.any()):
        return value
    return torch.where(saturated, other - _pick(f.log_p, f.label), value)


def _mean(f: Forward) -> Float[Tensor, "b k"]:
    """Logarithm of the mean prediction in float64: if one logit leads by 17, float32 loses the gradient."""
    return log_mean_softmax(f.logits.double())


def _entropy(log_p: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    # From log-probabilities: p log p of a saturated softmax would be 0 · log 0, whose gradient is NaN.
    return -(log_p.exp() * _finite_log(log_p)).sum(-1)


def _kl(log_p: Float[Tensor, "b k"], log_q: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    return (log_p.exp() * (_finite_log(log_p) - _finite_log(log_q))).sum(-1)


def _finite_log(log_p: Tensor) -> Tensor:
    """The least number for −inf, the log-probability of a masked class: 0 · log 0 is 0, and so is its gradient."""
    return log_p.clamp_min(torch.finfo(log_p.dtype).min)


def _wrong_class(score: str, f: Forward, rank: int) -> Int[Tensor, " b"]:
    """The wrong class that is the ``rank``-th likeliest at the clean point."""
    if rank >= f.log_p.shape[-1]:
        raise ArgumentError(
            f"{score} has rank {rank}, but there are only {f.log_p.shape[-1] - 1} wrong classes. Reduce `rank`."
        )
    return _mask_class(f.at_clean().log_p, f.label).topk(rank, dim=-1).indices[:, -1]


def _pick(z: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    return z.gather(-1, y[:, None])[:, 0]


def _highest_other(z: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    return _mask_class(z, y).amax(-1)


def _mask_class(z: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, "b k"]:
    return z.masked_fill(one_hot(y, z.shape[-1]).bool(), -torch.inf)


def _check_classes(name: str, f: Forward, least: int) -> None:
    if f.log_p.shape[-1] < least:
        raise ModelError(f"{name} needs {least} classes; the model has {f.log_p.shape[-1]}. Use cw_margin instead.")
