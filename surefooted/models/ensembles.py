"""Several samples of a model as one victim: deep ensembles and Monte Carlo dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from surefooted.errors import ArgumentError, ModelError
from surefooted.models.guard import call_network, check_logits, network_logits

EnsembleMode = Literal["loop", "batched"]
_DROPOUT_LAYERS = nn.modules.dropout._DropoutNd


class Ensemble(nn.Module):
    """A deep ensemble: one sample per member, whose mean probabilities are the prediction. It is a victim.

    Args:
        members: networks with the same input shape and number of classes.
        mode: ``loop`` runs one member after another; ``batched`` stacks the weights of members of one architecture and
            runs them at once (``torch.func.vmap``), with equal results up to rounding. ``bench/ensembles.py`` measures
            which is faster.

    Raises:
        ModelError: if there are no members, or ``batched`` members differ in architecture.

    Reference:
        Lakshminarayanan et al., *Simple and scalable predictive uncertainty estimation using deep ensembles*,
        NeurIPS 2017.

    Example:
        >>> import surefooted as sf
        >>> members = [sf.nets.small_convnet((1, 8, 8), 10) for _ in range(3)]
        >>> sf.ensembles.Ensemble(members)(torch.rand(5, 1, 8, 8)).shape  # members, images, classes
        torch.Size([3, 5, 10])
    """

    box = (0.0, 1.0)
    guards_itself = True  # its members are called through ``models.guard``

    def __init__(self, members: Sequence[nn.Module], *, mode: EnsembleMode = "loop") -> None:
        super().__init__()
        if not members:
            raise ModelError("The ensemble has no members; expected at least one network.")
        self.members = nn.ModuleList(members)
        if mode == "batched":
            _check_same_architecture(members)
        self.mode: EnsembleMode = mode

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return tuple(self.members)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    def forward(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "s b k"]:
        if self.mode == "batched":
            return self._forward_batched(z)
        logits = [add_sample_axis(network_logits(member, z)) for member in self.members]
        classes = [part.shape[-1] for part in logits]
        if len(set(classes)) > 1:
            raise ModelError(
                f"The members of the ensemble have {', '.join(map(str, classes))} classes; expected the same number "
                "for all."
            )
        return torch.cat(logits)

    def _forward_batched(self, z: Tensor) -> Tensor:
        # Stacked at every call: gradients reach the members' own weights, and a stored copy could become stale.
        first = self.members[0]
        weights = _stack([dict(member.named_parameters()) for member in self.members])
        buffers = _stack([dict(member.named_buffers()) for member in self.members])

        def run(x: Tensor) -> Any:
            return vmap(lambda w, b: functional_call(first, (w, b), (x,)), randomness="different")(weights, buffers)

        logits = call_network(first, z, run)
        if isinstance(logits, Tensor) and logits.ndim == 4 and isinstance(getattr(first, "nets", None), tuple):
            logits = logits.flatten(0, 1)  # samples of each member
        logits = check_logits(logits, len(z), sampled=True).to(torch.promote_types(z.dtype, torch.float32))
        if first.training:  # the running statistics were updated in the stacked copy
            with torch.no_grad():
                for m, member in enumerate(self.members):
                    for name, buffer in member.named_buffers():
                        buffer.copy_(buffers[name][m])
        return logits


class MonteCarloDropout(nn.Module):
    """One network with active dropout (MC dropout): every call draws new masks, one sample per mask. It is a victim.

    The masks come from torch's generator, which attacks and predictions seed, so the same seed gives the same masks.

    Args:
        net: a network with dropout layers.
        samples: T, number of masks per call.

    Raises:
        ArgumentError: if ``samples`` is below 1.
        ModelError: if the network has no dropout.

    Reference:
        Gal and Ghahramani, *Dropout as a Bayesian approximation*, ICML 2016. UTA uses one mask, or as many as an
        ensemble has members.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10, dropout=0.2)
        >>> victim = sf.ensembles.MonteCarloDropout(net.eval(), samples=4)
        >>> victim(torch.rand(5, 1, 8, 8)).shape  # masks, images, classes
        torch.Size([4, 5, 10])
    """

    box = (0.0, 1.0)
    guards_itself = True  # its members are called through ``models.guard``

    def __init__(self, net: nn.Module, *, samples: int = 10) -> None:
        super().__init__()
        self.net, self.samples = net, samples
        if samples < 1:
            raise ArgumentError(f"MC dropout has {samples} samples; expected at least 1.")
        if not any(isinstance(module, _DROPOUT_LAYERS) and module.p > 0 for module in net.modules()):
            raise ModelError("MC dropout needs a network with dropout. Build it with `net.dropout=0.2`.")

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    def forward(self, z: Float[Tensor, "b *d"]) -> Float[Tensor, "s b k"]:
        layers = [(module, module.training) for module in self.net.modules() if isinstance(module, _DROPOUT_LAYERS)]
        try:
            for module, _ in layers:
                module.training = True
            logits = add_sample_axis(network_logits(self.net, z.expand(self.samples, *z.shape).flatten(0, 1)))
        finally:
            for module, training in layers:
                module.training = training
        # An ensemble or a Gaussian process has several samples per mask: all of them count.
        return logits.reshape(len(logits) * self.samples, len(z), logits.shape[-1])


def add_sample_axis(logits: Float[Tensor, "*s b k"]) -> Float[Tensor, "s b k"]:
    """Logits (S, B, K): those of a plain network (B, K) get a sample axis of length 1; others are returned unchanged.

    Example:
        >>> add_sample_axis(torch.rand(5, 10)).shape
        torch.Size([1, 5, 10])
    """
    return logits if logits.ndim == 3 else logits[None]


def _stack(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in tensors]) for name in tensors[0]}


def _check_same_architecture(members: Sequence[nn.Module]) -> None:
    shapes = [{name: t.shape for name, t in member.state_dict().items()} for member in members]
    for m, other in enumerate(shapes):
        if other != shapes[0]:
            raise ModelError(
                f"Members 1 and {m + 1} of the ensemble differ in architecture. Use `mode=loop`, or members of one "
                "architecture."
            )
