"""Changes of the prediction over the plane during training."""

from __future__ import annotations

import torch
from torch import nn

from surefooted.components.component import Count, Finite, component
from surefooted.core.types import Points, log_mean_softmax
from surefooted.data.images import Splits
from surefooted.errors import DataError
from surefooted.models.victims import as_victim, untouched
from surefooted.training.recorders.base import Recorder, RecorderState

VERSION = 2  # 2: the label is that of the mean predicted probability.


@component
def flips(*, every: Count = 1, low: Finite = 0.0, high: Finite = 1.0, grid: Count = 100) -> Recorder:
    """Number of changes of the prediction at each point of the plane: the oscillation map (UTA, figure 1).

    It records ``flips`` and ``label``, the last prediction, both of shape (grid, grid) with the second coordinate in
    rows. It needs data of two coordinates, such as ``plane``.

    Args:
        every: training steps between records.
        low: lower end of both axes.
        high: upper end of both axes.
        grid: points along each axis.

    Example:
        >>> import torch, surefooted as sf
        >>> recorder, points = sf.recorders.flips(grid=2), sf.recorders.plane_points(0.0, 1.0, 2)
        >>> state = {"flips": torch.zeros(2, 2, dtype=torch.int64), "label": torch.full((2, 2), -1)}
        >>> recorder.record(state, torch.nn.Flatten(), points, 0)["label"]  # the class of the larger coordinate
        tensor([[0, 0],
                [1, 0]])
    """

    def init(data: Splits) -> tuple[Points, RecorderState]:
        if data.train.shape != (1, 1, 2):
            raise DataError(
                f"The recorder flips needs data of two coordinates, shape (1, 1, 2), such as the data set plane; these "
                f"have shape {data.train.shape}."
            )
        zeros = torch.zeros(grid, grid, dtype=torch.int64)
        return plane_points(low, high, grid), {"flips": zeros, "label": zeros - 1}

    def record(state: RecorderState, net: nn.Module, points: Points, step: int) -> RecorderState:
        victim = as_victim(net)
        with untouched(victim), torch.no_grad():
            label = log_mean_softmax(victim(points.x)).argmax(-1).view(grid, grid).cpu()
        changed = (state["label"] >= 0) & (label != state["label"])
        return {"flips": state["flips"] + changed, "label": label}

    return Recorder(every, init, record)


def plane_points(low: float, high: float, grid: int) -> Points:
    """The points of a grid over the plane, as data of two coordinates; the first coordinate varies fastest.

    Example:
        >>> plane_points(0.0, 1.0, 2).x.squeeze().tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    line = torch.linspace(low, high, grid)
    second, first = torch.meshgrid(line, line, indexing="ij")
    x = torch.stack((first, second), -1).view(-1, 1, 1, 2)
    rows = torch.arange(len(x))
    return Points(x, torch.zeros_like(rows), rows)
