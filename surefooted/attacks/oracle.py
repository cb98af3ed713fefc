"""The oracle: the only way an attack reaches a model, and with ``records`` the place where all bookkeeping lives.

It runs only the rows that are still active, judges *every* point it is asked about, keeps the best, counts queries and
projects. What is left of an attack is its idea::

    s = oracle.state(x=oracle.draw("uniform"))
    for _ in oracle.rounds(steps, s):
        s.x = oracle.project(s.x + step_size * oracle.ball.steepest(oracle.gradient(s.x)))
    oracle.finish(s.x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.attacks.tracker import Adversarial, Keep, RowState, Tracker
from surefooted.core.norms import Ball
from surefooted.core.rng import Noise, torch_seed
from surefooted.core.types import Forward, Points, Score, log_mean_softmax
from surefooted.errors import InputError
from surefooted.models.victims import Victim

Start = Literal["clean", "uniform", "gaussian"]
# Draws that one turn of several has, as a power of 2.
TURN = 24


class Oracle:
    """Answers an attack on a block of rows, and remembers the best answer for each.

    Args:
        victim: frozen and in its mode already (see ``views.untouched``).
        points: the coordinates that are attacked, the class that each row should leave, the rows for the noise.
        ball: what perturbations are allowed.
        objective: what the attack raises.
        keep: ``found`` retires a row when its goal is met; ``worst`` never retires and ranks by (goal met, objective);
            ``nearest`` keeps the smallest perturbation that met the goal; ``last`` is the final iterate.
        target: what the objective reads as the truth where that is not the class (soft labels in training).
        batch: rows that one pass through the victim takes at most.
        judging: without it nothing is remembered but the last iterate: training.
        retiring: without it rows that are done stay in the batch, where batch norm learns from it.
        eot: passes that each answer is the mean of, for victims that draw at random; judged by their mean prediction.
        tick: told of the passes run, for a progress bar.
    """

    def __init__(
        self,
        victim: Victim,
        points: Points,
        *,
        ball: Ball,
        objective: Score,
        keep: Keep,
        seed: int,
        box: tuple[float, float],
        target: Tensor | None = None,
        batch: int = 512,
        judging: bool = True,
        retiring: bool = True,
        eot: int = 1,
        tick: Callable[[int], None] | None = None,
    ) -> None:
        self.victim, self.ball, self.objective, self.keep = victim, ball, objective, keep
        self.box, self.seed, self.batch, self.judging, self.tick = box, seed, batch, judging, tick
        self.draws, self.eot = 0, eot
        self.turns: tuple[int, ...] = ()
        self.records = Tracker(points, target, ball=ball, keep=keep, judging=judging, retiring=retiring)
        # What was said of the points asked about last: whether they have left their class.
        self.wrong = torch.zeros(len(points.y), dtype=torch.bool, device=points.x.device)
        if judging or objective.uses_clean:
            self._look()

    @property
    def now(self) -> RowState:
        """The records of the active rows."""
        return self.records.now

    @property
    def x0(self) -> Float[Tensor, "a *z"]:
        """The clean points of the active rows."""
        return self.now.x0

    @property
    def y(self) -> Int[Tensor, " a"]:
        """The classes that the active rows should leave."""
        return self.now.y

    @property
    def active(self) -> int:
        """How many rows are still attacked."""
        return self.records.active

    @property
    def classes(self) -> int:
        """How many classes the victim tells apart."""
        if "clean" not in self.now.__dict__:
            self._look()
        return self.now.clean.shape[-1]

    def state(self, **tensors: Tensor) -> RowState:
        """Tensors of the attack's own, with one entry for each active row."""
        return RowState(**tensors)

    def rounds(self, n: int, state: RowState) -> Iterator[int]:
        """Up to ``n`` turns. Between them rows that are done leave, from the oracle and from ``state`` alike.

        After the last turn rows set aside by ``rest`` are back, as they were when they left; rows that met their goal
        under ``keep='found'`` are not.
        """
        return self.records.rounds(n, state)

    def value(self, x: Float[Tensor, "a *z"]) -> Float[Tensor, " a"]:
        """The objective at ``x``; one forward pass."""
        return self._ask(x, gradient=False)[0]

    def gradient(self, x: Float[Tensor, "a *z"]) -> Float[Tensor, "a *z"]:
        """The objective's gradient at ``x``; one forward and one backward pass."""
        return self._ask(x, gradient=True)[1]

    def value_and_grad(self, x: Float[Tensor, "a *z"]) -> tuple[Float[Tensor, " a"], Float[Tensor, "a *z"]]:
        return self._ask(x, gradient=True)

    def pursue(self, objective: Score) -> None:
        """Go on with another objective. What was found stays found; the worst of all is the one of greatest margin.

        Under other rules values of the old objective are forgotten: points of different ones have no order.
        """
        self.objective = objective
        if self.judging and self.keep == "worst":
            self.records.compare(Forward(self.now.clean.transpose(0, 1), self.now.target))
        elif self.judging:
            self.now.value.fill_(-torch.inf)
        elif objective.uses_clean and "clean" not in self.now.__dict__:
            self._look()

    def rest(self, rows: Bool[Tensor, " a"]) -> None:
        """Set rows aside until the end of the current rounds; in training none is."""
        self.records.rest(rows)

    def project(self, x: Float[Tensor, "a *z"]) -> Float[Tensor, "a *z"]:
        """The nearest allowed point: into the ball, then into the box."""
        return (self.x0 + self.ball.clip(x - self.x0)).clamp_(*self.box)

    def draw(self, start: Start, sigma: float = 0.0) -> Float[Tensor, "a *z"]:
        """A starting point: the clean one, uniform in the ball, or a Gaussian step of standard deviation sigma."""
        if start == "clean":
            return self.x0
        shape = self.x0.shape[1:]
        d = self.ball.draw(self.noise(), shape) if start == "uniform" else sigma * self.noise().normal(*shape)
        return self.project(self.x0 + d)

    @contextmanager
    def turn(self, k: int) -> Iterator[None]:
        """The ``k``-th of several attacks in a row: its draws do not depend on how long those before it took.

        A turn within a turn, as of a union in a union, has draws of its own too.
        """
        seed, draws, turns = self.seed, self.draws, self.turns
        if turns:
            self.seed = torch_seed(seed, *turns)
        self.draws, self.turns = k << TURN, (*turns, k)
        try:
            yield
        finally:
            self.seed, self.draws, self.turns = seed, draws, turns

    def noise(self) -> Noise:
        """A fresh draw for the active rows, the same for a row whatever else is active."""
        self.draws += 1
        return Noise(self.seed, self.now.rows, self.draws)

    def finish(self, x: Float[Tensor, "a *z"]) -> None:
        """Judge the last iterate too: without it a k-step attack reports only k - 1 of its moves."""
        if self.judging and self.active:
            self._ask(x, gradient=False, last=True)
            if self.keep == "found":
                self.records.retire()
        elif not self.judging:
            self.now.best = x

    def result(self) -> Adversarial:
        w = self.records.settle()
        w.found = torch.cat([self._sure(w, part, w.best[part], w.found[part]) for part in self._parts(len(w.y))])
        return Adversarial(w.best, w.found, self.ball.size(w.best - w.x0), w.queries)

    def _look(self) -> None:
        """Judge the clean points, and keep their logits for objectives that compare with them."""
        logits = []
        for part in self._parts():
            with torch.no_grad():
                out = torch.cat([self.victim(self.x0[part]) for _ in range(self.eot)])
            if self.judging:
                f = Forward(out, self.now.target[part], out)
                wrong = self._sure(self.now, part, self.x0[part], f.log_p.argmax(-1) != self.y[part])
                self.records.asked(part, self.eot)
                self.records.judge(part, self.x0[part], f, self.objective(f), wrong)
            logits.append(out)
        # Rows lead in every record, samples follow.
        self.records.add(clean=torch.cat(logits, 1).transpose(0, 1))
        if self.judging:
            # A row that is wrong from the start is found at size 0, and nothing is nearer.
            self.now.idle |= self.now.found & (self.keep in ("found", "nearest"))
            self.records.retire()

    def _ask(self, x: Tensor, *, gradient: bool, last: bool = False) -> tuple[Tensor, Tensor]:
        if not self.active:
            return x.new_zeros(0), x
        values: list[Tensor] = []
        gradients: list[Tensor] = []
        wrong: list[Tensor] = []
        for part in self._parts():
            point = x[part].detach()
            f, value, gradient_here = self._answer(point, part, gradient)
            values.append(value)
            gradients += gradient_here
            wrong.append(f.log_p.detach().argmax(-1) != self.now.y[part])
            if self.judging:
                self.records.asked(part, self.eot)
            if self.judging and (last or self.keep != "last"):
                wrong[-1] = self._sure(self.now, part, point, wrong[-1])
                with torch.no_grad():
                    self.records.judge(part, point.detach(), f, values[-1], wrong[-1])
        self.wrong = _joined(wrong)
        if self.tick:
            self.tick(self.active * self.eot)
        return _joined(values), _joined(gradients) if gradient else x

    def _answer(self, point: Tensor, part: slice, gradient: bool) -> tuple[Forward, Tensor, list[Tensor]]:
        """All that was said about a point in ``eot`` passes, with the means of the objective and of its gradient."""
        logits: list[Tensor] = []
        values: list[Tensor] = []
        gradients: list[Tensor] = []
        point.requires_grad_(gradient)
        for _ in range(self.eot):
            with torch.set_grad_enabled(gradient):
                f = Forward(self.victim(point), self.now.target[part], self._clean(part))
                check_told(self.objective, f)
                value = self.objective(f)
            if gradient:
                gradients.append(input_gradient(value.sum(), point))
            values.append(value.detach())
            logits.append(f.logits.detach())
        whole = f if self.eot == 1 else Forward(torch.cat(logits), f.target)
        return whole, _mean(values), [_mean(gradients)] if gradient else []

    def _sure(self, rows: RowState, part: slice, x: Tensor, wrong: Tensor) -> Tensor:
        """Whether the victim's mean answer leaves the class in passes of their own too, where it seemed to.

        Of a hundred points that a random victim answers, some are wrong by chance: an attack that stopped there would
        report the luckiest of its draws.
        """
        if self.eot == 1 or not bool(wrong.any()):
            return wrong
        at = wrong.nonzero()[:, 0]
        with torch.no_grad():
            again = torch.cat([self.victim(x[at].detach()) for _ in range(self.eot)])
        rows.queries[part] += self.eot * wrong
        return wrong.index_put((at,), log_mean_softmax(again).argmax(-1) != rows.y[part][at])

    def _clean(self, part: slice) -> Tensor | None:
        return self.now.clean[part].transpose(0, 1) if self.objective.uses_clean else None

    def _parts(self, n: int | None = None) -> Iterator[slice]:
        return (slice(a, a + self.batch) for a in range(0, self.active if n is None else n, self.batch))


def check_told(objective: Score, f: Forward) -> None:
    """Refuse to raise what one sample does not tell: such an attack would stay where it is, and find nothing."""
    if objective.epistemic and len(f.logits) == 1:
        raise InputError(
            f"{objective.called} is the same for any single prediction, and so moves nothing; attack several networks "
            "(--model KEY,KEY) or dropout masks (--model KEY@10), or raise another score, such as entropy."
        )


def input_gradient(value: Tensor, point: Tensor) -> Tensor:
    """The gradient of a number by the points. Raises InputError where the model gives none."""
    found = torch.autograd.grad(value, point, allow_unused=True)[0] if value.requires_grad else None
    if found is None:
        raise InputError(
            "the model gives its input no gradient (is it detached, or run without gradients?); mend that, or use an "
            "attack that asks for none: square or random_search."
        )
    return found


def _mean(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
