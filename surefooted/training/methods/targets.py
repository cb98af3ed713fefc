"""Targets: how the labels of training examples are softened, and how that is learnt from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot as to_one_hot

from surefooted.attacks.base import Attack
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.components.component import Component, Count, Positive, Share, Spec, Whole, component
from surefooted.components.spec import build, parse_spec
from surefooted.core.types import Points, Score
from surefooted.errors import InputError
from surefooted.evaluation.metrics.levels import levels_of

__all__ = ["adaptive", "label_smoothing", "one_hot"]

LabelState = dict[str, Tensor]
# The soft label of the true class stays above 1/Z: at 1/Z itself all classes would be equally true.
ABOVE_UNIFORM = 1e-6


@dataclass(frozen=True)
class Target(Component):
    """Pure functions over an explicit state.

    Attributes:
        init: state before the first epoch, from the levels of training and validation rows (see ``Levels``).
        apply: what a batch is trained towards: class indices, or a distribution over the classes.
        refresh: state after an epoch, from the predictions on the validation set.
        levels: how many subsets are told apart; 1 is all alike.
        robustness: the attack whose perturbation sizes rank the examples; None without ranking.
        by: a score that ranks them instead, greatest first.
        column: a file that ranks them instead, least first.
        every: epochs between rankings with the network in training; 0 ranks once, with a vanilla one.
    """

    kind = "target"

    init: Callable[[Levels], LabelState]
    apply: Callable[[LabelState, Points, int], Tensor]
    refresh: Callable[[LabelState, Float[Tensor, "n k"], Points], LabelState]
    levels: int = 1
    robustness: Attack | None = None
    by: Score | None = None
    column: str = ""
    every: int = 0
    spec: Spec | None = field(default=None, compare=False, repr=False)

    @property
    def learns(self) -> bool:
        """Whether it changes with the epochs, and so needs validation examples."""
        return self.refresh is not _unchanged

    def ranked(self, state: LabelState, levels: Levels) -> LabelState:
        """The state with the examples ranked anew."""
        return state | {"level": levels.by_row()}


@dataclass(frozen=True, eq=False)
class Levels:
    """The subset that each example belongs to, 0 = least robust, ranked apart for training and validation."""

    train_rows: Int[Tensor, " n"]
    train: Int[Tensor, " n"]
    validation_rows: Int[Tensor, " m"]
    validation: Int[Tensor, " m"]

    @staticmethod
    def from_ranking(
        train_rows: Tensor, train: Tensor, validation_rows: Tensor, validation: Tensor, *, levels: int
    ) -> Levels:
        """Rank each set by a number per example, least first."""
        first, second = (levels_of(sizes, levels=levels) for sizes in (train, validation))
        return Levels(train_rows, first, validation_rows, second)

    @staticmethod
    def single(train_rows: Tensor, validation_rows: Tensor) -> Levels:
        return Levels(train_rows, torch.zeros_like(train_rows), validation_rows, torch.zeros_like(validation_rows))

    def to(self, device: torch.device) -> Levels:
        return Levels(*(t.to(device) for t in (self.train_rows, self.train, self.validation_rows, self.validation)))

    def by_row(self) -> Int[Tensor, " rows"]:
        rows = torch.cat((self.train_rows, self.validation_rows))
        table = torch.full((int(rows.max()) + 1,), -1, dtype=torch.int64, device=rows.device)
        table[rows] = torch.cat((self.train, self.validation))
        return table


def _unchanged(state: LabelState, log_p: Tensor, validation: Points) -> LabelState:
    return state


@component
def one_hot() -> Target:
    """Hard labels."""
    return Target(lambda levels: {}, lambda state, points, classes: points.y, _unchanged)


@component
def label_smoothing(*, eps: Share = 0.02) -> Target:
    """Label smoothing (LS): one-hot · (1 − ε) + ε / Z for Z classes (AR-AdaLS eq. 1; EntM calls ε γ, eq. 6)."""

    def apply(state: LabelState, points: Points, classes: int) -> Tensor:
        return smooth(points.y, torch.full_like(points.y, eps, dtype=torch.float32), classes)

    return Target(lambda levels: {}, apply, _unchanged)


@component
def adaptive(
    *,
    alpha: Positive = 0.005,
    levels: Count = 10,
    robustness: Attack = nearest_boundary(away_from="prediction"),  # noqa: B008 - a value without state
    by: Score | None = None,
    column: str = "",
    every: Whole = 0,
    later: tuple[tuple[Count, Positive], ...] = (),
) -> Target:
    """Adaptive label smoothing per adversarial-robustness level (AR-AdaLS, algorithm 1); levels=1 is AdaLS.

    The soft label p̃_r of the true class starts at 1; after each epoch p̃_r ← p̃_r − α (conf(S_r) − acc(S_r)) over the
    validation examples of level r, clipped to (1/Z, 1].

    Args:
        alpha: learning rate of the soft labels.
        levels: R, equally sized subsets by robustness.
        robustness: attack on a vanilla model of the same network; the sizes it finds rank the examples. It measures how
            far the model's own prediction is from another, whatever its ``away_from``.
        by: a score that ranks them in its place, such as entropy: what a vanilla model says of each example, the
            greatest in the first level. The paper's footnote: any attribute may take the place of robustness.
        column: a .npy file that does, with a number for each row of the data set, the least in the first level.
        every: rank every so many epochs, with the network in training ("on the fly"); 0 once, beforehand.
        later: (epoch, α) pairs: another learning rate, each from after that epoch on (ImageNet: 0.05 after 60).
    """
    if sum((by is not None, bool(column), every > 0)) > 1:
        raise InputError("adaptive takes one of by, column and every: each ranks examples in its own way.")
    if levels == 1 and (every or by or column):
        raise InputError("with levels=1 all examples are alike, and there is nothing to rank; give more levels.")

    if by is not None and (by.uses_clean or by.epistemic):
        raise InputError(
            f"{by.called} ranks nothing by one prediction of an example: it compares several, or "
            "a clean with a perturbed one. Take another score, such as entropy."
        )
    robustness = _measuring(robustness)

    def init(given: Levels) -> LabelState:
        counts = given.validation.bincount(minlength=levels)
        if int(counts.min()) == 0:
            raise InputError(
                f"adaptive smoothing reads {levels} levels off the validation set, which has {len(given.validation)} "
                f"examples; hold out more (--data.validation) or lower levels."
            )
        p = torch.ones(levels, dtype=torch.float64, device=counts.device)
        return {"p": p, "level": given.by_row(), "epoch": torch.zeros((), dtype=torch.int64)}

    def apply(state: LabelState, points: Points, classes: int) -> Tensor:
        p = state["p"][state["level"][points.rows]]
        return smooth(points.y, eps_of(p, classes).float(), classes)

    def refresh(state: LabelState, log_p: Tensor, validation: Points) -> LabelState:
        confidence, answer = log_p.double().max(-1)
        gap = confidence.exp() - (answer == validation.y).double()
        level = state["level"][validation.rows]
        total = torch.zeros_like(state["p"]).index_add_(0, level, gap)
        floor = 1 / log_p.shape[-1] + ABOVE_UNIFORM
        epoch = state["epoch"] + 1
        rate = [alpha, *(value for when, value in sorted(later) if int(epoch) > when)][-1]
        p = (state["p"] - rate * total / level.bincount(minlength=levels)).clamp(floor, 1)
        return state | {"p": p, "epoch": epoch}

    return Target(init, apply, refresh, levels, robustness if levels > 1 else None, by, column, every)


def _measuring(attack: Attack) -> Attack:
    """The attack as it ranks examples: the least perturbation that changes the model's own answer."""
    if attack.keep != "nearest":
        name = attack.spec.name if attack.spec else "the attack"
        raise InputError(
            f"robustness is ranked by the least perturbation, and {name} keeps another. Take nearest_boundary, "
            "carlini_wagner, ddn or fmn."
        )
    if attack.away_from == "prediction":
        return attack
    if attack.spec is None:
        return replace(attack, away_from="prediction")
    name, arguments = parse_spec(attack.spec.json())
    return build("attack", {name: arguments | {"away_from": "prediction"}})


def eps_of(p: Float[Tensor, "*b"], classes: int) -> Float[Tensor, "*b"]:
    """The smoothing ε that leaves probability p on the true class (AR-AdaLS eq. 4)."""
    return (p - 1) * classes / (1 - classes)


def smooth(y: Int[Tensor, " b"], eps: Float[Tensor, " b"], classes: int) -> Float[Tensor, "b k"]:
    """One-hot labels softened towards uniform by each row's own ε (AR-AdaLS eq. 1)."""
    return to_one_hot(y, classes) * (1 - eps[:, None]) + eps[:, None] / classes
