"""The adversary of adversarial training: projected gradient ascent, before it is known which score it raises."""

from dataclasses import dataclass
from typing import Literal

from surefooted.attacks.base import Attack
from surefooted.attacks.oracle import Start
from surefooted.attacks.pgd import pgd
from surefooted.core.norms import Norm
from surefooted.core.types import Score


@dataclass(frozen=True)
class Adversary:
    """Budget and start of the inner maximisation; each method adds the score that it raises.

    Attributes:
        eps: radius ε of the ball, for pixels in [0, 1].
        steps: number of gradient steps; None takes ε / step_size, as many as lead from the centre to the edge.
        step_size: length of a step; None takes ε / 4, which is EntM's 2/255 at ε = 8/255 and grows with ε.
        norm: norm of the ball.
        start: first point of the search: the clean point, a uniform draw in the ball, or a Gaussian step.
        sigma: standard deviation of the Gaussian step.
        schedule: of the step size; see ``attacks.pgd``.
        clip: keep the points in [0, 1].

    Example:
        >>> from surefooted.core.scores import entropy
        >>> Adversary(eps=0.2, steps=3).attack(entropy()).passes
        4
    """

    eps: float
    steps: int | None = None
    step_size: float | None = None
    norm: Norm = "linf"
    start: Start = "uniform"
    sigma: float = 0.005
    schedule: Literal["constant", "triangular"] = "constant"
    clip: bool = True

    def attack(self, objective: Score) -> Attack:
        """PGD on the objective. It keeps its last iterate, which is the point to train on."""
        step_size = self.step_size or self.eps / 4 or None
        return pgd(
            norm=self.norm,
            eps=self.eps,
            steps=self.steps or max(1, round(self.eps / (step_size or 1))),
            step_size=step_size,
            schedule=self.schedule,
            start=self.start,
            sigma=self.sigma,
            objective=objective,
            keep="last",
            clip=self.clip,
        )
