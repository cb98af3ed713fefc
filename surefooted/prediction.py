"""Victim × points → predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from surefooted.core import Points, check_pixels, check_points, log_mean_softmax
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.metrics.predictions import Predictions, predictions
from surefooted.views import Victim, check_batch, check_precision, device_of, laid_out, placed, untouched, victim_of

T = TypeVar("T")


def predict(
    model: nn.Module | Victim, images: Images | Points, *, batch: int = 512, seed: int = 0, boxed: bool = True
) -> Predictions:
    """Log-probabilities of the mean prediction for every image, in evaluation mode, on the model's device.

    Args:
        seed: of the draws of a model that makes any, such as MC dropout.
        boxed: refuse points outside [0, 1], where an attack that does not clip may have moved them.
    """
    log_p = torch.cat(answered(model, images, log_mean_softmax, batch=batch, seed=seed, boxed=boxed))
    rows = images.rows if isinstance(images, Images) else images.i
    return predictions(log_p, images.y.to(log_p.device), rows.to(log_p.device))


def answered(
    model: nn.Module | Victim,
    images: Images | Points,
    read: Callable[[Tensor], T],
    *,
    batch: int = 512,
    seed: int = 0,
    boxed: bool = True,
) -> list[T]:
    """What ``read`` makes of each batch's logits (S, B, K); other arguments as in ``predict``. Labels play no part."""
    victim = victim_of(model)
    if not isinstance(images, Images):
        check_points(images)
        check_precision(victim, images)
    check_batch(batch)
    device, n = device_of(victim), len(images.y)
    if not n:
        raise InputError("there are no images to predict; the split is empty (hold some out: --data.validation 0.1).")
    if isinstance(images, Points) and boxed:
        check_pixels(images.x)
    found = []
    with untouched(victim, seed=seed), laid_out(victim), torch.no_grad():
        for a in range(0, n, batch):
            part = slice(a, a + batch)
            points = images.points(part, device) if isinstance(images, Images) else placed(victim, images.take(part))
            found.append(read(victim(victim.lift(points.x)).float()))
    return found
