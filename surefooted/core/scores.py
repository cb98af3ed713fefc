"""Scores: numbers per example that training lowers, attacks raise and detectors rank by.

They read the logarithm of the *mean* prediction, so that each means the same for one network, an ensemble, dropout
masks or Gaussian-process draws. With one sample, differences of it are differences of logits. Those that are about the
samples themselves read each: ``summed_cross_entropy``, ``adp_loss``, ``mutual_information``, ``variance``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from surefooted.components.component import Count, NonNegative, Share, component
from surefooted.core.types import Forward, Score, log_mean_softmax
from surefooted.errors import InputError

__all__ = [
    "adp_loss",
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
    """Cross-entropy −Σ t log p̄ between the target t and the mean prediction p̄ (the log-loss of class y for labels)."""
    return Score(_cross_entropy, "CE")


@component
def smoothed_cross_entropy(*, gamma: Share = 0.1) -> Score:
    """Cross-entropy against the target smoothed towards uniform: t − γ(t − u).

    Label smoothing as EntM writes it (eq. 6); as an attack's objective, EntM's adaptive attack (section 5.2.2).
    """

    def of(f: Forward) -> Tensor:
        return (1 - gamma) * _cross_entropy(f) - gamma * f.log_p.mean(-1)

    return Score(of, f"CE(γ={gamma:g})")


@component
def entropy() -> Score:
    """Shannon entropy of the mean prediction, in nats: total predictive uncertainty (UTA eq. E, EntM eq. 4)."""
    return Score(lambda f: _entropy(_mean(f)).to(f.log_p), "H")


@component
def entm_loss(*, lam: NonNegative = 2.0) -> Score:
    """Cross-entropy less λ times the entropy of the prediction: EntM's regularised loss (EntM eq. 4)."""
    return cross_entropy() - lam * entropy()


@component
def summed_cross_entropy() -> Score:
    """Sum over the members of the cross-entropy of each alone: trained side by side, each goes its own way."""
    alone = per_sample(cross_entropy())
    return Score(lambda f: len(f.logits) * alone(f), "Σ CE")


@component
def adp_loss(*, alpha: NonNegative = 2.0, beta: NonNegative = 0.5) -> Score:
    """Adaptive diversity promoting (ADP): Σ_m CE_m − α H(mean prediction) − β log det of the members' wrong answers.

    The determinant is that of the Gram matrix of what each member predicts beside the true class, normalised: the
    squared volume they span, 1 when orthogonal, 0 when two agree.

    Args:
        alpha: weight of the entropy of the mean prediction.
        beta: weight of the diversity.

    Source: Pang et al., *Improving adversarial robustness via promoting ensemble diversity*, ICML 2019; with its
    code's 1e-6 on the diagonal.
    """
    apart = summed_cross_entropy()

    def of(f: Forward) -> Tensor:
        members, _, classes = f.logits.shape
        wrong = f.logits.log_softmax(-1).masked_fill(one_hot(f.label, classes).bool(), -torch.inf)
        unit = (wrong - (2 * wrong).logsumexp(-1, keepdim=True) / 2).exp()
        gram = torch.einsum("sbk,tbk->bst", unit, unit) + 1e-6 * torch.eye(members).to(unit)
        return apart(f) - alpha * _entropy(f.log_p) - beta * torch.linalg.slogdet(gram).logabsdet

    return Score(of, f"ADP(α={alpha:g}, β={beta:g})")


@component
def mutual_information() -> Score:
    """Entropy of the mean prediction less the mean entropy of the samples: epistemic uncertainty; 0 for one sample."""

    def of(f: Forward) -> Tensor:
        each = _entropy(f.logits.double().log_softmax(-1))
        return (_entropy(_mean(f)) - each.mean(0)).to(f.log_p)

    return Score(of, "MI", epistemic=True)


@component
def variance() -> Score:
    """Variance of the predicted probabilities over the samples, by 1/S, summed over the classes; 0 for one.

    Epistemic, as ``mutual_information``, and bounded: at most 1 − 1/S. AR-AdaLS's σ² divides by S − 1
    (``metrics.uncertainty.sample_variance``).
    """
    return Score(lambda f: f.logits.softmax(-1).var(0, correction=0).sum(-1), "σ²", epistemic=True)


@component
def margin_uncertainty() -> Score:
    """Second-best less best log-probability: 0 on a decision boundary, below 0 elsewhere. Asks for no label."""

    def of(f: Forward) -> Tensor:
        best, second = f.log_p.topk(2, dim=-1).values.unbind(-1)
        return second - best

    return Score(of, "margin uncertainty")


@component
def cw_margin() -> Score:
    """Best wrong logit less the true one, max_{i≠y} z_i − z_y: above 0 just when misclassified (Carlini and Wagner)."""
    return Score(lambda f: _best_other(f.log_p, f.label) - _at(f.log_p, f.label), "CW")


@component
def dlr() -> Score:
    """Difference-of-logits ratio −(z_y − max_{i≠y} z_i) / (z₍₁₎ − z₍₃₎): unmoved by shift and scale of the logits.

    Needs three classes. Source: Croce and Hein, *Reliable evaluation of adversarial robustness*, ICML 2020, eq. 6.
    """

    def of(f: Forward) -> Tensor:
        _check_classes("dlr", f, 3)
        top = f.log_p.topk(3, dim=-1).values
        margin = _best_other(f.log_p, f.label) - _at(f.log_p, f.label)
        return margin / (top[:, 0] - top[:, 2] + 1e-12)

    return Score(of, "DLR")


@component
def targeted_dlr(*, rank: Count = 1) -> Score:
    """Targeted difference-of-logits ratio −(z_y − z_t) / (z₍₁₎ − (z₍₃₎ + z₍₄₎) / 2): raised, it leads from y to t.

    Needs four classes. Source: Croce and Hein, *Reliable evaluation of adversarial robustness*, ICML 2020, eq. 7.

    Args:
        rank: t is the wrong class that is the ``rank``-th likeliest at the clean point.
    """

    def of(f: Forward) -> Tensor:
        _check_classes("targeted_dlr", f, 4)
        t = _wrong_class("targeted_dlr", f, rank)
        top = f.log_p.topk(4, dim=-1).values
        return (_at(f.log_p, t) - _at(f.log_p, f.label)) / (top[:, 0] - top[:, 2:].mean(-1) + 1e-12)

    return Score(of, f"DLR to target {rank}", uses_clean=True)


@component
def targeted_margin(*, rank: Count = 1) -> Score:
    """Logit of one wrong class less the true one, z_t − z_y: 0 on the boundary between the two that FAB-T linearises.

    Source: Croce and Hein, *Minimally distorted adversarial examples with a fast adaptive boundary attack*, ICML 2020,
    and its targeted form in AutoAttack.

    Args:
        rank: t is the wrong class that is the ``rank``-th likeliest at the clean point.
    """

    def of(f: Forward) -> Tensor:
        return _at(f.log_p, _wrong_class("targeted_margin", f, rank)) - _at(f.log_p, f.label)

    return Score(of, f"margin to target {rank}", uses_clean=True)


@component
def kl_from_clean() -> Score:
    """KL(f(x) ‖ f(x')) from the clean prediction to the perturbed: TRADES as its reference code computes it."""
    return Score(lambda f: _kl(f.at_clean().log_p, f.log_p), "KL(clean‖adv)", uses_clean=True)


@component
def kl_to_clean() -> Score:
    """KL(f(x') ‖ f(x)) from the perturbed prediction to the clean: TRADES as the EntM paper prints it (eq. 3)."""
    return Score(lambda f: _kl(f.log_p, f.at_clean().log_p), "KL(adv‖clean)", uses_clean=True)


def at_clean(score: Score) -> Score:
    """The same score at the unperturbed point: ``0.5 * at_clean(ce) + 0.5 * ce`` is training half on clean images."""
    return Score(lambda f: score(f.at_clean()), f"{score.name} at clean", uses_clean=True, epistemic=score.epistemic)


def per_sample(score: Score) -> Score:
    """Mean over the samples of the score of each alone: the loss of members that train independently."""

    def of(f: Forward) -> Tensor:
        alone = (
            Forward(f.logits[s : s + 1], f.target, None if f.clean is None else f.clean[s : s + 1])
            for s in range(len(f.logits))
        )
        return torch.stack([score(one) for one in alone]).mean(0)

    return Score(of, f"mean over samples of {score.name}", score.uses_clean)


def _cross_entropy(f: Forward) -> Float[Tensor, " b"]:
    if f.target.ndim == 1:
        return -_at(f.log_p, f.target)
    return -(f.target * f.log_p).sum(-1)


def _mean(f: Forward) -> Float[Tensor, "b k"]:
    """Logarithm of the mean prediction in float64: behind a lead of 17 in the logits, float32 loses the gradient."""
    return log_mean_softmax(f.logits.double())


def _entropy(log_p: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    # From log-probabilities: p log p of a saturated softmax would be 0 · log 0, with a NaN for its gradient.
    return -(log_p.exp() * log_p).sum(-1)


def _kl(log_p: Float[Tensor, "b k"], log_q: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def _wrong_class(score: str, f: Forward, rank: int) -> Int[Tensor, " b"]:
    """The wrong class that is the ``rank``-th likeliest at the clean point."""
    if rank >= f.log_p.shape[-1]:
        raise InputError(f"{score} has rank {rank}, but there are {f.log_p.shape[-1] - 1} wrong classes.")
    return _without(f.at_clean().log_p, f.label).topk(rank, dim=-1).indices[:, -1]


def _at(z: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    return z.gather(-1, y[:, None])[:, 0]


def _best_other(z: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    return _without(z, y).amax(-1)


def _without(z: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, "b k"]:
    return z.masked_fill(one_hot(y, z.shape[-1]).bool(), -torch.inf)


def _check_classes(name: str, f: Forward, least: int) -> None:
    if f.log_p.shape[-1] < least:
        raise InputError(f"{name} needs {least} classes; the model has {f.log_p.shape[-1]}. Use cw_margin instead.")
