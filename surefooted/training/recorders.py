"""What is watched while a network trains, by iteration: pure functions over tensors that the checkpoint keeps.

A recorder reads the network and leaves it, its mode and the random state as they were, so that a recorded training
ends with the weights of one that nobody watched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.attacks.pgd import fgsm, pgd
from surefooted.components.component import Component, Count, Finite, Positive, Spec, component
from surefooted.core.types import Points, log_mean_softmax
from surefooted.data.images import Images, Splits
from surefooted.errors import InputError
from surefooted.models.victims import as_victim, untouched

__all__ = ["flips", "robustness"]

VERSION = {"robustness": 2, "flips": 2}

RecorderState = dict[str, Tensor]


@dataclass(frozen=True)
class Recorder(Component):
    """Watches a training.

    Attributes:
        every: iterations between two looks; the first is before the first step.
        init: what is watched, from the data, on their device; and the state before the first look.
        look: the state after a look at the network, ``step`` iterations into the training.
    """

    kind = "recorder"

    every: int
    init: Callable[[Splits], tuple[Points, RecorderState]]
    look: Callable[[RecorderState, nn.Module, Points, int], RecorderState]
    spec: Spec | None = field(default=None, compare=False, repr=False)


@component
def robustness(
    *,
    eps: Positive = 8 / 255,
    steps: Count = 20,
    step_size: Positive | None = None,
    every: Count = 200,
    images: Count = 128,
    part: Literal["validation", "test"] = "test",
) -> Recorder:
    """Clean, FGSM and PGD accuracy by iteration: shows catastrophic overfitting as it happens (UTA, figures 4 and 9).

    Records ``step``, and beside it ``clean``, ``fgsm`` and ``pgd``, shares in [0, 1]. ``fgsm`` is the accuracy at
    FGSM's points, which a network that overfits to them can tell better than clean ones; ``pgd`` counts an image if no
    iterate is misclassified, the clean point included. Rows retire when they are broken, so a network that PGD breaks
    costs little to watch.

    Args:
        eps: radius of both attacks, L∞.
        steps, step_size: of PGD, from the clean point; by default 2.5 · eps / steps.
        every: iterations between looks. With the defaults PGD on 128 images costs at most 21 passes of a batch of 128.
        images: how many are watched, the first of the split.
        part: nothing is chosen by what is seen, so the paper's test images may be looked at.
    """
    attacks: dict[str, Attack] = {
        "fgsm": fgsm(eps=eps, keep="last"),
        "pgd": pgd(eps=eps, steps=steps, step_size=step_size, start="clean"),
    }

    def init(data: Splits) -> tuple[Points, RecorderState]:
        watched: Images = getattr(data, part)
        if not len(watched):
            raise InputError(f"the {part} split is empty, and a recorder is to watch it; name the other (part).")
        empty = {name: torch.zeros(0, dtype=torch.float64) for name in ("clean", *attacks)}
        return watched.points(slice(0, images)), {"step": torch.zeros(0, dtype=torch.int64), **empty}

    def look(state: RecorderState, net: nn.Module, points: Points, step: int) -> RecorderState:
        seen = {name: attack(net, points) for name, attack in attacks.items()}
        new = {name: 1 - found.found.double().mean() for name, found in seen.items()}
        new["clean"] = 1 - (seen["pgd"].found & (seen["pgd"].size == 0)).double().mean()
        new["step"] = torch.tensor(step)
        return {name: torch.cat((values, new[name][None].to(values))) for name, values in state.items()}

    return Recorder(every, init, look)


@component
def flips(*, every: Count = 1, low: Finite = 0.0, high: Finite = 1.0, grid: Count = 100) -> Recorder:
    """How often the prediction at each point of the plane changes over the training: the oscillation map (UTA, fig. 1).

    Records ``flips``, and ``label``, the last prediction; both (grid, grid), the second coordinate in rows. For data of
    two coordinates, such as ``plane``.

    Args:
        every: iterations between looks.
        low, high: ends of both axes.
        grid: points along each.
    """

    def init(data: Splits) -> tuple[Points, RecorderState]:
        if data.train.shape != (1, 1, 2):
            raise InputError(f"flips maps the plane; these data are {data.train.shape}, not two coordinates.")
        points = plane_points(low, high, grid)
        nothing = torch.zeros(grid, grid, dtype=torch.int64)
        return points, {"flips": nothing, "label": nothing - 1}

    def look(state: RecorderState, net: nn.Module, points: Points, step: int) -> RecorderState:
        victim = as_victim(net)
        with untouched(victim), torch.no_grad():
            label = log_mean_softmax(victim(points.x)).argmax(-1).view(grid, grid).cpu()
        changed = (state["label"] >= 0) & (label != state["label"])
        return {"flips": state["flips"] + changed, "label": label}

    return Recorder(every, init, look)


def plane_points(low: float, high: float, grid: int) -> Points:
    """The points of a grid over the plane, as data of two coordinates: row by row, the first coordinate fastest."""
    line = torch.linspace(low, high, grid)
    second, first = torch.meshgrid(line, line, indexing="ij")
    x = torch.stack((first, second), -1).view(-1, 1, 1, 2)
    rows = torch.arange(len(x))
    return Points(x, torch.zeros_like(rows), rows)
