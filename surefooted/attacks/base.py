"""The ``Attack`` dataclass: a search, its ball, objective and settings. Call it as ``attack(model, x, y)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.attacks.oracle import Oracle
from surefooted.attacks.tracker import AttackResult, Keep
from surefooted.components.component import Component, Spec
from surefooted.core.finite import finite_rows, has_answer, is_misclassified
from surefooted.core.norms import Ball, check_fits_box
from surefooted.core.types import Points, Score, as_points, check_points, class_scores
from surefooted.data.arrays import as_images
from surefooted.data.images import Images
from surefooted.errors import ArgumentError, ModelError, NonFiniteOutput
from surefooted.models.guard import gives_gradients
from surefooted.models.victims import (
    BATCH,
    Mode,
    Victim,
    as_victim,
    channels_last,
    check_input,
    infer_num_classes,
    to_device_of,
    tried_images,
    untouched,
)

# For messages: the attacks that need no gradients.
GRADIENT_FREE = "square (for scores), hop_skip_jump (also for labels) or random_search"
_POOL_BYTES = 2**28


@dataclass(frozen=True)
class Attack(Component):
    """An attack ready to run: ``attack(model, x, y)``, or ``attack(model, points)``.

    Attributes:
        search: queries the oracle until it is done.
        ball: the allowed perturbations.
        objective: the score that the search raises first.
        passes: forward passes per row and search at most, for forecasts and progress bars.
        keep: which point counts as the best; see ``Keep`` in ``attacks.tracker``. It changes the calibration under
            attack, so every caption states it.
        restarts: searches from fresh draws. Each sees only the rows that the earlier ones did not break.
        away_from: the class to leave, the true ``label`` or the model's own ``prediction``.
        clip: whether points stay in the victim's box (pixels in [0, 1]).
        eot: forward passes averaged per prediction (expectation over transformation), for stochastic victims.
        gradient_free: the part of ``passes`` that needs no gradient.
        tries_candidates: True if the last point is one of many candidates, or the last of several attacks, and not the
            end of one walk. Training then uses the worst candidate, or the nearest if ``keep`` is ``nearest``.
        expected_share: typical share of the passes with gradient and of those without that are really spent, because
            broken rows are dropped. Measured on our own runs; it depends on the model's robustness. For forecasts.
        parts: for a number of classes, the attacks that a union runs in turn; none for a single search.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> attack = sf.attacks.pgd(eps=0.1, steps=5)
        >>> attack.passes, attack.gradient_free
        (6, 0)
        >>> result = attack(net, points, seed=1)
        >>> result.robust_accuracy.n
        20
        >>> attack(net, points.x.numpy(), points.y.tolist()).x.shape
        torch.Size([20, 1, 8, 8])
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
    tries_candidates: bool = False
    expected_share: tuple[float, float] = (1.0, 1.0)
    parts: Callable[[int], tuple[Attack, ...]] = field(default=lambda classes: (), compare=False, repr=False)
    spec: Spec | None = field(default=None, compare=False, repr=False)

    def __call__(
        self,
        model: nn.Module | Victim,
        points: Any,
        y: Any = None,
        *,
        seed: int = 0,
        batch: int = BATCH,
        mode: Mode = "eval",
        progress: Callable[[int], None] | None = None,
    ) -> AttackResult:
        """Attack every point.

        Rows are attacked in pools of about 256 MiB, from which ``batch`` rows at a time go through the model: batches
        stay full while rows are dropped. Neither pool nor batch changes the result of a row, up to kernel rounding.
        Stochastic victims are the exception: they draw for the rows of a batch in their order.

        In the end the victim is asked once more, as ``predict`` asks it: all images in order, ``batch`` at a time. This
        answer is the verdict ``found``, since the batches of the search, from which rows were dropped, round
        differently. A stochastic victim, whose answer to one batch differs from call to call, keeps the verdict of the
        search.

        Images without a finite answer, and gradients that are not finite, are counted; a ``NonFiniteOutput`` warning
        says how many and which.

        Args:
            model: a module from pixels in [0, 1] to logits, or a victim.
            points: points (images, labels and rows), a split of a data set, or images: floats in [0, 1] as the model
                takes them, (N, C, H, W) as a rule, in a tensor, a NumPy array or lists.
            y: labels of the images, (N,) class indices, if ``points`` are images. Their rows are 0 to N − 1.
            seed: keys all draws, together with the row of each example.
            batch: rows per forward pass at most.
            mode: mode of the model during the attack, ``eval`` or ``train``.
            progress: is called with the number of row-passes done, out of ``len(y) * restarts * passes``.

        Returns:
            The best point of each row, in the order given.

        Raises:
            InputError: if images are outside the box or not finite, if the model's output does not fit the labels, or
                if an L∞ radius is larger than the box.
        """
        victim = as_victim(model)
        points = _read_points(points, y)
        check_fits_box(self.ball, victim.box)
        points = check_input(victim, points, batch)
        if self.passes > self.gradient_free and not gives_gradients(victim.nets):
            raise ModelError(
                f"{self.spec.name if self.spec else 'The attack'} needs gradients, and a black box has none. Use an "
                f"attack that needs none: {GRADIENT_FREE}."
            )
        few = to_device_of(victim, points.take(slice(0, tried_images(victim, batch)))).x
        infer_num_classes(victim, few, points.y, mode=mode, gradient=self.passes > self.gradient_free)
        with untouched(victim, mode, seed), channels_last(victim):
            pool = max(batch, _POOL_BYTES // (8 * 4 * max(1, points.x[:1].numel())))
            parts = [
                self._attack(victim, to_device_of(victim, points.take(slice(a, a + pool))), seed, batch, progress)
                for a in range(0, len(points.y), pool)
            ]
            results, classes = zip(*parts)
            result = AttackResult(*(torch.cat(column) for column in zip(*results)))
            if mode == "eval":
                result = result._replace(found=_as_predicted(victim, result, torch.cat(classes), batch))
        warn_of_non_finite(self.spec.name if self.spec else "The attack", result, points.rows)
        return result

    def scaled(self, share: float) -> Attack:
        """The same attack in a ball of ``share`` times the radius. Steps keep their size."""
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
        """The points to train on: the last iterate, or the best candidate if the attack ``tries_candidates``.

        No row is dropped from the batch: batch norm may be learning from it.

        Args:
            model: a module from pixels in [0, 1] to logits, or a victim.
            points: images, labels and rows.
            target: what the objective treats as the truth, such as softened labels; the labels by default.
            seed: must differ from step to step.
            mode: mode of the model during the attack, ``eval`` or ``train``.
            displacement: return the perturbation instead of the perturbed points.
        """
        victim = as_victim(model)
        check_fits_box(self.ball, victim.box)
        # Other dropout masks than in the training pass that follows: the perturbation would be fitted to those.
        with untouched(victim, mode, seed ^ 1 << 62, in_training=True):
            lifted = points._replace(x=victim.lift(points.x))
            keep: Keep = "last" if not self.tries_candidates else "nearest" if self.keep == "nearest" else "worst"
            oracle = Oracle(
                replace(self, keep=keep),
                victim,
                lifted,
                seed=seed,
                batch=len(points.y),
                target=target,
                tracks_best=self.tries_candidates,
                drops_rows=False,
            )
            for _ in range(self.restarts if self.tries_candidates else 1):
                self.search(oracle)
            moved = oracle.tracker.collect().best
        return moved - lifted.x if displacement else moved

    def _attack(
        self, victim: Victim, points: Points, seed: int, batch: int, progress: Callable[[int], None] | None
    ) -> tuple[AttackResult, Tensor]:
        """The result for a pool of points, and the classes that they should leave."""
        with torch.no_grad():
            x = torch.cat([victim.lift(part) for part in torch.split(points.x, batch)])
            x = x.to(torch.promote_types(x.dtype, torch.float32))  # steps of an attack are too small for half precision
            y, unpredicted = points.y, torch.zeros_like(points.y, dtype=torch.bool)
            if self.away_from == "prediction":
                scores = torch.cat([class_scores(victim(part)) for part in torch.split(x, batch)])
                y, unpredicted = scores.argmax(-1), ~has_answer(scores)
        bar = _ProgressBar(progress, len(y) * self.passes)
        oracle = Oracle(self, victim, Points(x, y, points.rows), seed=seed, batch=batch, on_progress=bar.advance)
        oracle.exclude(unpredicted)  # there is no prediction to leave
        for _ in range(self.restarts):
            if oracle.active_count:
                self.search(oracle)
            bar.complete()
        result = oracle.result()
        return result._replace(found=result.found & ~unpredicted), y


def _read_points(given: Any, y: Any) -> Points:
    """The points that a caller means: by themselves, as ``x, y``, as a pair of these, or as a data set."""
    if y is not None and isinstance(given, Points | Images):
        raise ArgumentError(f"`y` is given, but {type(given).__name__} have labels of their own. Leave `y` out.")
    if y is None and isinstance(given, Tensor | np.ndarray | list):
        raise ArgumentError("The labels are missing: call attack(model, x, y).")
    if y is not None:
        return as_points(given, y)
    if isinstance(given, Points) or (isinstance(given, tuple) and len(given) == 2):
        return as_points(*given)
    images = as_images(given)
    if isinstance(images, Images):
        return images.points()
    check_points(images)  # refuses what is nothing of the kind
    return cast(Points, images)


def _as_predicted(victim: Victim, result: AttackResult, y: Tensor, batch: int) -> Tensor:
    """Which points the victim misclassifies when asked as ``predict`` asks it.

    A victim that answers one batch in two ways is stochastic: it keeps what the attack found.
    """

    def ask(part: slice) -> Tensor:
        return class_scores(victim(result.x[part]).float())

    verdicts = []
    with torch.no_grad():
        for part in (slice(a, a + batch) for a in range(0, len(y), batch)):
            found, scores = result.found[part], ask(part)
            wrong = is_misclassified(scores, y[part]) & finite_rows(result.x[part])
            differs = bool((wrong != found).any())
            repeats = differs and torch.equal(scores.nan_to_num(), ask(part).nan_to_num())
            verdicts.append(wrong if repeats else found)
    return torch.cat(verdicts)


def warn_of_non_finite(attack: str, result: AttackResult, rows: Tensor) -> None:
    """Say for which images the victim's logits or gradients are not finite, and what that means for the result."""
    n = len(result.found)
    for counts, trouble in (
        (
            result.non_finite_answers,
            "the model's logits are NaN or infinite for {images}, at the image itself or at points of the attack. Such "
            "an answer is no success of the attack, so the robust accuracy may be too high.",
        ),
        (
            result.non_finite_gradients,
            "the model's gradients have entries that are NaN or infinite for {images}. They count as 0, which weakens "
            "the attack. Gradient-free attacks (square, random_search) do not need them.",
        ),
    ):
        where = () if counts is None else counts.cpu().nonzero()[:, 0].tolist()
        if where:
            first = ", ".join(str(int(rows[k])) for k in where[:5]) + (", ..." if len(where) > 5 else "")
            images = f"{len(where)} of {n} images (rows {first})"
            warnings.warn(f"{attack}: {trouble.format(images=images)}", NonFiniteOutput, stacklevel=3)


class _ProgressBar:
    """Row-passes done; those of rows that were dropped early count as done at the end of their search."""

    def __init__(self, report: Callable[[int], None] | None, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def advance(self, passes: int) -> None:
        passes = min(passes, self.total - self.done)
        self.done += passes
        if self.report and passes:
            self.report(passes)

    def complete(self) -> None:
        self.advance(self.total - self.done)
        self.done = 0
