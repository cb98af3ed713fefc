"""Clean and robust accuracy during training."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from surefooted.attacks.base import Attack
from surefooted.attacks.pgd import fgsm, pgd
from surefooted.components.component import Count, Positive, component
from surefooted.core.types import Points
from surefooted.data.images import Images, Splits
from surefooted.errors import DataError
from surefooted.evaluation.metrics.robustness import misclassified_under_attack
from surefooted.models.prediction import predict
from surefooted.training.recorders.base import Recorder, RecorderState

VERSION = 2  # 2: ``fgsm`` is the accuracy at FGSM's points, no matter how the clean images are classified.


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
    """Clean, FGSM and PGD accuracy by step: shows catastrophic overfitting as it happens (UTA, figures 4 and 9).

    It records ``step``, ``clean``, ``fgsm`` and ``pgd``; the accuracies are shares in [0, 1]. ``fgsm`` is the accuracy
    at FGSM's points, which can be above the clean accuracy of a network that overfits to them. ``pgd`` counts an image
    if no iterate is misclassified, including the clean point. An image without a finite answer counts in none of them.
    PGD drops an image once it succeeds, so a network that PGD breaks costs little to record.

    Args:
        eps: L∞ radius of both attacks, for pixels in [0, 1].
        steps: gradient steps of PGD, which starts at the clean point.
        step_size: length of a step; by default 2.5 · eps / steps.
        every: training steps between records. With the defaults, PGD on 128 images costs at most 21 forward passes.
        images: number of images, the first of the order that the split drew.
        part: split of the images. The test set is allowed, as in the paper, because nothing is selected by the records.

    Example:
        >>> import surefooted as sf
        >>> recorder = sf.recorders.robustness(eps=0.1, steps=2, images=8)
        >>> points, state = recorder.init(sf.digits())
        >>> state = recorder.record(state, sf.nets.mlp((1, 8, 8), 10, width=4), points, 0)
        >>> bool(state["pgd"] <= state["clean"]), sorted(state)
        (True, ['clean', 'fgsm', 'pgd', 'step'])
    """
    attacks: dict[str, Attack] = {
        "fgsm": fgsm(eps=eps, keep="last"),
        "pgd": pgd(eps=eps, steps=steps, step_size=step_size, start="clean"),
    }

    def init(data: Splits) -> tuple[Points, RecorderState]:
        split: Images = data.drawn_test if part == "test" else data.validation
        if not len(split):
            raise DataError(
                f"The recorder robustness needs the {part} split, which is empty. Choose the other split with "
                "`record.part`."
            )
        empty = {name: torch.zeros(0, dtype=torch.float64) for name in ("clean", *attacks)}
        return split.points(slice(0, images)), {"step": torch.zeros(0, dtype=torch.int64), **empty}

    def record(state: RecorderState, net: nn.Module, points: Points, step: int) -> RecorderState:
        p = predict(net, points)
        found = {name: attack(net, points).found for name, attack in attacks.items()}
        new = {name: 1 - misclassified_under_attack(each, p).double().mean() for name, each in found.items()}
        new["clean"] = 1 - (p.top()[1] == 0).double().mean()
        new["step"] = torch.tensor(step)
        return {name: torch.cat((values, new[name][None].to(values))) for name, values in state.items()}

    return Recorder(every, init, record)
