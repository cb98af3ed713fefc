"""Robust accuracy after every epoch, as a column of the history."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from surefooted.attacks.pgd import pgd
from surefooted.components.component import Count, Positive, component
from surefooted.core.norms import Norm
from surefooted.core.types import Points
from surefooted.data.images import Images, Splits
from surefooted.errors import DataError
from surefooted.training.recorders.base import Recorder, RecorderState


@component
def robust_accuracy(
    *,
    eps: Positive = 8 / 255,
    steps: Count = 10,
    step_size: Positive | None = None,
    norm: Norm = "linf",
    images: Count = 256,
    part: Literal["validation", "test"] = "validation",
) -> Recorder:
    """Robust accuracy under PGD after every epoch, beside the accuracy in the history: for loggers and early looks.

    It records ``robust_accuracy``, one share in [0, 1] per epoch. With weight averaging it is that of the average.

    Args:
        eps: radius ε of the attack, for pixels in [0, 1].
        steps: gradient steps of PGD, which starts at the clean point.
        step_size: length of a step; by default 2.5 · eps / steps.
        norm: norm of the ball, linf or l2.
        images: number of images, the first of the split.
        part: split of the images. Choose hyperparameters by the validation split only.

    Example:
        >>> import surefooted as sf
        >>> record = {"robust_accuracy": {"eps": 0.1, "steps": 2, "images": 16}}
        >>> data = {"digits": {"train_limit": 100, "validation": 0.2}}
        >>> run = sf.train("vanilla", "mlp", data, {"recipe": {"epochs": 1}}, record=record)
        >>> 0 <= run.history[0]["robust_accuracy"] <= run.history[0]["accuracy"] + 0.5
        True
    """
    attack = pgd(norm=norm, eps=eps, steps=steps, step_size=step_size, start="clean")

    def init(data: Splits) -> tuple[Points, RecorderState]:
        split: Images = getattr(data, part)
        if not len(split):
            cure = "Hold out images (`data.validation=0.1`)" if part == "validation" else "Pass test images"
            raise DataError(
                f"The recorder robust_accuracy needs the {part} split, which is empty. {cure}, or set `record.part`."
            )
        return split.points(slice(0, images)), {"robust_accuracy": torch.zeros(0, dtype=torch.float64)}

    def record(state: RecorderState, net: nn.Module, points: Points, step: int) -> RecorderState:
        share = 1 - attack(net, points).found.double().mean()
        return {"robust_accuracy": torch.cat((state["robust_accuracy"], share[None].cpu()))}

    return Recorder(0, init, record, history=("robust_accuracy",))
