"""A training method as a few slots: the attack on the points, the softening of the labels, the loss to minimise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.components.component import Component, Spec
from surefooted.core.scores import at_clean
from surefooted.core.types import Forward, Points, Score
from surefooted.errors import ArgumentError
from surefooted.models.victims import Mode, as_victim
from surefooted.training.methods.targets import Target, one_hot
from surefooted.training.methods.views import View, plain

Mix = Callable[[Points, Tensor, int, int], tuple[Points, Tensor]]
"""From points, targets, number of classes and a seed to mixed points and their targets."""


@dataclass(frozen=True)
class Method(Component):
    """How a classifier is trained.

    Attributes:
        loss: outer minimisation, at the perturbed point; it reaches the clean point through ``at_clean``.
        perturb: attack of the inner maximisation; None trains at the clean points.
        target: how labels are softened.
        mode: mode of batch norm and dropout during the attack.
        mix: mixes pairs of examples before anything else (mixup).
        members: number of networks trained side by side, epoch by epoch; their mean prediction is the ensemble's.
        separate_batches: each member draws its own batches, as networks do that are trained alone. A loss or an attack
            that reads all members at once needs them at the same points.
        view: network as the inner maximisation reads it.
        penalty: term of the loss that depends on the network only, not on the batch.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.training.methods.base import Method
        >>> Method(loss=sf.scores.cross_entropy() - 0.5 * sf.scores.entropy()).members  # a method without an attack
        1
    """

    kind = "method"

    loss: Score
    perturb: Attack | None = None
    target: Target = field(default_factory=one_hot)
    mode: Mode = "eval"
    mix: Mix | None = None
    members: int = 1
    separate_batches: bool = False
    view: View = field(default_factory=plain)
    penalty: Callable[[nn.Module], Tensor] | None = None
    spec: Spec | None = field(default=None, init=False, compare=False, repr=False)

    def scale_eps(self, share: float) -> Method:
        """The same method with a share of the attack's ε."""
        return self if self.perturb is None else replace(self, perturb=self.perturb.scaled(share))

    def perturb_points(self, net: nn.Module, points: Points, target: Tensor, *, seed: int) -> Tensor:
        """Run the inner maximisation.

        Args:
            target: class indices, or a distribution over the classes per example.

        Returns:
            The points at which the loss is taken; for a view in features, the perturbation of the features.
        """
        if self.perturb is None:
            return points.x
        return self.perturb.perturb(
            self.view.make_victim(net),
            points,
            target=target,
            seed=seed,
            mode=self.mode,
            displacement=self.view.in_features,
        )

    def outer_loss(self, net: nn.Module, perturbed: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """Mean loss of a batch plus the penalty.

        Args:
            perturbed: what ``perturb_points`` returns.
            clean: the unperturbed points.
        """
        loss = self.loss(self._forward(net, perturbed, clean, target)).mean()
        return loss if self.penalty is None else loss + self.penalty(net)

    def _forward(self, net: nn.Module, perturbed: Tensor, clean: Tensor, target: Tensor) -> Forward:
        """The forward pass that the loss reads, with the clean one only if the loss needs it."""
        if self.perturb is None:
            logits = as_victim(net)(perturbed)
            return Forward(logits, target, logits)
        if self.view.in_features:
            victim = self.view.make_victim(net)
            clean = victim.lift(clean)
            perturbed = clean + perturbed  # the encoder learns too: gradients reach it through the clean features
        else:
            victim = as_victim(net)
        clean_logits = victim(clean) if self.loss.uses_clean else None
        return Forward(victim(perturbed), target, clean_logits)


def blend(loss: Score, clean_share: float, perturb: Attack | None) -> Score:
    """A share of the loss at the clean point, the rest at the perturbed point (EntM eq. 2 and 5)."""
    if perturb is None and clean_share:
        raise ArgumentError(
            f"`method.clean_share` is {clean_share:g}: it divides the loss between clean and perturbed points, but "
            "this method has no attack. Set one (`method.perturb=pgd`) or leave `method.clean_share` out."
        )
    if clean_share == 0:
        return loss
    if clean_share == 1:
        return at_clean(loss)
    return clean_share * at_clean(loss) + (1 - clean_share) * loss
