"""Metrics that are the mean of one number per example.

A row without an answer counts as wrong with confidence 1: Brier score 2, infinite negative log-likelihood, entropy 0.
"""

from __future__ import annotations

import torch

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics.functional import Functional, metric, weighted_mean
from surefooted.evaluation.metrics.information import shannon_entropy


@metric(better="high", perfect=1.0, interval="wilson", reads="confidence")
def accuracy(p: Predictions, /) -> Functional:
    """Share of examples whose most probable class is the true one.

    If several classes are equally probable, the first one is the predicted class.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> sf.metrics.accuracy(p)
        0.5
    """
    return weighted_mean(p.top()[1])


@metric(better=None, perfect=1.0, reads="confidence")
def confidence(p: Predictions, /) -> Functional:
    """Mean probability of the predicted class.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.confidence(p), 3)
        0.75
    """
    return weighted_mean(p.top()[0])


@metric(better="zero", perfect=0.0, reads="confidence")
def overconfidence(p: Predictions, /) -> Functional:
    """Mean confidence minus accuracy: positive for an overconfident model, negative for an underconfident one.

    Errors of opposite sign cancel. The absolute value equals ``ece`` with one bin.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.overconfidence(p), 3)
        0.25
    """
    confidence, correct = p.top()
    return weighted_mean(confidence - correct)


@metric(better="low", perfect=0.0)
def nll(p: Predictions, /) -> Functional:
    """Negative log-likelihood of the true class in nats: the mean of -ln p_y.

    It is infinite as soon as one true class has probability 0, or a row is no answer.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.nll(p), 3)
        0.511
    """
    loss = -p.log_p.double().gather(1, p.y[:, None]).squeeze(1)
    return weighted_mean(loss.masked_fill(~p.answered, torch.inf))


@metric(better="low", perfect=0.0)
def brier(p: Predictions, /) -> Functional:
    """Multi-class Brier score: squared distance of the probability vector from the one-hot label, 0 to 2.

    The score is summed over the classes, not averaged. With two classes it is twice the binary score, which reads the
    positive class only.

    Reference: Brier 1950.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        >>> round(sf.metrics.brier(p), 3)
        0.37
    """
    probability = p.log_p.double().exp()
    onehot = torch.nn.functional.one_hot(p.y, probability.shape[1])
    return weighted_mean((probability - onehot).square().sum(-1).masked_fill(~p.answered, 2))


@metric(better=None, perfect=0.0)
def entropy(p: Predictions, /) -> Functional:
    """Mean predictive entropy in nats, 0 to ln K; it does not depend on the labels.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.core.predictions import predictions
        >>> p = predictions(torch.full((1, 2), 0.5).log(), torch.tensor([0]))
        >>> round(sf.metrics.entropy(p), 3)
        0.693
    """
    return weighted_mean(shannon_entropy(p.log_p.double().exp()).masked_fill(~p.answered, 0))
