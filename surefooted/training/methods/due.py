"""Training of networks that end in a Gaussian process (DUE), at clean or at perturbed points."""

from __future__ import annotations

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.components.component import Share, component
from surefooted.core.scores import cross_entropy, per_sample
from surefooted.errors import InputError
from surefooted.models.nets.gaussian_process import GaussianProcess
from surefooted.models.victims import Mode
from surefooted.training.methods.base import Method, blend


@component
def due(*, perturb: Attack | None = None, clean_share: Share = 0.0, mode: Mode = "eval") -> Method:
    """Evidence lower bound (ELBO) of a Gaussian process on learnt features; for the networks due and due_mlp.

    The loss is the mean cross-entropy of the function samples, and KL(posterior ‖ prior) of the inducing values
    divided by the number of training examples. With ``perturb`` it is adversarial training of DUE: pgd on the
    cross-entropy, or UTA-AT with {"pgd": {"objective": "entropy", "start": "clean"}} (UTA, appendix A.2).

    Args:
        perturb: attack that moves the points; its last iterate is trained on, whatever its keep rule.
        clean_share: share of the loss taken at the clean point.
        mode: of batch norm and dropout while attacking.

    Raises:
        InputError: on training, where the network has no Gaussian process.

    Source: van Amersfoort et al., *On feature collapse and deep kernel learning for single forward pass uncertainty*,
    2021.
    """
    loss = per_sample(cross_entropy())
    return Method(blend(loss, clean_share, perturb), perturb, mode=mode, penalty=divergence)


def divergence(net: nn.Module) -> Tensor:
    """KL of a network's Gaussian process, per training example."""
    for process in net.modules():
        if isinstance(process, GaussianProcess):
            return process.kl_divergence() / process.examples.clamp(min=1)
    raise InputError("the method due trains a Gaussian process, and this network has none; give --net due or due_mlp.")


def check_bound(method: Method, net: nn.Module) -> None:
    """A Gaussian process that is trained without its prior would be sure of everything; without one, no prior."""
    if method.penalty is divergence:
        divergence(net)
    elif method.penalty is None and any(isinstance(module, GaussianProcess) for module in net.modules()):
        raise InputError(
            "this network ends in a Gaussian process, which needs the divergence from its prior in the loss; train it "
            "with the method due, which takes an attack for adversarial training (--method.perturb pgd)."
        )
