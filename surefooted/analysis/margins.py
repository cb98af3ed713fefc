"""What a victim answers, as one vector a row, and how far its true class leads there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from surefooted.core import Points, check_pixels, log_mean_softmax
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.views import Victim, laid_out, untouched, victim_of


def decision_margin(
    model: nn.Module | Victim, images: Images | Points, *, batch: int = 512, seed: int = 0
) -> Float[Tensor, " n"]:
    """Decision margin M = f_y − max_{i≠y} f_i of every image: above 0 just when it is classified right.

    In logits for a single network. Samples of a model (S > 1) have no common logits: f is then the logarithm of their
    mean prediction, whose differences are differences of logits where S = 1.

    Args:
        seed: of the draws of a model that makes any, such as MC dropout.

    Source: EntM, section 6; Tsuzuku et al., *Lipschitz-margin training*, NeurIPS 2018.
    """
    victim = victim_of(model)
    parts = []
    with laid_out(victim), torch.no_grad():
        for points in in_blocks(victim, images, batch):
            with untouched(victim, seed=seed):
                parts.append(margin_of(answer(victim, victim.lift(points.x)), points.y))
    return torch.cat(parts)


def margin_of(f: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """f_y − max_{i≠y} f_i, row by row."""
    true = f.gather(-1, y[:, None])[:, 0]
    return true - f.masked_fill(one_hot(y, f.shape[-1]).bool(), -torch.inf).amax(-1)


def answer(victim: Victim, z: Float[Tensor, "b *z"]) -> Float[Tensor, "b k"]:
    """The f that is analysed: logits where S = 1, else the logarithm of the mean prediction."""
    logits = victim(z)
    return logits[0] if len(logits) == 1 else log_mean_softmax(logits)


def in_blocks(victim: Victim, images: Images | Points, batch: int) -> Iterator[Points]:
    """Points on the victim's device, ``batch`` at a time."""
    device = device_of(victim)
    if not len(images.y):
        raise InputError("there are no images to analyse; give at least one.")
    if batch < 1:
        raise InputError(f"batch is {batch}; expected a whole number from 1.")
    if isinstance(images, Points):
        check_pixels(images.x)
    for a in range(0, len(images.y), batch):
        part = slice(a, a + batch)
        yield images.points(part, device) if isinstance(images, Images) else images.take(part).to(device)


def device_of(victim: Victim) -> torch.device:
    return next((w.device for net in victim.nets for w in net.parameters()), torch.device("cpu"))


def classes_of(victim: Victim, images: Images | Points) -> int:
    """How many classes the victim tells apart, from its answer to one image; labels beyond them are refused."""
    with untouched(victim), torch.no_grad():
        logits = victim(victim.lift(next(in_blocks(victim, images, 1)).x))
    if logits.ndim != 3 or logits.shape[1] != 1:
        raise InputError(f"the model's logits have shape {tuple(logits.shape[1:])}; expected (batch, classes).")
    classes, least, most = logits.shape[-1], int(images.y.min()), int(images.y.max())
    if least < 0 or most >= classes:
        raise InputError(f"labels go from {least} to {most}, but the model has {classes} classes.")
    return classes
