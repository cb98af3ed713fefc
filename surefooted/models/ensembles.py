"""Samples of a model as one victim: deep ensembles, and dropout left on (MC dropout)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from surefooted.errors import InputError

EnsembleMode = Literal["loop", "batched"]
DROPOUT = nn.modules.dropout._DropoutNd


class Ensemble(nn.Module):
    """Several networks read as one: a sample each, and their mean prediction for the answer. A victim as it stands.

    Args:
        members: networks of one input and one number of classes.
        way: ``loop`` runs one after another; ``batched`` stacks the weights of like networks and runs them as one
            (``torch.func.vmap``), the same up to rounding. Which is faster is for ``bench/ensembles.py`` to say.

    Source: Lakshminarayanan et al., *Simple and scalable predictive uncertainty estimation using deep ensembles*,
    NeurIPS 2017.
    """

    box = (0.0, 1.0)

    def __init__(self, members: Sequence[nn.Module], *, way: EnsembleMode = "loop") -> None:
        super().__init__()
        if not members:
            raise InputError("an ensemble has no members; give at least one network.")
        self.members = nn.ModuleList(members)
        if way == "batched":
            _check_alike(members)
        self.way: EnsembleMode = way

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return tuple(self.members)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    def forward(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "s b k"]:
        if self.way == "batched":
            return self._at_once(z)
        logits = [draw_samples(member(z)) for member in self.members]
        if len({one.shape for one in logits}) > 1:
            seen = ", ".join(str(one.shape[-1]) for one in logits)
            raise InputError(f"the members of an ensemble have {seen} classes; they must tell the same classes apart.")
        return torch.cat(logits)

    def _at_once(self, z: Tensor) -> Tensor:
        # Stacked anew at every call: gradients reach the members' own weights, and a copy could grow stale.
        first = self.members[0]
        weights = _stacked([dict(member.named_parameters()) for member in self.members])
        buffers = _stacked([dict(member.named_buffers()) for member in self.members])
        run = vmap(lambda w, b: functional_call(first, (w, b), (z,)), randomness="different")
        logits = run(weights, buffers)
        logits = logits.flatten(0, 1) if logits.ndim == 4 else logits
        if first.training:  # running statistics moved in the stacked copy
            with torch.no_grad():
                for m, member in enumerate(self.members):
                    for name, buffer in member.named_buffers():
                        buffer.copy_(buffers[name][m])
        return logits


class MonteCarloDropout(nn.Module):
    """One network with its dropout left on: ``samples`` masks a call, fresh each time (MC dropout). A victim.

    The masks come from torch's generator, which attacks and predictions seed: the same seed, the same masks.

    Args:
        samples: T, passes with masks of their own.

    Source: Gal and Ghahramani, *Dropout as a Bayesian approximation*, ICML 2016; UTA has 1 or as many as members.
    """

    box = (0.0, 1.0)

    def __init__(self, net: nn.Module, *, samples: int = 10) -> None:
        super().__init__()
        self.net, self.samples = net, samples
        if samples < 1:
            raise InputError(f"MC dropout has {samples} samples; give at least 1.")
        if not any(isinstance(module, DROPOUT) and module.p > 0 for module in net.modules()):
            raise InputError("MC dropout needs a network with dropout; build it with one (--net.dropout 0.2).")

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    def forward(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "s b k"]:
        layers = [(module, module.training) for module in self.net.modules() if isinstance(module, DROPOUT)]
        try:
            for module, _ in layers:
                module.training = True
            logits = draw_samples(self.net(z.expand(self.samples, *z.shape).flatten(0, 1)))
        finally:
            for module, training in layers:
                module.training = training
        # An ensemble or a Gaussian process has samples of its own: all of them count.
        return logits.unflatten(1, (self.samples, len(z))).flatten(0, 1)


def draw_samples(logits: Float[Tensor, "*s b k"]) -> Float[Tensor, "s b k"]:
    """A network's answers with their sample axis, which only such as draw from themselves have already."""
    return logits if logits.ndim == 3 else logits[None]


def _stacked(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def _check_alike(members: Sequence[nn.Module]) -> None:
    shapes = [{name: t.shape for name, t in member.state_dict().items()} for member in members]
    for m, other in enumerate(shapes):
        if other != shapes[0]:
            raise InputError(f"members 1 and {m + 1} of the ensemble are unlike; only like networks run as one (loop).")
