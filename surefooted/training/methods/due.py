"""Training of networks that end in a Gaussian process (DUE), at clean or at perturbed points."""

from __future__ import annotations

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.components.component import Share, component
from surefooted.core.scores import cross_entropy, per_sample
from surefooted.errors import ArgumentError
from surefooted.models.nets.gaussian_process import GaussianProcess
from surefooted.models.victims import Mode
from surefooted.training.methods.base import Method, blend


@component
def due(*, perturb: Attack | None = None, clean_share: Share = 0.0, mode: Mode = "eval") -> Method:
    """Evidence lower bound (ELBO) of a Gaussian process on learnt features, for the networks due and due_mlp.

    The loss is the mean cross-entropy of the function samples plus KL(posterior ‖ prior) of the inducing values,
    divided by the number of training examples. With ``perturb`` it is adversarial training of DUE: pgd on the
    cross-entropy, or UTA-AT with {"pgd": {"objective": "entropy", "start": "clean"}} (UTA, appendix A.2).

    Args:
        perturb: attack on the points; training takes its last iterate, whatever its ``keep``.
        clean_share: share of the loss taken at the clean point.
        mode: mode of batch norm and dropout during the attack.

    Raises:
        ArgumentError: during training, if the network has no Gaussian process.

    Example:
        >>> import surefooted as sf
        >>> sf.methods.due(perturb={"pgd": {"objective": "entropy", "start": "clean"}}).penalty.__name__
        'kl_penalty'

    Reference:
        van Amersfoort et al., *On feature collapse and deep kernel learning for single forward pass uncertainty*, 2021.
    """
    loss = per_sample(cross_entropy())
    return Method(blend(loss, clean_share, perturb), perturb, mode=mode, penalty=kl_penalty)


def kl_penalty(net: nn.Module) -> Tensor:
    """KL(posterior ‖ prior) of a network's Gaussian process, per training example."""
    for process in net.modules():
        if isinstance(process, GaussianProcess):
            return process.kl_divergence() / process.examples.clamp(min=1)
    raise ArgumentError(
        "The method due trains a Gaussian process, but this network has none. Set `net=due` or `net=due_mlp`."
    )


def check_gaussian_process(method: Method, net: nn.Module) -> None:
    """Check that a Gaussian process is trained with the KL from its prior, and that the KL has a Gaussian process.

    Without the KL the process would become certain of every prediction.
    """
    if method.penalty is kl_penalty:
        kl_penalty(net)
    elif method.penalty is None and any(isinstance(module, GaussianProcess) for module in net.modules()):
        raise ArgumentError(
            "This network ends in a Gaussian process, whose loss needs the KL from its prior. Train it with the method "
            "due, which takes an attack for adversarial training (`method.perturb=pgd`)."
        )
