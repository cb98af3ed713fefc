"""What an attack is: a search through an oracle, in a ball, raising a score, with a rule for what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import Adversarial, Keep
from surefooted.components.component import Component, Spec
from surefooted.core.norms import Ball
from surefooted.core.types import Points, Score, log_mean_softmax
from surefooted.models.victims import (
    Mode,
    Victim,
    as_victim,
    channels_last,
    check_input,
    infer_num_classes,
    to_device_of,
    untouched,
)

POOL_BYTES = 2**28


@dataclass(frozen=True)
class Attack(Component):
    """An attack ready to run: ``attack(model, points)``.

    Attributes:
        search: asks the oracle, until it is content.
        passes: forward passes that a row takes at most in one search, for plans and progress bars.
        keep: see ``Oracle``. It changes what calibration under attack means, so every caption names it.
        restarts: searches from fresh draws; later ones see only the rows that withstood the earlier.
        away_from: the class to leave, the true ``label`` or the model's own ``prediction``.
        clip: keep to the victim's box (pixels in [0, 1]).
        eot: forward passes that each answer is the mean of (expectation over transformations), for random victims.
        gradient_free: of the passes, those that ask for no gradient.
        proposes: the last point is one of many that were tried, or of the last of several attacks, and not where the
            search has come to: training takes the worst of all, or the nearest that changes the answer where that is
            what the attack keeps.
    """

    kind = "attack"

    search: Callable[[Oracle], None]
    ball: Ball
    objective: Score
    passes: int
    keep: Keep = "found"
    restarts: int = 1
    away_from: Literal["label", "prediction"] = "label"
    clip: bool = True
    eot: int = 1
    gradient_free: int = 0
    proposes: bool = False
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(
        self,
        model: nn.Module | Victim,
        points: Points,
        *,
        seed: int = 0,
        batch: int = 512,
        mode: Mode = "eval",
        progress: Callable[[int], None] | None = None,
    ) -> Adversarial:
        """Attack every point.

        Rows are worked on in pools of some 256 MiB, from which ``batch`` at a time go through the model, so that
        passes stay full while rows retire. Neither pool nor batch changes a row's result, up to kernel rounding;
        victims that draw at random draw for the rows of a batch in their order.

        Args:
            model: a module from pixels in [0, 1] to logits, or a view of one.
            seed: keys all draws, together with the row of each example.
            progress: told how many of the ``len(points) * restarts * passes`` row-passes are done.

        Raises:
            InputError: where images are outside the box or not finite, or the model's answer does not fit the labels.
        """
        victim = as_victim(model)
        check_input(victim, points, batch)
        infer_num_classes(victim, to_device_of(victim, points.take(slice(0, 2))).x, points.y)
        with untouched(victim, mode, seed), channels_last(victim):
            pool = max(batch, POOL_BYTES // (8 * 4 * max(1, points.x[:1].numel())))
            parts = [
                self._attack(victim, to_device_of(victim, points.take(slice(a, a + pool))), seed, batch, progress)
                for a in range(0, len(points.y), pool)
            ]
        return Adversarial(*(torch.cat(column) for column in zip(*parts)))

    def within(self, share: float) -> Attack:
        """The same in a ball of a share of the radius; steps keep their size."""
        return replace(self, ball=self.ball.scaled(share))

    def perturb(
        self,
        model: nn.Module | Victim,
        points: Points,
        *,
        target: Tensor | None = None,
        seed: int,
        mode: Mode = "eval",
        displacement: bool = False,
    ) -> Float[Tensor, "b *z"]:
        """The point to train on: the last iterate, with nothing judged, or the best where the attack ``proposes``.

        No row leaves the batch: batch norm may be learning from it.

        Args:
            target: what the objective reads as the truth, such as softened labels; the labels by default.
            seed: differs from step to step.
            displacement: how far it was moved, in place of where it came to.
        """
        victim = as_victim(model)
        # Dropout masks of its own: with those of the pass that follows, the step would be fitted to them.
        with untouched(victim, mode, seed ^ 1 << 62):
            lifted = points._replace(x=victim.lift(points.x))
            keep: Keep = "last" if not self.proposes else "nearest" if self.keep == "nearest" else "worst"
            options = {"target": target, "judging": self.proposes, "retiring": False}
            oracle = self._oracle(victim, lifted, keep, seed, len(points.y), **options)
            for _ in range(self.restarts if self.proposes else 1):
                self.search(oracle)
            moved = oracle.records.settle().best
        return moved - lifted.x if displacement else moved

    def _attack(
        self, victim: Victim, points: Points, seed: int, batch: int, progress: Callable[[int], None] | None
    ) -> Adversarial:
        with torch.no_grad():
            x = torch.cat([victim.lift(part) for part in points.x.split(batch)])
            if self.away_from == "prediction":
                y = torch.cat([log_mean_softmax(victim(part)).argmax(-1) for part in x.split(batch)])
            else:
                y = points.y
        bar = _Bar(progress, len(y) * self.passes)
        oracle = self._oracle(victim, Points(x, y, points.rows), self.keep, seed, batch, tick=bar.advance)
        for _ in range(self.restarts):
            if oracle.active:
                self.search(oracle)
            bar.complete()
        return oracle.result()

    def _oracle(self, victim: Victim, points: Points, keep: Keep, seed: int, batch: int, **options) -> Oracle:
        box = victim.box if self.clip else (-inf, inf)
        return Oracle(
            victim,
            points,
            ball=self.ball,
            objective=self.objective,
            keep=keep,
            seed=seed,
            box=box,
            batch=batch,
            eot=self.eot,
            **options,
        )


class _Bar:
    """Row-passes done, where rows that retire early count as done at the end of their search."""

    def __init__(self, report: Callable[[int], None] | None, most: int) -> None:
        self.report, self.most, self.done = report, most, 0

    def advance(self, rows: int) -> None:
        rows = min(rows, self.most - self.done)
        self.done += rows
        if self.report and rows:
            self.report(rows)

    def complete(self) -> None:
        self.advance(self.most - self.done)
        self.done = 0
