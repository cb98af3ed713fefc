"""The oracle: how an attack reaches a model. A new attack is a new search; nothing here or in ``tracker`` changes.

It runs only the rows that are still under attack, judges *every* point that it evaluates, keeps the best, counts
queries and projects. What is not finite is settled here, by the rules of ``core.finite``: gradients are finite, and
values are numbers or −inf where the victim gives no answer. An attack is left with its idea::

    s = oracle.state(x=oracle.draw("uniform"))
    for _ in oracle.iterate(steps, s):
        s.x = oracle.project(s.x + step_size * oracle.ball.steepest(oracle.gradient(s.x)))
    oracle.finish(s.x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefooted.attacks.tracker import AttackResult, Keep, RowState, Tracker
from surefooted.core.finite import finite_gradient, is_misclassified, ranked
from surefooted.core.norms import Ball
from surefooted.core.rng import Noise, torch_seed
from surefooted.core.types import Forward, Points, Score, class_scores
from surefooted.errors import ArgumentError, ModelError
from surefooted.models.guard import gives_gradients
from surefooted.models.victims import Victim

Start = Literal["clean", "uniform", "gaussian"]
# Each of several attacks in turn has 2²⁴ draws of its own.
_DRAW_BITS = 24
# See ``_scale_of``.
_SMALLEST_SPREAD, _LARGEST_EXPONENT = 1e-2, 100


@runtime_checkable
class AttackSettings(Protocol):
    """What an oracle reads of an ``Attack``: the allowed perturbations, and which point counts as the best.

    Attributes:
        ball: the allowed perturbations.
        objective: the score that the attack raises.
        keep: the point that counts as the best; see ``Keep``.
        clip: whether points stay in the victim's box (pixels in [0, 1]).
        eot: forward passes averaged per prediction, for stochastic victims; the mean prediction is judged.
    """

    @property
    def ball(self) -> Ball: ...

    @property
    def objective(self) -> Score: ...

    @property
    def keep(self) -> Keep: ...

    @property
    def clip(self) -> bool: ...

    @property
    def eot(self) -> int: ...


class Oracle:
    """Answers an attack on a pool of rows and remembers the best point of each.

    Args:
        settings: the attack, whose ball, objective, keep, clip and eot apply.
        victim: frozen and in its mode already (see ``victims.untouched``).
        points: the coordinates under attack, the class that each row should leave, the rows that key the noise.
        seed: keys all draws, together with the rows.
        batch: rows per forward pass at most.
        target: what the objective treats as the truth if it is not the class (soft labels in training).
        tracks_best: if False, only the last iterate is remembered (training).
        drops_rows: if False, finished rows stay in the batch, where batch norm may be learning from them.
        on_progress: is called with the number of row-passes done, for a progress bar.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> from surefooted.models.victims import NetworkVictim
        >>> points = sf.Points(torch.rand(4, 3), torch.tensor([0, 1, 0, 1]), torch.arange(4))
        >>> victim = NetworkVictim(torch.nn.Linear(3, 2))
        >>> oracle = Oracle(sf.attacks.pgd(eps=0.1), victim, points, seed=0)
        >>> oracle.finish(oracle.draw("uniform"))
        >>> oracle.result().x.shape
        torch.Size([4, 3])
    """

    def __init__(
        self,
        settings: AttackSettings,
        victim: Victim,
        points: Points,
        *,
        seed: int,
        batch: int = 512,
        target: Tensor | None = None,
        tracks_best: bool = True,
        drops_rows: bool = True,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.ball, self.objective, self.keep, self.eot = settings.ball, settings.objective, settings.keep, settings.eot
        self.victim, self.box = victim, victim.box if settings.clip else (-inf, inf)
        self.seed, self.batch, self.tracks_best, self.on_progress = seed, batch, tracks_best, on_progress
        self.draw_count = 0
        self._scales = False  # whether the logits of a row are scaled
        self.path: tuple[int, ...] = ()  # indices of the attacks within attacks that are running
        self.tracker = Tracker(
            points, target, ball=self.ball, keep=self.keep, tracks_best=tracks_best, drops_rows=drops_rows
        )
        # Each query of a black box may have a price.
        self.tracker.drops_at_once = not gives_gradients(victim.nets)
        # Which of the points evaluated last are misclassified.
        self.wrong = torch.zeros(len(points.y), dtype=torch.bool, device=points.x.device)
        if tracks_best or self.objective.uses_clean:
            self._evaluate_clean()

    @property
    def x0(self) -> Float[Tensor, "a *z"]:
        """Clean points of the active rows."""
        return self.tracker.active.x0

    @property
    def y(self) -> Int[Tensor, " a"]:
        """Classes that the active rows should leave."""
        return self.tracker.active.y

    @property
    def best(self) -> Float[Tensor, "a *z"]:
        """Best points of the active rows so far. Needs ``tracks_best``."""
        return self.tracker.active.best

    @property
    def best_size(self) -> Float[Tensor, " a"]:
        """Norms of the smallest perturbations found so far (keep ``nearest``); infinite without one."""
        return self.tracker.active.size

    @property
    def active_count(self) -> int:
        """Number of rows under attack."""
        return self.tracker.active_count

    @property
    def classes(self) -> int:
        """Number of the victim's classes."""
        if "clean" not in self.tracker.active.__dict__:
            self._evaluate_clean()
        return self.tracker.active.clean.shape[-1]

    def state(self, **tensors: Tensor) -> RowState:
        """Tensors of the attack itself, with one entry per active row."""
        return RowState(**tensors)

    def iterate(self, steps: int, state: RowState) -> Iterator[int]:
        """Count up to ``steps`` steps. Between steps, finished rows leave both the oracle and ``state``.

        After the last step, deactivated rows return in the state in which they left. Under ``keep='found'``, rows whose
        attack succeeded do not return.
        """
        return self.tracker.iterate(steps, state)

    def value(self, x: Float[Tensor, "a *z"]) -> Float[Tensor, " a"]:
        """The objective at ``x``, −inf without an answer. Costs one forward pass."""
        return self._evaluate(x, gradient=False)[0]

    def gradient(self, x: Float[Tensor, "a *z"]) -> Float[Tensor, "a *z"]:
        """The gradient of the objective at ``x``, always finite. Costs one forward and one backward pass."""
        return self._evaluate(x, gradient=True)[1]

    def value_and_grad(self, x: Float[Tensor, "a *z"]) -> tuple[Float[Tensor, " a"], Float[Tensor, "a *z"]]:
        """The objective and its gradient at ``x``. Costs one forward and one backward pass."""
        return self._evaluate(x, gradient=True)

    def set_objective(self, objective: Score) -> None:
        """Continue with another objective. Successes are kept; with keep ``worst``, points are ranked by margin.

        Under other rules the values of the old objective are forgotten: values of different objectives have no order.
        """
        self.objective = objective
        active = self.tracker.active
        if self.tracks_best and self.keep == "worst":
            self.tracker.rank_by_margin(Forward(active.clean.transpose(0, 1), active.target))
        elif self.tracks_best:
            active.value.fill_(-inf)
        elif objective.uses_clean and "clean" not in active.__dict__:
            self._evaluate_clean()

    def deactivate(self, rows: Bool[Tensor, " a"]) -> None:
        """Set rows aside until the end of the current ``iterate``. Does nothing if the best is not tracked."""
        self.tracker.deactivate(rows)

    def exclude(self, rows: Bool[Tensor, " n"]) -> None:
        """Leave rows of the pool, given before any search, out of all searches."""
        if self.tracks_best:
            self.tracker.active.inactive |= rows[self.tracker.active.position]
            self.tracker.drop_inactive()

    def project(self, x: Float[Tensor, "a *z"]) -> Float[Tensor, "a *z"]:
        """Project ``x`` onto the ball, then onto the box."""
        return (self.x0 + self.ball.clip(x - self.x0)).clamp_(*self.box)

    def draw(self, start: Start, sigma: float = 0.0) -> Float[Tensor, "a *z"]:
        """A starting point: clean, uniform in the ball, or a Gaussian step of standard deviation ``sigma``."""
        if start == "clean":
            return self.x0
        shape = self.x0.shape[1:]
        d = self.ball.draw(self.noise(), shape) if start == "uniform" else sigma * self.noise().normal(*shape)
        return self.project(self.x0 + d)

    @contextmanager
    def sub_attack(self, index: int) -> Iterator[None]:
        """Run one of several attacks: its draws do not depend on how long the attacks before it took.

        Nested attacks, as of a union in a union, have draws of their own too.
        """
        seed, draw_count, path = self.seed, self.draw_count, self.path
        if path:
            self.seed = torch_seed(seed, *path)
        self.draw_count, self.path = index << _DRAW_BITS, (*path, index)
        try:
            yield
        finally:
            self.seed, self.draw_count, self.path = seed, draw_count, path

    def noise(self) -> Noise:
        """A fresh draw for the active rows. A row's draw does not depend on which other rows are active."""
        self.draw_count += 1
        return Noise(self.seed, self.tracker.active.rows, self.draw_count)

    def finish(self, x: Float[Tensor, "a *z"]) -> None:
        """Judge the last iterate too: without it, an attack of k steps would report only k − 1 of its points."""
        if self.tracks_best and self.active_count:
            self._evaluate(x, gradient=False, last=True)
            if self.keep == "found":
                self.tracker.drop_inactive()
        elif not self.tracks_best:
            self.tracker.active.best = x

    def result(self) -> AttackResult:
        """The best points of all rows of the pool."""
        pool = self.tracker.collect()
        pool.found = torch.cat(
            [self._confirm(pool, part, pool.best[part], pool.found[part]) for part in self._batches(len(pool.y))]
        )
        size = self.ball.size(pool.best - pool.x0)
        return AttackResult(
            pool.best, pool.found, size, pool.queries, pool.non_finite_answers, pool.non_finite_gradients
        )

    def _evaluate_clean(self) -> None:
        """Judge the clean points, and keep their logits for objectives that compare with them."""
        active = self.tracker.active
        all_logits, scales = [], []
        for part in self._batches():
            with torch.no_grad():
                logits = torch.cat([self.victim(self.x0[part]) for _ in range(self.eot)])
            scale = _scale_of(logits) if self.tracks_best else torch.ones_like(logits[0, :, :1])
            logits = logits * scale
            if self.tracks_best:
                f = Forward(logits, active.target[part], logits)
                wrong = self._confirm(active, part, self.x0[part], is_misclassified(f.class_scores, self.y[part]))
                self.tracker.count_queries(part, self.eot)
                self.tracker.count_non_finite(part, answered=f.answered)
                self.tracker.judge(part, self.x0[part], f, _comparable(self._value(f), f), wrong)
            all_logits.append(logits)
            scales.append(scale)
        # In every record the first axis is the row; samples follow.
        self.tracker.add_columns(clean=torch.cat(all_logits, 1).transpose(0, 1), scale=torch.cat(scales))
        self._scales = bool((self.tracker.active.scale != 1).any())
        if self.tracks_best:
            # A misclassified clean point is an adversarial example of size 0, and no point is nearer.
            active.inactive |= active.found & (self.keep in ("found", "nearest"))
            self.tracker.drop_inactive()

    def _evaluate(self, x: Tensor, *, gradient: bool, last: bool = False) -> tuple[Tensor, Tensor]:
        if not self.active_count:
            return x.new_zeros(0), x
        active = self.tracker.active
        values: list[Tensor] = []
        gradients: list[Tensor] = []
        wrong: list[Tensor] = []
        for part in self._batches():
            point = x[part].detach().to(self.x0.dtype)  # judged exactly as it will be returned
            f, value, gradient_here = self._forward(point, part, gradient)
            values.append(_comparable(value, f))
            gradients += gradient_here
            wrong.append(is_misclassified(f.class_scores, active.y[part]))
            if self.tracks_best:
                self.tracker.count_queries(part, self.eot)
                self.tracker.count_non_finite(part, answered=f.answered)
            if self.tracks_best and (last or self.keep != "last"):
                wrong[-1] = self._confirm(active, part, point, wrong[-1])
                with torch.no_grad():
                    self.tracker.judge(part, point.detach(), f, values[-1], wrong[-1])
        self.wrong = _joined(wrong)
        if self.on_progress:
            self.on_progress(self.active_count * self.eot)
        return _joined(values), _joined(gradients) if gradient else x

    def _forward(self, point: Tensor, part: slice, gradient: bool) -> tuple[Forward, Tensor, list[Tensor]]:
        """The logits of all ``eot`` passes, with the means of the objective and of its gradient."""
        active = self.tracker.active
        logits: list[Tensor] = []
        values: list[Tensor] = []
        gradients: list[Tensor] = []
        clean = active.clean[part].transpose(0, 1) if self.objective.uses_clean else None
        point.requires_grad_(gradient)
        for _ in range(self.eot):
            with torch.set_grad_enabled(gradient):
                f = Forward(self._logits(point, part), active.target[part], clean)
                _check_objective(self.objective, f)
                value = self._value(f)
                if gradient:
                    finite, broken = finite_gradient(input_gradient(value.sum(), point))
                    gradients.append(finite)
                    if self.tracks_best:
                        self.tracker.count_broken_gradients(part, broken)
            values.append(value.detach().to(point.dtype))
            logits.append(f.logits.detach())
        joint = f if self.eot == 1 else Forward(torch.cat(logits), f.target)
        return joint, _mean(values), [_mean(gradients)] if gradient else []

    def _logits(self, point: Tensor, part: slice) -> Tensor:
        logits = self.victim(point)
        return logits * self.tracker.active.scale[part] if self._scales else logits

    def _value(self, f: Forward) -> Tensor:
        """The objective as the attack raises it; in training it stays what it is."""
        return ((self.tracks_best and self.objective.ascent) or self.objective.evaluate)(f)

    def _confirm(self, rows: RowState, part: slice, x: Tensor, wrong: Tensor) -> Tensor:
        """Repeat the prediction of stochastic victims at misclassified points, and return which still are.

        Of a hundred points that a stochastic victim classifies, some are wrong by chance. An attack that stopped at the
        first would report the luckiest of its draws.
        """
        if self.eot == 1 or not bool(wrong.any()):
            return wrong
        index = wrong.nonzero()[:, 0]
        with torch.no_grad():
            again = torch.cat([self.victim(x[index].detach()) for _ in range(self.eot)])
        rows.queries[part] += self.eot * wrong
        return wrong.index_put((index,), is_misclassified(class_scores(again), rows.y[part][index]))

    def _batches(self, n: int | None = None) -> Iterator[slice]:
        return (slice(a, a + self.batch) for a in range(0, self.active_count if n is None else n, self.batch))


def _scale_of(logits: Float[Tensor, "s b k"]) -> Float[Tensor, "b 1"]:
    """The power of two by which the logits of each row are multiplied: 1, unless they all but coincide.

    If the logits at a clean image differ by less than 0.01, their softmax is nearly uniform, and rounding hides what an
    objective gains. Multiplied by a power of two, such that they differ by 4 to 8, they name the same classes. Several
    samples are left as they are: their mean prediction would change.
    """
    one = torch.ones_like(logits[0, :, :1])
    if len(logits) > 1:
        return one
    highest = logits[0].amax(-1, keepdim=True)
    masked = logits[0] == -inf
    spread = highest - torch.where(masked, highest, logits[0]).amin(-1, keepdim=True)
    exponent = (3 - torch.frexp(spread).exponent).clamp_max(_LARGEST_EXPONENT)
    return torch.where((spread > 0) & (spread < _SMALLEST_SPREAD), exponent.double().exp2().to(logits), one)


def _check_objective(objective: Score, f: Forward) -> None:
    """Refuse an objective that is constant for a single prediction: the attack would stay where it is."""
    if objective.epistemic and len(f.logits) == 1:
        raise ArgumentError(
            f"{objective.called} is constant for a single prediction, so its gradient is zero. Attack an ensemble or "
            "MC-dropout samples instead, or raise another score, such as entropy."
        )


def _comparable(value: Tensor, f: Forward) -> Tensor:
    """The objective where there is an answer and a number; −inf elsewhere."""
    return ranked(value).masked_fill(~f.answered, -inf)


def input_gradient(value: Tensor, point: Tensor) -> Tensor:
    """The gradient of a number with respect to the input.

    Raises:
        ModelError: if the model is not differentiable.
    """
    gradient = torch.autograd.grad(value, point, allow_unused=True)[0] if value.requires_grad else None
    if gradient is None:
        raise ModelError(
            "The model gives its input no gradient. Does its forward pass detach a tensor or run under torch.no_grad? "
            "Remove that, or use a gradient-free attack: square, hop_skip_jump or random_search."
        )
    return gradient


def _mean(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
