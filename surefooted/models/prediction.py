"""Victim × points → predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from surefooted.core.predictions import Predictions, predictions
from surefooted.core.types import Points, log_mean_softmax
from surefooted.data.images import Images
from surefooted.models.victims import (
    Victim,
    as_victim,
    channels_last,
    check_input,
    check_not_empty,
    classes_of,
    device_of,
    to_device_of,
    untouched,
)

T = TypeVar("T")


def predict(
    model: nn.Module | Victim, images: Images | Points, *, batch: int = 512, seed: int = 0, boxed: bool = True
) -> Predictions:
    """Log-probabilities of the mean prediction for every image, in evaluation mode, on the model's device.

    Args:
        seed: of the draws of a model that makes any, such as MC dropout.
        boxed: refuse points outside [0, 1], where an attack that does not clip may have moved them.
    """
    log_p = torch.cat(map_logits(model, images, log_mean_softmax, batch=batch, seed=seed, boxed=boxed))
    return predictions(log_p, images.y.to(log_p.device), images.rows.to(log_p.device))


def map_logits(
    model: nn.Module | Victim,
    images: Images | Points,
    read: Callable[[Tensor], T],
    *,
    batch: int = 512,
    seed: int = 0,
    boxed: bool = True,
) -> list[T]:
    """What ``read`` makes of each batch's logits (S, B, K); other arguments as in ``predict``. Labels play no part."""
    victim = as_victim(model)
    found = []
    with untouched(victim, seed=seed), channels_last(victim), torch.no_grad():
        for points in in_batches(victim, images, batch, boxed=boxed):
            found.append(read(victim(victim.lift(points.x)).float()))
    return found


def in_batches(victim: Victim, images: Images | Points, batch: int, *, boxed: bool = True) -> Iterator[Points]:
    """Points where the victim is, ``batch`` at a time; such as cannot be are refused, and none."""
    if isinstance(images, Images):
        check_not_empty(len(images), batch)
    else:
        check_input(victim, images, batch, boxed=boxed)
    device = device_of(victim)
    for a in range(0, len(images.y), batch):
        part = slice(a, a + batch)
        yield images.points(part, device) if isinstance(images, Images) else to_device_of(victim, images.take(part))


def count_classes(victim: Victim, images: Images | Points) -> int:
    """How many classes the victim tells apart, from its answer to one image; labels beyond them are refused."""
    return classes_of(victim, next(in_batches(victim, images, 1)).x, images.y)
