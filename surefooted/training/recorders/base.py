"""A recorder as a value: pure functions over tensors that the checkpoint keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from surefooted.components.component import Component, Spec
from surefooted.core.types import Points
from surefooted.data.images import Splits

RecorderState = dict[str, Tensor]


@dataclass(frozen=True)
class Recorder(Component):
    """Records a quantity of the network while it trains.

    A recorder leaves the network, its mode and the random state unchanged, so that a recorded training ends with the
    same weights as one without a recorder.

    Attributes:
        interval: steps between two records; the first record is before the first step. 0 records after every epoch.
        init: points to record at, on the device of the data, and the state before the first record.
        record: state after a record of the network; its last argument is the number of steps done.
        history: tensors of the state whose last number goes into the history, after every epoch.

    Example:
        >>> import torch, surefooted as sf
        >>> from surefooted.training.recorders import Recorder
        >>> def init(data):
        ...     return data.test.points(slice(0, 4)), {"norm": torch.zeros(0)}
        >>> def record(state, net, points, step):
        ...     return {"norm": torch.cat((state["norm"], net(points.x).norm().detach()[None]))}
        >>> norms, data = Recorder(10, init, record), sf.digits()
        >>> points, state = norms.init(data)
        >>> norms.record(state, torch.nn.Flatten(), points, 0)["norm"].shape
        torch.Size([1])
    """

    kind = "recorder"

    interval: int
    init: Callable[[Splits], tuple[Points, RecorderState]]
    record: Callable[[RecorderState, nn.Module, Points, int], RecorderState]
    history: tuple[str, ...] = ()
    spec: Spec | None = field(default=None, init=False, compare=False, repr=False)
