"""Entropy and Kullback-Leibler divergence of probability vectors, in nats."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def shannon_entropy(p: Float[Tensor, "*g k"]) -> Float[Tensor, "*g"]:
    """H(p) over the last dimension, 0 to ln K.

    Example:
        >>> shannon_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([0.6931, 0.0000])
    """
    terms: Tensor = torch.special.entr(p)
    return terms.sum(-1)


def kl_divergence(q: Float[Tensor, "g k"], p: Float[Tensor, "g k"]) -> Float[Tensor, " g"]:
    """KL(q ‖ p) over the last dimension; infinite if p is 0 where q is not.

    Example:
        >>> kl_divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
        tensor([0.6931])
    """
    terms: Tensor = torch.special.xlogy(q, q) - torch.special.xlogy(q, p)
    return terms.sum(-1)
