"""Predictions of a victim on images, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from surefooted.core.arrays import as_tensor
from surefooted.core.predictions import Predictions, predictions
from surefooted.core.types import Points, check_points, predictive_log_p
from surefooted.data.arrays import as_images
from surefooted.data.images import Images
from surefooted.models.guard import gives_gradients
from surefooted.models.victims import (
    BATCH,
    Victim,
    as_victim,
    channels_last,
    check_input,
    check_not_empty,
    device_of,
    infer_num_classes,
    to_device_of,
    tried_images,
    try_model,
    untouched,
)

BatchResult = TypeVar("BatchResult")


def predict(
    model: nn.Module | Victim, images: Any, *, batch: int = BATCH, seed: int = 0, boxed: bool = True
) -> Predictions:
    """Predict class probabilities for every image, in evaluation mode and on the model's device.

    A model with several samples (an ensemble, Monte Carlo dropout) predicts the mean of their probabilities.

    Args:
        model: a ``torch.nn.Module`` from pixels in [0, 1] to logits, or a victim.
        images: a split of a data set, such as ``sf.mnist().test``, a data set (its test split), points, ``(x, y)``, or
            other data in memory as ``sf.arrays`` takes them.
        batch: number of images per forward pass.
        seed: of the random numbers that the model draws, such as dropout masks.
        boxed: refuse pixels outside [0, 1]. Pass False for the result of an attack that does not clip; a pair
            ``(x, y)`` is then taken as it is, images (N, C, H, W) and class indices.

    Returns:
        Log-probabilities (N, K), labels (N,) and rows (N,).

    Raises:
        InputError: if there are no images, or the model cannot read them.

    Example:
        >>> import surefooted as sf
        >>> images = sf.mnist().test
        >>> net = sf.nets.small_convnet(images.shape, 10)
        >>> p = sf.predict(net, images)
        >>> p.log_p.shape == (len(images), 10)
        True
        >>> p.log_p.exp().sum(1).allclose(torch.ones(len(images)))
        True
    """
    images, victim = _as_given(images) if not boxed else as_images(images), as_victim(model)
    if not isinstance(images, Images):
        check_points(images)
    if gives_gradients(victim.nets):
        try_model(victim, next(in_batches(victim, images, tried_images(victim, batch), boxed=boxed)).x)
    log_p = torch.cat(map_logits(victim, images, predictive_log_p, batch=batch, seed=seed, boxed=boxed))
    return predictions(log_p, images.y.to(log_p.device), images.rows.to(log_p.device))


def _as_given(images: Any) -> Any:
    """Images and labels as points, without the checks of a data set; anything else as ``as_images`` reads it."""
    if isinstance(images, Points) or not (isinstance(images, tuple) and len(images) == 2):
        return as_images(images)
    x, y = (as_tensor(part, name) for part, name in zip(images, ("x", "y")))
    return Points(x, y, torch.arange(len(x), device=x.device))


def map_logits(
    model: nn.Module | Victim,
    images: Images | Points,
    function: Callable[[Tensor], BatchResult],
    *,
    batch: int = BATCH,
    seed: int = 0,
    boxed: bool = True,
) -> list[BatchResult]:
    """Apply a function to the logits of each batch. Labels are not used.

    Args:
        model, images, batch, seed, boxed: as in ``predict``.
        function: from logits (S, B, K), float32 or wider, to any value.

    Returns:
        One value per batch, in order.

    Example:
        >>> points = Points(torch.rand(5, 1, 1, 3), torch.zeros(5, dtype=torch.long), torch.arange(5))
        >>> map_logits(nn.Flatten(), points, lambda logits: tuple(logits.shape), batch=2)
        [(1, 2, 3), (1, 2, 3), (1, 1, 3)]
    """
    victim = as_victim(model)
    with untouched(victim, seed=seed), channels_last(victim), torch.no_grad():
        batches = in_batches(victim, images, batch, boxed=boxed)
        return [function(victim(victim.lift(points.x)).float()) for points in batches]


def in_batches(victim: Victim, images: Images | Points, batch: int, *, boxed: bool = True) -> Iterator[Points]:
    """Split images into batches on the victim's device.

    Args:
        victim: the classifier that will read them.
        images: a split of a data set, or points in memory.
        batch: number of images per batch; the last may have fewer.
        boxed: refuse pixels outside [0, 1].

    Raises:
        InputError: if there are no images, or the victim cannot read them.

    Example:
        >>> points = Points(torch.rand(5, 1, 1, 3), torch.zeros(5, dtype=torch.long), torch.arange(5))
        >>> [len(part.y) for part in in_batches(as_victim(nn.Flatten()), points, 2)]
        [2, 2, 1]
    """
    if isinstance(images, Images):
        check_not_empty(len(images), batch)
    else:
        images = check_input(victim, images, batch, boxed=boxed)
    device = device_of(victim)
    for first in range(0, len(images.y), batch):
        part = slice(first, first + batch)
        yield images.points(part, device) if isinstance(images, Images) else to_device_of(victim, images.take(part))


def count_classes(victim: Victim, images: Images | Points) -> int:
    """The number of classes, from a forward pass on one image.

    Raises:
        InputError: if a label is not among the classes, or the logits have the wrong shape.

    Example:
        >>> points = Points(torch.rand(5, 1, 1, 3), torch.zeros(5, dtype=torch.long), torch.arange(5))
        >>> count_classes(as_victim(nn.Flatten()), points)
        3
    """
    return infer_num_classes(victim, next(in_batches(victim, images, 1)).x, images.y)
