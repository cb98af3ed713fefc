"""A training method is a few slots: what perturbs the points, how labels are softened, what is minimised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.components.component import Component, Spec
from surefooted.core.scores import at_clean
from surefooted.core.types import Forward, Points, Score
from surefooted.errors import InputError
from surefooted.models.victims import Mode, as_victim
from surefooted.training.methods.targets import Target, one_hot
from surefooted.training.methods.views import View, plain

Mix = Callable[[Points, Tensor, int, int], tuple[Points, Tensor]]
"""From points, targets, number of classes and a seed to mixed points and their targets."""


@dataclass(frozen=True)
class Method(Component):
    """How a classifier is trained.

    Attributes:
        loss: the outer minimisation, at the perturbed point; it reaches the clean one through ``at_clean``.
        perturb: the inner maximisation, or None to train at the clean points.
        target: how labels are softened.
        mode: of batch norm and dropout while attacking.
        mix: puts pairs of examples together before anything else (mixup).
        members: networks trained side by side, epoch by epoch, whose mean prediction counts.
        apart: whether each of them draws batches of its own, as networks do that are trained alone; a loss or an attack
            that looks at all of them at once needs them at the same points.
        view: how the inner maximisation reads the network.
        penalty: what the loss gains by the network alone, whatever the batch.
    """

    kind = "method"

    loss: Score
    perturb: Attack | None = None
    target: Target = field(default_factory=one_hot)
    mode: Mode = "eval"
    mix: Mix | None = None
    members: int = 1
    apart: bool = False
    view: View = field(default_factory=plain)
    penalty: Callable[[nn.Module], Tensor] | None = None
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def within(self, share: float) -> Method:
        """The same with a share of the attack's ε."""
        return self if self.perturb is None else replace(self, perturb=self.perturb.scaled(share))

    def move(self, net: nn.Module, points: Points, target: Tensor, *, seed: int) -> Tensor:
        """The inner maximisation: the points at which the loss is taken; in features, how far they were moved."""
        if self.perturb is None:
            return points.x
        return self.perturb.perturb(
            self.view.victim(net), points, target=target, seed=seed, mode=self.mode, displacement=self.view.inside
        )

    def objective(self, net: nn.Module, x: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """The outer loss, averaged over the batch, with the penalty."""
        loss = self._loss(net, x, clean, target)
        return loss if self.penalty is None else loss + self.penalty(net)

    def _loss(self, net: nn.Module, x: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """The clean pass is run once, and only if the loss reads it."""
        if self.perturb is None:
            logits = as_victim(net)(x)
            return self.loss(Forward(logits, target, logits)).mean()
        if self.view.inside:
            victim = self.view.victim(net)
            clean = victim.lift(clean)
            x = clean + x  # the encoder learns too: gradients reach it through the clean features
        else:
            victim = as_victim(net)
        clean_logits = victim(clean) if self.loss.uses_clean else None
        return self.loss(Forward(victim(x), target, clean_logits)).mean()


def step_of(eps: float, step_size: float | None) -> float | None:
    """A step of the inner attack; where none is given, a quarter of ε: EntM's 2/255 at 8/255, and it grows with ε."""
    return step_size or eps / 4 or None


def blend(loss: Score, clean_share: float, perturb: Attack | None) -> Score:
    """A share of the loss at the clean point, the rest at the perturbed one (EntM eq. 2 and 5)."""
    if perturb is None and clean_share:
        raise InputError(
            f"clean_share = {clean_share:g} says how the loss is divided between clean and perturbed points, and there "
            "is no attack that perturbs any; give one (--method.perturb pgd), or leave clean_share out."
        )
    if clean_share == 0:
        return loss
    if clean_share == 1:
        return at_clean(loss)
    return clean_share * at_clean(loss) + (1 - clean_share) * loss
