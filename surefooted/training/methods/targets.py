"""Targets: how the labels of training examples are softened, and how the softening is learnt from epoch to epoch."""

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
from surefooted.errors import ArgumentError
from surefooted.evaluation.metrics.levels import levels_of

__all__ = ["adaptive", "label_smoothing", "one_hot"]

LabelState = dict[str, Tensor]
# The soft label of the true class stays above 1/Z: at 1/Z all classes would be equally likely.
_ABOVE_UNIFORM = 1e-6


@dataclass(frozen=True)
class Target(Component):
    """A rule for labels: pure functions over an explicit state.

    Attributes:
        init: state before the first epoch, from the robustness levels of all examples.
        apply: target of a batch, from the state, the points and the number of classes: class indices, or a
            distribution over the classes per example.
        refresh: state after an epoch, from the predictions on the validation set.
        levels: number of robustness levels with a label each.
        ranking: how examples are ranked into levels; None with one level.
    """

    kind = "target"

    init: Callable[[RobustnessLevels], LabelState]
    apply: Callable[[LabelState, Points, int], Tensor]
    refresh: Callable[[LabelState, Float[Tensor, "n k"], Points], LabelState]
    levels: int = 1
    ranking: Ranking | None = None
    spec: Spec | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def is_adaptive(self) -> bool:
        """True if the labels change from epoch to epoch, which needs validation examples."""
        return self.refresh is not _keep_state

    def rerank(self, state: LabelState, levels: RobustnessLevels) -> LabelState:
        """The state with the examples in new levels."""
        return state | {"level": levels.by_row()}


@dataclass(frozen=True)
class Ranking:
    """What ranks examples into robustness levels.

    Attributes:
        attack: ranks by the size of its perturbations, smallest first, unless another attribute is given.
        score: ranks by a score of the prediction instead, largest first.
        column: ranks by the numbers of a file instead, smallest first.
        every: epochs between rankings with the network in training; 0 ranks once, with a vanilla network.
    """

    attack: Attack
    score: Score | None = None
    column: str = ""
    every: int = 0


@dataclass(frozen=True, eq=False)
class RobustnessLevels:
    """The robustness level of each example, 0 = least robust; training and validation sets are ranked separately.

    Attributes:
        train_rows, validation_rows: rows of the examples in the data set.
        train, validation: their levels.

    Example:
        >>> import torch
        >>> rows, distance = torch.arange(4), torch.tensor([0.3, 0.1, 0.4, 0.2])
        >>> RobustnessLevels.from_ranking(rows, distance, rows + 4, distance, levels=2).train
        tensor([1, 0, 1, 0])
    """

    train_rows: Int[Tensor, " n"]
    train: Int[Tensor, " n"]
    validation_rows: Int[Tensor, " m"]
    validation: Int[Tensor, " m"]

    @staticmethod
    def from_ranking(
        train_rows: Tensor, train: Tensor, validation_rows: Tensor, validation: Tensor, *, levels: int
    ) -> RobustnessLevels:
        """Rank both sets by one number per example, smallest first, into levels of equal size."""
        first, second = (levels_of(sizes, levels=levels) for sizes in (train, validation))
        return RobustnessLevels(train_rows, first, validation_rows, second)

    @staticmethod
    def single(train_rows: Tensor, validation_rows: Tensor) -> RobustnessLevels:
        """All examples in one level."""
        first, second = torch.zeros_like(train_rows), torch.zeros_like(validation_rows)
        return RobustnessLevels(train_rows, first, validation_rows, second)

    def to(self, device: torch.device) -> RobustnessLevels:
        columns = (self.train_rows, self.train, self.validation_rows, self.validation)
        return RobustnessLevels(*(column.to(device) for column in columns))

    def by_row(self) -> Int[Tensor, " rows"]:
        """The level of each row of the data set; −1 for rows in neither set."""
        rows = torch.cat((self.train_rows, self.validation_rows))
        table = torch.full((int(rows.max()) + 1,), -1, dtype=torch.int64, device=rows.device)
        table[rows] = torch.cat((self.train, self.validation))
        return table


@component
def one_hot() -> Target:
    """Hard labels.

    Example:
        >>> from surefooted.training.methods.targets import one_hot
        >>> one_hot().is_adaptive
        False
    """
    return Target(lambda levels: {}, lambda state, points, classes: points.y, _keep_state)


@component
def label_smoothing(*, eps: Share = 0.02) -> Target:
    """Label smoothing (LS): one-hot · (1 − ε) + ε / Z for Z classes (AR-AdaLS eq. 1; EntM eq. 6, which calls ε γ).

    Args:
        eps: ε, probability mass that is spread over all classes.

    Example:
        >>> import torch, surefooted as sf
        >>> from surefooted.training.methods.targets import label_smoothing
        >>> points = sf.Points(torch.zeros(1, 1), torch.tensor([2]), torch.tensor([0]))
        >>> label_smoothing(eps=0.5).apply({}, points, 4)
        tensor([[0.1250, 0.1250, 0.6250, 0.1250]])
    """

    def apply(state: LabelState, points: Points, classes: int) -> Tensor:
        return smooth_labels(points.y, torch.full_like(points.y, eps, dtype=torch.float32), classes)

    return Target(lambda levels: {}, apply, _keep_state)


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

    The soft label p̃_r of the true class starts at 1. After each epoch p̃_r ← p̃_r − α (conf(S_r) − acc(S_r)) over the
    validation examples of level r, clipped to (1/Z, 1].

    Args:
        alpha: learning rate of the soft labels.
        levels: R, number of equally sized subsets by robustness.
        robustness: attack on a vanilla model of the same network; the sizes of its perturbations rank the examples. It
            measures the distance to the model's own decision boundary, whatever its ``away_from``.
        by: score of a vanilla model's prediction that ranks the examples instead, such as entropy; the largest values
            are in the first level. A footnote of the paper says that any attribute may replace robustness.
        column: .npy file that ranks the examples instead, with one number per row of the data set; the smallest values
            are in the first level.
        every: epochs between rankings with the network in training ("on the fly"); 0 ranks once, before training.
        later: (epoch, α) pairs; each α holds after its epoch (ImageNet: 0.05 after 60).

    Raises:
        ArgumentError: the arguments give no ranking, or more than one.

    Example:
        >>> from surefooted.training.methods.targets import adaptive
        >>> target = adaptive(levels=4, by="entropy")
        >>> target.levels, target.ranking.score.spec.name
        (4, 'entropy')

    Reference:
        Qin et al., *Improving uncertainty estimates through the relationship with adversarial robustness*, algorithm 1.
    """
    if sum((by is not None, bool(column), every > 0)) > 1:
        raise ArgumentError("adaptive ranks examples in one way: set only one of by, column and every.")
    if levels == 1 and (every or by or column):
        raise ArgumentError(
            "adaptive with levels=1 does not rank examples, so by, column and every have no effect. Increase levels or "
            "leave them out."
        )
    if by is not None and (by.uses_clean or by.epistemic):
        raise ArgumentError(
            f"{by.called} needs several predictions per example (or a clean/perturbed pair) and cannot rank single "
            "predictions. Set by to another score, such as entropy."
        )
    ranking = Ranking(_ranking_attack(robustness), by, column, every) if levels > 1 else None

    def init(given: RobustnessLevels) -> LabelState:
        counts = given.validation.bincount(minlength=levels)
        if int(counts.min()) == 0:
            raise ArgumentError(
                f"adaptive needs validation examples in each of {levels} levels, but the validation set has "
                f"{len(given.validation)} examples. Increase `data.validation` or lower levels."
            )
        p = torch.ones(levels, dtype=torch.float64, device=counts.device)
        return {"p": p, "level": given.by_row(), "epoch": torch.zeros((), dtype=torch.int64)}

    def apply(state: LabelState, points: Points, classes: int) -> Tensor:
        p = state["p"][state["level"][points.rows]]
        return smooth_labels(points.y, smoothing_eps(p, classes).float(), classes)

    def refresh(state: LabelState, log_p: Tensor, validation: Points) -> LabelState:
        log_confidence, prediction = log_p.double().max(-1)
        overconfidence = log_confidence.exp() - (prediction == validation.y).double()
        level = state["level"][validation.rows]
        total = torch.zeros_like(state["p"]).index_add_(0, level, overconfidence)
        floor = 1 / log_p.shape[-1] + _ABOVE_UNIFORM
        epoch = state["epoch"] + 1
        rate = [alpha, *(value for when, value in sorted(later) if int(epoch) > when)][-1]
        p = (state["p"] - rate * total / level.bincount(minlength=levels)).clamp(floor, 1)
        return state | {"p": p, "epoch": epoch}

    return Target(init, apply, refresh, levels, ranking)


def smoothing_eps(p: Float[Tensor, "*b"], classes: int) -> Float[Tensor, "*b"]:
    """The smoothing ε that leaves probability p to the true class (AR-AdaLS eq. 4)."""
    return (p - 1) * classes / (1 - classes)


def smooth_labels(y: Int[Tensor, " b"], eps: Float[Tensor, " b"], classes: int) -> Float[Tensor, "b k"]:
    """One-hot labels smoothed towards uniform by each example's own ε (AR-AdaLS eq. 1)."""
    return to_one_hot(y, classes) * (1 - eps[:, None]) + eps[:, None] / classes


def _keep_state(state: LabelState, log_p: Tensor, validation: Points) -> LabelState:
    return state


def _ranking_attack(attack: Attack) -> Attack:
    """The attack, set to search for the smallest perturbation that changes the model's own prediction."""
    if attack.keep != "nearest":
        name = attack.spec.name if attack.spec else "this attack"
        raise ArgumentError(
            f"Robustness is ranked by the smallest perturbation, but {name} keeps another one. Set "
            "robustness to nearest_boundary, carlini_wagner, ddn or fmn."
        )
    if attack.away_from == "prediction":
        return attack
    if attack.spec is None:
        return replace(attack, away_from="prediction")
    name, arguments = parse_spec(attack.spec.json())
    rebuilt: Attack = build("attack", {name: arguments | {"away_from": "prediction"}})
    return rebuilt
