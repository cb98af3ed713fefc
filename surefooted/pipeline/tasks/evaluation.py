"""What the tasks that evaluate a victim share: its network, its images, and chunks that survive a kill."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from surefooted.core.files import read_tensors, with_hint, write_tensors
from surefooted.data.images import Images
from surefooted.errors import DataError
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.fuse import fuse_batchnorm
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName
from surefooted.pipeline.tasks.datasets import split_images, training_data
from surefooted.pipeline.tasks.leakage import check_unseen

# Numbers in a batch of images, and the bounds of its images; images that a black box is checked with.
QUERIED_IMAGES = 8
BATCH_NUMBERS, FEWEST_IMAGES, MOST_IMAGES = 2**21, 16, 512


def load_for_eval(victim: Source, store: Store, device: torch.device) -> nn.Module:
    """The victim's network on a device; batch norm of Surefooted's own networks is fused."""
    net = victim.load(store).to(device)
    return net if isinstance(victim, ExternalModel | InMemoryModel) else fuse_batchnorm(net)


def batch_size(shape: tuple[int, ...]) -> int:
    """Images per forward pass: 512 of up to 64 × 64 grey pixels, fewer of larger ones, at least 16.

    A network keeps about 100 MB per image of 224 × 224 pixels for its gradient.

    Example:
        >>> batch_size((3, 32, 32)), batch_size((3, 224, 224))
        (512, 16)
    """
    return min(MOST_IMAGES, max(FEWEST_IMAGES, BATCH_NUMBERS // prod(shape)))


def images_to_check(victim: Source, shape: tuple[int, ...]) -> int:
    """Images that checks ask a victim about: a batch, or a few of a black box, whose queries may have a price."""
    return batch_size(shape) if getattr(victim, "differentiable", True) else QUERIED_IMAGES


def eval_images(victim: Source, data: ComponentSpec | None, split: SplitName, limit: int) -> Images:
    """The images that a victim is evaluated on.

    Args:
        data: a data set; None for the one that the victim was trained on.
        limit: take the first ``limit`` images; 0 for all.

    Raises:
        DataError: if the data set is not known, the split is empty, or the victim was trained on some of the images.
    """
    own = training_data(victim)
    if data is None and own is None:
        raise DataError(
            "The data set is not known: the weights do not name it, or it is not at hand. Name a data set with `data`."
        )
    images = split_images(data or own or {}, split, limit)
    if data and split != "train":
        check_unseen(victim, data, images, split)
    return images


def run_in_chunks(
    work: Path,
    n: int,
    chunk: int,
    compute: Callable[[slice], dict[str, Tensor]],
    skip: Callable[[int], None],
) -> dict[str, Tensor]:
    """Compute tensors of ``n`` rows, ``chunk`` rows at a time, and write down each chunk before the next begins.

    A chunk that was written before a kill is read instead of computed. The random draws of a chunk depend on the seed
    and its rows only, so a resumed task gives the same numbers. A single chunk is not written down: the artifact holds
    it a moment later.

    Args:
        skip: called with the number of rows of a chunk that is read instead of computed.
    """
    if n <= chunk:
        return {name: tensor.cpu() for name, tensor in compute(slice(0, n)).items()}
    parts = []
    for start in range(0, n, chunk):
        file = work / f"rows_{start}_{chunk}.safetensors"
        if file.exists():
            with with_hint(f"Delete {file} and run the same command again."):
                part = read_tensors(file)[0]
            skip(min(chunk, n - start))
        else:
            part = compute(slice(start, start + chunk))
            write_tensors(file, part, {})
        parts.append({name: tensor.cpu() for name, tensor in part.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
