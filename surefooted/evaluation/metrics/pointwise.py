"""Metrics that are the mean of one number per example."""

from __future__ import annotations

import torch

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.functional import Functional, weighted_mean, metric


@metric
def accuracy(p: Predictions, /) -> Functional:
    """Share of examples whose most probable class is the true one.

    Of equally probable classes the first is the prediction.
    """
    return weighted_mean(p.top()[1])


@metric
def confidence(p: Predictions, /) -> Functional:
    """Mean probability of the predicted class."""
    return weighted_mean(p.top()[0])


@metric
def overconfidence(p: Predictions, /) -> Functional:
    """Mean confidence minus accuracy: above 0 too sure, below 0 not sure enough.

    Signed, and blind to faults that cancel; its absolute value is ``ece`` with one bin.
    """
    confidence, correct = p.top()
    return weighted_mean(confidence - correct)


@metric
def nll(p: Predictions, /) -> Functional:
    """Negative log-likelihood of the true class in nats: the mean of -ln p_y.

    Infinite as soon as one true class has probability 0.
    """
    return weighted_mean(-p.log_p.double().gather(1, p.y[:, None]).squeeze(1))


@metric
def brier(p: Predictions, /) -> Functional:
    """Multi-class Brier score: squared distance of the probability vector from the one-hot label, 0 to 2.

    Summed over the classes, not averaged (Brier 1950). With two classes it is twice the score that is taken of
    the positive class alone.
    """
    probability = p.log_p.double().exp()
    onehot = torch.nn.functional.one_hot(p.y, probability.shape[1])
    return weighted_mean((probability - onehot).square().sum(-1))


@metric
def entropy(p: Predictions, /) -> Functional:
    """Mean predictive entropy in nats, 0 to ln K: how spread out the mean prediction is, whatever the label."""
    return weighted_mean(torch.special.entr(p.log_p.double().exp()).sum(-1))
